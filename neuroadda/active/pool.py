"""The boxes a person could label: every place of a box on the cells of an uncertainty map, with its score."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuroadda.active.lattice import exclude, lie_inside, locate_edges, to_zyx
from neuroadda.active.scores import FULL
from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig

Reading = Literal["mean", "median"]
SLAB_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes on the cells of an uncertainty map, in lexicographic order of their first cell.

    Attributes
    ----------
    first_cell
        int32[n, 3], zyx.
    shape_cells
        Of every box, zyx.
    score
        float32[n], 0 to 1.
    tissue
        float32[n], 0 to 1: how much of the box is tissue.
    cell_nm, offset_nm
        Size of a cell and place of the first one, zyx.
    """

    first_cell: np.ndarray
    shape_cells: Zyx
    score: np.ndarray
    tissue: np.ndarray
    cell_nm: ZyxFloat
    offset_nm: ZyxFloat

    def __len__(self) -> int:
        return len(self.score)

    def box(self, index: int) -> RoiConfig:
        """Return one box in nm."""
        first = [int(c) for c in self.first_cell[index]]
        offset = (round(o + f * c, 3) for o, f, c in zip(self.offset_nm, first, self.cell_nm, strict=True))
        shape = (round(s * c, 3) for s, c in zip(self.shape_cells, self.cell_nm, strict=True))
        return RoiConfig(offset_nm=to_zyx(offset), shape_nm=to_zyx(shape))


def find_candidates(
    grid: Volume,
    shape_cells: Zyx,
    stride_cells: Zyx,
    *,
    reading: Reading = "mean",
    min_tissue: float = 1.0,
    excluded: Sequence[RoiConfig] = (),
    min_distance_nm: float = 0.0,
    within: RoiConfig | None = None,
    slab_bytes: int = SLAB_BYTES,
) -> Candidates:
    """Return the boxes that could be labelled, every `stride_cells` from the map's first cell on.

    Sums are of whole numbers, so the result does not depend on how the map is stored or read.

    Parameters
    ----------
    grid
        An uncertainty map: uint16[c, z, y, x], a voxel a cell. Channel 0 is the mean score of the cell's tissue, 1 how much
        of the cell is tissue, the others (if any) how much of its tissue has a score in each bin of [0, 1].
    reading
        What a box's score is: "mean", of its tissue's voxels; "median", of them, interpolated in its bin.
    min_tissue
        Boxes with less tissue are left out (short of what rounding hides, a step of a stored fraction). At 1 every cell is
        tissue throughout.
    excluded, min_distance_nm
        Boxes that overlap one of these, or are nearer to it, face to face, are left out.
    within
        Boxes that leave this one are left out: the volume's own extent, which may end inside the map's last cells.
    slab_bytes
        About how much of the map is read at a time.

    Raises
    ------
    UserError
        If `grid` is no uncertainty map or lacks the histograms that "median" needs, or no box is left: because of its size,
        of too little tissue or of `excluded`, whichever took the last.
    """
    channels, where = _count_channels(grid, reading), str(grid.path)
    lattice = _count_places(grid.shape_vx, shape_cells, stride_cells)
    edges = locate_edges(grid, lattice, shape_cells, stride_cells)
    inside = lie_inside(edges, within) if within else [np.ones(n, bool) for n in lattice]
    if not all(axis.any() for axis in inside):
        what = f"a box of {_describe(shape_cells)} cells does not fit into the volume of {_describe(grid.shape_vx)}"
        raise UserError(what, where, "make it smaller")
    score, tissue = np.zeros(lattice, np.float32), np.zeros(lattice, np.float32)
    kept = np.zeros(lattice, bool)
    volume = math.prod(shape_cells)
    least = max(1.0, (min_tissue * FULL - (1 if min_tissue < 1 else 0)) * volume)
    for place, cells in _read_slabs(grid, channels, lattice, shape_cells, stride_cells, slab_bytes):
        weight = _sum_boxes(cells[1], shape_cells, stride_cells)
        kept[place] = weight >= least
        tissue[place] = weight / (FULL * volume)
        if not kept[place].any():
            continue
        if reading == "mean":
            product = np.multiply(cells[0], cells[1], dtype=np.uint32)  # below 2**32
            score[place] = _sum_boxes(product, shape_cells, stride_cells) / (FULL * np.maximum(weight, 1))
        else:
            score[place] = _read_medians(cells, shape_cells, stride_cells)
    kept &= inside[0][:, None, None] & inside[1][:, None] & inside[2]
    if not kept.any():
        most = tissue[np.ix_(*inside)].max()
        what = f"no box has {100 * min_tissue:g}% tissue, the most is {math.floor(100 * most)}%"
        raise UserError(what, where, "make the box smaller, or ask for less tissue")
    for box in excluded:
        exclude(kept, edges, box, min_distance_nm)
    if not kept.any():
        what = f"every box with {100 * min_tissue:g}% tissue overlaps an excluded one or is too near to it"
        raise UserError(what, where, "make the box smaller, or the distance")
    first, cell_nm, offset_nm = _list_places(kept, stride_cells), to_zyx(grid.voxel_size_nm), to_zyx(grid.offset_nm)
    return Candidates(first, shape_cells, score[kept], tissue[kept], cell_nm, offset_nm)


def _count_channels(grid: Volume, reading: Reading) -> int:
    if (grid.channels or 0) < 2 or grid.dtype != np.uint16:
        raise UserError("this is not an uncertainty map", str(grid.path), "two channels of uint16 or more are expected")
    channels = int(grid.channels or 0)
    if reading == "median" and channels == 2:
        raise UserError("the map has no histograms to read medians from", str(grid.path), "compute it with histograms")
    return channels if reading == "median" else 2


def _count_places(size: Sequence[int], shape: Zyx, stride: Zyx) -> Zyx:
    return to_zyx([max(0, (n - s) // step + 1) for n, s, step in zip(size, shape, stride, strict=True)])


def _describe(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _read_slabs(
    grid: Volume, channels: int, lattice: Zyx, shape: Zyx, stride: Zyx, slab_bytes: int
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield rows of the lattice (along z and y) with the cells that their boxes cover.

    A slab is whole chunks high; what the next one's boxes need of it is kept, so that no chunk is read twice along z.
    """
    depth, _, width = grid.shape_vx
    chunk, row_bytes = grid.chunk_vx[0], 2 * channels * width
    rows = max(1, (slab_bytes // ((chunk + shape[0]) * row_bytes) - shape[1]) // stride[1] + 1)
    for y in range(0, lattice[1], rows):
        columns = slice(y, min(y + rows, lattice[1]))
        across = slice(y * stride[1], (columns.stop - 1) * stride[1] + shape[1])
        height = chunk * max(1, slab_bytes // (chunk * row_bytes * (across.stop - across.start)))
        held, first, done = np.empty((channels, 0, across.stop - across.start, width), np.uint16), 0, 0
        for z in range(0, depth, height):
            end = min(z + height, depth)
            held = np.concatenate((held, grid.data[:channels, z:end, across]), axis=1)
            ready = min(lattice[0], (end - shape[0]) // stride[0] + 1)
            if ready > done:
                covered = slice(done * stride[0] - first, (ready - 1) * stride[0] + shape[0] - first)
                yield (slice(done, ready), columns), held[:, covered]
                done = ready
            held, first = held[:, done * stride[0] - first :], min(done * stride[0], end)


def _sum_boxes(cells: np.ndarray, shape: Zyx, stride: Zyx) -> np.ndarray:
    """Return the sum over every box of the lattice, uint64."""
    for axis, (size, step) in enumerate(zip(shape, stride, strict=True)):
        cells = np.moveaxis(_sum_windows(np.moveaxis(cells, axis, 0), size, step), 0, axis)
    return cells


def _sum_windows(values: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Return the sums of `size` neighbours along the first axis, every `stride`, uint64."""
    part = math.gcd(size, stride)  # windows that overlap share parts: each is summed once
    count = len(values) // part
    parts = _add([values[i : count * part : part] for i in range(part)])
    size, stride = size // part, stride // part
    last = (count - size) // stride * stride
    return _add([parts[i : i + last + 1 : stride] for i in range(size)])


def _add(terms: Sequence[np.ndarray]) -> np.ndarray:
    total = terms[0].astype(np.uint64)
    for term in terms[1:]:
        total += term
    return total


def _read_medians(cells: np.ndarray, shape: Zyx, stride: Zyx) -> np.ndarray:
    """Return the score that half of a box's tissue stays below, float64 on the lattice."""
    bins = len(cells) - 2
    products = (np.multiply(cells[1], part, dtype=np.uint32) for part in cells[2:])
    below = np.cumsum([_sum_boxes(product, shape, stride) for product in products], axis=0, dtype=np.uint64)
    total = below[-1]
    index = np.minimum((2 * below < total).sum(axis=0), bins - 1)[None]
    high = np.take_along_axis(below, index, axis=0)[0]
    low = np.where(index[0] == 0, 0, np.take_along_axis(below, np.maximum(index - 1, 0), axis=0)[0])
    share = (total / 2 - low) / np.maximum(high - low, 1)
    return np.where(total > 0, (index[0] + share) / bins, 0)


def _list_places(kept: np.ndarray, stride: Zyx) -> np.ndarray:
    """Return the first cells of the boxes kept, int32[n, 3]; layer by layer, as one index of all would be huge."""
    first_cell = np.empty((np.count_nonzero(kept), 3), np.int32)
    begin = 0
    for z, layer in enumerate(kept):
        y, x = np.nonzero(layer)
        rows = slice(begin, begin + len(y))
        first_cell[rows, 0], first_cell[rows, 1], first_cell[rows, 2] = z * stride[0], y * stride[1], x * stride[2]
        begin = rows.stop
    return first_cell
