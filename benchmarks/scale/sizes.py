"""Shapes, counts and bytes of the model of plan_scale: what there is, before asking how long it takes."""

import math
from collections.abc import Mapping

from benchmarks.scale.figures import Design, Figures, Shape

ANISOTROPY = 5  # voxels of 30 x 6 x 6 nm: a cube of tissue has five times as many voxels along y and x as along z
BLOCK_MEMORY = 48  # bytes a block in the global step: a number in a list, another in an array
NONE: Shape = (0, 0, 0)
FAN_OUT = 2  # blocks along each axis that the agglomeration joins in a level


def shape_of(power: int) -> Shape:
    """Return the shape of about a cube of tissue of 10^power voxels."""
    z = max(1, round((10**power / ANISOTROPY**2) ** (1 / 3)))
    yx = round(math.sqrt(10**power / z))
    return z, yx, yx


def count(shape: Shape, part: Shape) -> int:
    """Return how many parts tile a shape, the last of each axis cut."""
    return math.prod(-(-s // p) for s, p in zip(shape, part, strict=True))


def array_bytes(shape: Shape, figures: Figures) -> dict[str, int]:
    """Return the uncompressed bytes of each stage's array."""
    voxels = math.prod(shape)
    return {"predict": int(figures.channels) * voxels, "fragments": 8 * voxels, "relabel": 8 * voxels}


def touch(design: Design, unit: Shape, low: Shape = NONE, high: Shape = NONE) -> int:
    """Return how many units (files, chunks) a block touches that is read `low` and `high` units beyond its border."""
    within = (b // u for b, u in zip(design.block_vx, unit, strict=True))
    return math.prod(n + lo + hi for n, lo, hi in zip(within, low, high, strict=True))


def read_once(design: Design, low: Shape = NONE, high: Shape = NONE) -> tuple[int, float]:
    """Return the requests of reading a block and chunks around it, and the bytes read for each of the block's own.

    A block's own files are read whole. Of the files around it single chunks are, after the shard's index where a file is a shard.
    """
    own_files, own_chunks = touch(design, design.file_vx), touch(design, design.chunk_vx)
    around = touch(design, design.chunk_vx, low, high)
    indices = 0 if design.file_vx == design.chunk_vx else touch(design, design.file_vx, low, high) - own_files
    return own_files + around - own_chunks + indices, around / own_chunks


def faces(shape: Shape, figures: Figures) -> float:
    """Return how many segments the last merge of a tree joins: those in the three planes that halve the volume."""
    z, y, x = shape
    return (z * y + z * x + y * x) * figures.face_segments_mvx / 1e6


def level_blocks(shape: Shape, design: Design) -> list[Shape]:
    """Return how many blocks each level of the agglomeration has along each axis; the last has one."""
    z, y, x = (-(-s // b) for s, b in zip(shape, design.block_vx, strict=True))
    levels = [(z, y, x)]
    while math.prod(levels[-1]) > 1:
        z, y, x = (-(-n // FAN_OUT) for n in levels[-1])
        levels.append((z, y, x))
    return levels


def level_edges(shape: Shape, design: Design, f: Figures) -> list[float]:
    """Return the edges that each level takes in: all of them, then what the faces between the blocks below left open."""
    everything = math.prod(shape) * f.edges_mvx / 1e6
    taken = [everything]
    for counts in level_blocks(shape, design)[:-1]:
        area = sum((n - 1) * math.prod(shape) / side for n, side in zip(counts, shape, strict=True))
        taken.append(min(taken[-1], 2 * area * f.left_mpx / 1e6))
    return taken


def measure_sizes(shape: Shape, design: Design, f: Figures) -> dict[str, float]:
    """Return blocks, files, bytes, ledger records, fragments, edges, and the memory of the global step in bytes."""
    voxels, blocks = math.prod(shape), count(shape, design.block_vx)
    fragments, edges = voxels * f.fragments_mvx / 1e6, voxels * f.edges_mvx / 1e6
    levels, taken = level_blocks(shape, design), level_edges(shape, design, f)
    if design.merged_in_tree:
        memory = max(math.prod(design.block_vx) * f.fragments_mvx / 1e6, faces(shape, f)) * f.union_bytes
    else:
        memory = fragments * f.union_bytes + blocks * BLOCK_MEMORY
    top_memory = max(n / math.prod(counts) for n, counts in zip(taken, levels, strict=True)) * f.merge_memory
    level_files = sum(math.prod(counts) for counts in levels)
    array_files = (2 if design.fused else 3) * count(shape, design.file_vx)
    passes = (1 if design.fused else 3) + 1 + design.merged_in_tree
    sizes = {
        "affs": 0 if design.fused else voxels * f.affs_bytes,
        "labels": voxels * (f.fragments_bytes + f.segmentation_bytes),
        "graph": edges * f.edge_bytes + fragments * f.merge_bytes + sum(taken[1:]) * f.left_bytes,
        "lut": fragments * f.lut_bytes,
    }
    return sizes | {
        "bytes": sum(sizes.values()),
        "raw": voxels * f.raw_bytes,
        "blocks": blocks,
        "array_files": array_files,
        "files": array_files + 2 * blocks + level_files,
        "records": passes * blocks + level_files + (not design.merged_in_tree),
        "fragments": fragments,
        "edges": edges,
        "memory": memory,
        "top_memory": top_memory,
        "ids": blocks * math.prod(design.block_vx),
    }


def name_limits(sizes: Mapping[str, float], f: Figures) -> list[str]:
    """Return what no longer fits, however long one waits."""
    broken = {
        "disk of a machine": sizes["bytes"] + sizes["raw"] > f.node_disk,
        "files of a file system": sizes["files"] > f.files_limit,
        "memory of the global step": max(sizes["memory"], sizes["top_memory"]) > f.node_ram,
        "ledger in memory": sizes["records"] * f.record_bytes > f.node_ram,
        "ids below 2^63": sizes["ids"] >= 2**63,
    }
    return [name for name, is_broken in broken.items() if is_broken]


def is_on_disk(sizes: Mapping[str, float], figures: Figures) -> bool:
    """Return whether all fits one machine's disk and its file system."""
    return not {"disk of a machine", "files of a file system"} & set(name_limits(sizes, figures))
