"""Fragments (supervoxels): a watershed of the affinities, in 3-D or section by section."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import cc3d
import edt
import numpy as np
from pydantic import Field, model_validator

from neuroadda.backbones.network import NEAREST
from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.outputs import Written, WrittenTogether
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.faults import raise_together
from neuroadda.kernels.renumbering import look_up
from neuroadda.segmentation.affinity_watershed import absorb_small, find_basins, keep_inside
from neuroadda.segmentation.ids import capacity_of, to_global
from neuroadda.segmentation.seams import number_inside, write_views, written_views
from neuroadda.segmentation.seeded_watershed import find_maxima, flood, smooth
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.tissue import open_tissue
from neuroadda.volumes.storage.locations import to_location

ANISOTROPIC = 2.0
Method = Literal["ascent", "seeds"]
PARAMETERS: dict[Method, tuple[str, ...]] = {  # of one method alone
    "ascent": ("min_size_vx", "low", "high"),
    "seeds": ("boundary", "smoothing_vx", "seed_distance_vx", "distance_weight"),
}
WIDTHS = 1.4  # of the smallest fragment that does not merge


class Fragments(Stage):
    """Parameters of the watershed.

    Attributes
    ----------
    method
        ``ascent``: steepest ascent on the affinities, and small fragments merge with the neighbour of their highest affinity
        (see `affinity_watershed`). ``seeds``: the boundary map is one minus the mean of the nearest-neighbour affinities; seeds are
        maxima of the distance to voxels above `boundary`; the watershed floods the boundary map, so that fragments meet where the
        membrane is most likely (after Funke et al. 2019, doi:10.1109/TPAMI.2018.2835450, who flood the distance). None is the one
        that has the parameters given; without any, ``seeds`` in sections, and ``ascent`` in 3-D, where it is better
        (docs/results/ascent.md).
    sections
        Find the fragments of each z section alone (``true``) or in 3-D (``false``). None is ``true`` where the backbone predicts no
        affinities across sections, else 3-D; for ``seeds`` also ``true`` where z is at least twice as coarse as xy.
    min_size_vx
        For ``ascent``: a fragment of fewer voxels merges; 0 keeps all.
    low
        For ``ascent``: affinities below it do not count.
    high
        For ``ascent``: affinities of at least this always join.
    boundary
        For ``seeds``: boundary probability above which a voxel is a boundary.
    smoothing_vx
        For ``seeds``: sigma of the Gaussian on the boundary map, in xy voxels.
    seed_distance_vx
        For ``seeds``: a seed is the maximum within this many xy voxels.
    distance_weight
        For ``seeds``: how far the distance to the boundary lowers the flooded map, 0 to 1.
    min_affinity
        Fragments with a lower mean affinity are dropped (they are background); 0 keeps all.
    """

    kind: ClassVar[str] = "fragments"
    version: ClassVar[int] = 2

    method: Method | None = None
    sections: bool | None = None
    min_size_vx: int = Field(default=1600, ge=0)
    low: float = Field(default=0.0, ge=0, lt=1)
    high: float = Field(default=0.996, gt=0, le=1)
    boundary: float = Field(default=0.3, gt=0, lt=1)
    smoothing_vx: float = Field(default=0.0, ge=0)
    seed_distance_vx: int = Field(default=6, ge=1)
    distance_weight: float = Field(default=0.5, ge=0, le=1)
    min_affinity: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> "Fragments":
        raise_together(self._check_method, self._check_range)
        return self

    def _check_method(self) -> None:
        given = self._list_given()
        for method, name in given.items():
            if self.method not in (None, method):
                raise ValueError(f"{name} is of the method {method!r}: set method to it, or leave {name} out")
        if len(given) > 1:
            told = " and ".join(f"{name} of {method!r}" for method, name in given.items())
            raise ValueError(f"{told} are of two methods: leave one of them out")

    def _check_range(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low, {self.low}, should be below high, {self.high}")

    def resolve(self, voxel_size_nm: tuple[float, ...], offsets: Sequence[Zyx] = NEAREST) -> "Fragments":
        """Return the parameters with `method` and `sections` decided.

        Parameters
        ----------
        offsets
            Of the affinities that the backbone predicts, in voxels.
        """
        sections = self.sections
        if sections is None and NEAREST[0] not in offsets:
            sections = True
        by_sections: Method = "seeds" if sections else "ascent"
        method = self.method or next(iter(self._list_given()), by_sections)
        if sections is None:
            coarse = voxel_size_nm[0] >= ANISOTROPIC * max(voxel_size_nm[1:])
            sections = method == "seeds" and coarse
        return self.model_copy(update={"method": method, "sections": sections})

    def _list_given(self) -> dict[Method, str]:
        """Return for each method the last of its own parameters that is not at its default, if there is one."""
        default = {name: field.default for name, field in type(self).model_fields.items()}
        own = ((method, name) for method, names in PARAMETERS.items() for name in names)
        return {method: name for method, name in own if getattr(self, name) != default[name]}

    def create_output(self, task: Task) -> None:
        """Create the uint64 array of fragments."""
        task.create_array(Volume.open(task.inputs["affs"]), np.uint64)

    def written(self, task: Task) -> Written:
        """Return which blocks' chunks are there, and what they see beyond their border."""
        return WrittenTogether([task.written_array(), written_views(to_location(task.output), task.grid)])

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block's fragments and reports how many there are."""
        affs, fragments = Volume.open(task.inputs["affs"]), Volume.open(task.output, "r+")
        tissue = open_tissue(task.inputs, affs, lost_sections=True)
        capacity = capacity_of(task.grid)

        def find(block: Block) -> dict[str, Any]:
            read_roi = block.read_roi.intersect(affs.roi)
            within = None if tissue is None else tissue.read(read_roi)
            found = find_fragments(affs.read(read_roi), affs.voxel_size_nm, self, within)
            inside = ((block.write_roi - read_roi.begin) / affs.voxel_size).to_slices()
            numbers = number_inside(found, inside)
            write_views(fragments.path, block.index, found, inside, numbers)
            ids = look_up(to_global(numbers, block.index, capacity), found[inside])
            fragments.write(block.write_roi, ids)
            return {"fragments": int(numbers.max())}

        return find


def find_fragments(
    affs: np.ndarray, voxel_size_nm: tuple[float, ...], parameters: Fragments, tissue: np.ndarray | None = None
) -> np.ndarray:
    """Return fragments of a whole array.

    Parameters
    ----------
    affs
        uint8 (0 to 255) or float (0 to 1), shape (c, z, y, x); the first three channels are the nearest neighbours in z, y, x.
    parameters
        Resolved, or they are resolved as for affinities in z, y and x.
    tissue
        bool, zyx; there are fragments only where it is true; by default everywhere.

    Returns
    -------
    np.ndarray
        uint32, shape (z, y, x): 0 where nothing was found (no seed reached it, no affinity counts, or the fragment was dropped).
    """
    parameters = parameters.resolve(voxel_size_nm)
    sections = bool(parameters.sections)
    if parameters.method == "ascent":
        found = _ascend(affs, parameters, sections, tissue)
    else:
        found = _flood_from_seeds(affs, voxel_size_nm, parameters, sections)
        if tissue is not None:
            found[~tissue] = 0
    if parameters.min_affinity > 0:
        found = _drop_weak(found, _mean_affinity(affs, sections), parameters.min_affinity)
    return found


def _ascend(affs: np.ndarray, parameters: Fragments, sections: bool, tissue: np.ndarray | None) -> np.ndarray:
    if affs.dtype != np.uint8:
        affs = np.rint(affs * 255).astype(np.uint8)
    if tissue is not None:
        affs = keep_inside(affs, tissue)
    basins, count = find_basins(affs, parameters.low, parameters.high, sections)
    if parameters.min_size_vx > 1:
        absorb_small(affs, basins, count, parameters.low, parameters.min_size_vx, sections)
    return basins


def _mean_affinity(affs: np.ndarray, sections: bool) -> np.ndarray:
    """Return float32, zyx: the mean of the affinities to the nearest neighbours, 0 to 1; within sections, or of all."""
    scale = 1.0 / 255.0 if affs.dtype == np.uint8 else 1.0
    if sections:
        return np.asarray((affs[1].astype(np.float32) + affs[2]) * np.float32(scale / 2))
    return np.asarray((affs[0].astype(np.float32) + affs[1] + affs[2]) * np.float32(scale / 3))


def _flood_from_seeds(
    affs: np.ndarray, voxel_size_nm: tuple[float, ...], parameters: Fragments, sections: bool
) -> np.ndarray:
    inside = _mean_affinity(affs, sections)
    if not sections:
        finest = min(voxel_size_nm)
        return _flood(inside, tuple(v / finest for v in voxel_size_nm), parameters)
    found = np.zeros(inside.shape, np.uint32)
    last = 0
    for section, target in zip(inside, found, strict=True):
        flooded = _flood(section, (1.0, 1.0), parameters)
        target[:] = np.where(flooded > 0, flooded + np.uint32(last), 0)
        last = max(last, int(target.max()))
    return found


def _flood(inside: np.ndarray, aspect: tuple[float, ...], parameters: Fragments) -> np.ndarray:
    boundary = 1 - inside
    if parameters.smoothing_vx > 0:
        boundary = smooth(boundary, [parameters.smoothing_vx / a for a in aspect])
    distance = edt.edt(boundary < parameters.boundary, anisotropy=aspect, black_border=False, parallel=1)
    if not np.isfinite(distance).all():
        distance = np.ones_like(boundary)
    reach = tuple(round(2 * parameters.seed_distance_vx / a) // 2 for a in aspect)
    maxima = find_maxima(smooth(distance, [1.0 / a for a in aspect]), reach) & (distance > 0)
    seeds = cc3d.connected_components(maxima, connectivity=8 if maxima.ndim == 2 else 26)
    height = boundary
    if parameters.distance_weight > 0:
        # A fixed scale: one taken from the block's own maximum would make fragments depend on the block.
        depth = np.minimum(distance / (2 * parameters.seed_distance_vx), 1)
        height = boundary * (1 - parameters.distance_weight) + (1 - depth) * parameters.distance_weight
    return flood(height, seeds.astype(np.uint32))


def _drop_weak(found: np.ndarray, inside: np.ndarray, min_affinity: float) -> np.ndarray:
    sums = np.bincount(found.ravel(), weights=inside.ravel())
    weak = sums < min_affinity * np.bincount(found.ravel())
    weak[0] = True
    return np.where(weak[found], np.uint32(0), found)


def context_vx(parameters: Fragments, voxel_size_nm: tuple[float, ...]) -> Zyx:
    """Return the context a block needs so that its fragments hardly depend on where it was cut."""
    parameters = parameters.resolve(voxel_size_nm)
    sections = bool(parameters.sections)
    if parameters.method == "seeds":
        xy = 4 * parameters.seed_distance_vx
        z, y, x = (xy if sections else round(xy * min(voxel_size_nm) / v) for v in voxel_size_nm)
    else:
        # Basins need one voxel. Whether they merge depends on their sizes: a fragment of the least size is to be seen as a whole.
        aspect = [v / min(voxel_size_nm) for v in voxel_size_nm]
        across = aspect[1:] if sections else aspect
        side = (parameters.min_size_vx * math.prod(across)) ** (1 / len(across))
        z, y, x = (max(1, math.ceil(WIDTHS * side / a)) for a in aspect)
    return (0 if sections else z), y, x
