"""What the model of plan_scale is told: figures, measured or assumed, and the designs it compares."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

Shape = tuple[int, int, int]

DEMO = "measured: the demo's run on mouse cortex, 6.3 Mvx"


def figure(value: float, unit: str, source: str) -> Any:
    """Return a field of `Figures`; a source begins with ``measured`` or ``assumed``."""
    return field(default=value, metadata={"unit": unit, "source": source})


@dataclass(frozen=True)
class Figures:
    """All numbers that go into the model; each has a unit and a source."""

    gpu_vx_s: float = figure(10e6, "vx/s a GPU", "assumed: no GPU was there to measure")
    cpu_vx_s: float = figure(
        3.6e6, "vx/s a core", "measured: predict.md, bfloat16 with AMX (0.73 M in float32, peers.md)"
    )
    fragments_vx_s: float = figure(8.4e6, "vx/s a core", DEMO + ": 9.8 M with context on two sides, here on four")
    edges_vx_s: float = figure(20.3e6, "vx/s a core", DEMO)
    merge_s: float = figure(1.3e-6, "s an edge", "measured: graph.md, an edge that a level takes in")
    relabel_vx_s: float = figure(26.0e6, "vx/s a core", DEMO)
    cores: float = figure(8, "cores beside a GPU", "assumed")
    start_s: float = figure(
        0.3, "s a stage", "measured: the demo's seven stages together, 1.7 s of them the prediction's"
    )
    channels: float = figure(3, "affinities a voxel", "measured: the zoo's backbones, nearest neighbours")
    raw_bytes: float = figure(0.94, "B/vx", DEMO + ", uint8 (1 uncompressed)")
    affs_bytes: float = figure(1.97, "B/vx", DEMO + " (3 uncompressed)")
    fragments_bytes: float = figure(0.071, "B/vx", DEMO + " (8 uncompressed)")
    segmentation_bytes: float = figure(0.050, "B/vx", DEMO + " (8 uncompressed)")
    fragments_mvx: float = figure(632, "fragments/Mvx", DEMO)
    edges_mvx: float = figure(3952, "edges/Mvx", DEMO)
    edge_bytes: float = figure(33.5, "B an edge", DEMO + ", its fragments' sizes included")
    left_mpx: float = figure(150e3, "edges/Mpx", "measured: graph.md, 107 k to 180 k taken in over faces below")
    left_bytes: float = figure(48, "B an edge", "measured: six columns of eight bytes")
    merge_bytes: float = figure(24, "B a fragment", "measured: three columns of eight bytes")
    merge_memory: float = figure(
        230, "B of memory an edge", "measured: graph.md, peak of a level less that of no edges"
    )
    lut_bytes: float = figure(8, "B a fragment", "measured: uint64")
    union_bytes: float = figure(16, "B of memory a fragment", "measured: parent (int64) and table (uint64) at once")
    face_segments_mvx: float = figure(2685, "segments/Mvx of a cut plane", DEMO + ", across y after agglomeration")
    block_s: float = figure(0.23e-3, "s a block", "measured: blocks.md, scheduler and ledger of empty blocks")
    union_s: float = figure(1e-7, "s a fragment", "measured: graph.md, components")
    open_s: float = figure(0.6e-3, "s a block", "measured: reading two block files of the demo, cached")
    records: float = figure(2, "writes a block", "assumed: running and done; blocks under half a second write one")
    record_bytes: float = figure(216, "B a record", "measured: an SQLite ledger of 25,600 such records")
    sqlite_s: float = figure(72e3, "writes/s", "measured: one process, batches of 256, synced")
    mongo_s: float = figure(20e3, "upserts/s", "assumed of a real server; a stand-in did 1.2 to 1.7 k/s")
    put_s: float = figure(3500, "PUT/s a prefix", "assumed: the guidelines of a large object store")
    get_s: float = figure(5500, "GET/s a prefix", "assumed: the same")
    latency_s: float = figure(0.03, "s a request", "assumed")
    bandwidth: float = figure(10e9, "B/s", "assumed: between all workers and where the arrays lie")
    node_workers: float = figure(8, "GPUs a machine", "assumed: above, the ledger is MongoDB")
    node_ram: float = figure(256e9, "B", "assumed: the machine of the global step, and of the ledger")
    node_disk: float = figure(30e12, "B", "assumed: above, the arrays lie in an object store")
    files_limit: float = figure(1e9, "files", "assumed: what a file system holds and can be listed")


@dataclass(frozen=True)
class Design:
    """How the work is cut and stored.

    Attributes
    ----------
    block_vx
        What is handed out, read, recorded and kept in one edge file at once.
    file_vx
        Shape of what lies in one file of an array: a chunk, or a shard of chunks; it divides the block.
    chunk_vx
        Shape of what is compressed at once, and the least that is read; it divides a file.
    prefixes
        Of keys in the object store, each with its own limit of requests.
    in_flight
        Requests that a core, or the process at a GPU, has under way at once.
    overlaps
        A worker computes while it reads and writes, else one after the other.
    fused
        Prediction, fragments and edges are one pass: affinities are neither stored nor read.
    merged_in_tree
        The global step unites within blocks, in parallel, then across their faces; else one process does all.
    """

    block_vx: Shape = (32, 256, 256)
    file_vx: Shape = (32, 64, 64)
    chunk_vx: Shape = (32, 64, 64)
    prefixes: int = 1
    in_flight: int = 1
    overlaps: bool = False
    fused: bool = False
    merged_in_tree: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if files do not tile a block, or chunks a file."""
        for whole, part in ((self.block_vx, self.file_vx), (self.file_vx, self.chunk_vx)):
            if any(w % p for w, p in zip(whole, part, strict=True)):
                raise ValueError(f"parts of {part} do not tile {whole}")


TODAY = Design()
SHARDED = Design(
    block_vx=(256, 2048, 2048),
    file_vx=(64, 512, 512),
    prefixes=64,
    in_flight=16,
    overlaps=True,
    fused=True,
    merged_in_tree=True,
)


def override(figures: Figures, settings: list[str]) -> Figures:
    """Return the figures, some of them set by ``name=value``; raise ValueError for an unknown name or no positive number."""
    known = {f.name for f in fields(Figures)}
    values = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known:
            raise ValueError(f"there is no figure {name!r}; there are {', '.join(sorted(known))}")
        values[name] = float(value)
        if not 0 < values[name] < float("inf"):
            raise ValueError(f"{setting} is not a positive number")
    return replace(figures, **values)
