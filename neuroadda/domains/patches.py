"""Patches of a volume at a network's pixel size: where they lie, what they show, and which of them belong together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from funlib.geometry import Coordinate, Roi
from pydantic import Field

from neuroadda.config import PathText, Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.grey_values import check_raw_type
from neuroadda.volumes.coverage.filling import Data
from neuroadda.volumes.coverage.no_data import FoundData, has_constant_runs
from neuroadda.volumes.coverage.no_data_setting import AUTO, NONE, WithNoData, open_no_data
from neuroadda.volumes.geometry.regions import RoiConfig, roi_or_all
from neuroadda.volumes.resampling import check_pixel, resample_sections

ROUNDS = 100
BLOCKS, BLOCKS_OF_LARGE = 16, 64
LARGE_NM = 2000.0
WHOLE_VOXELS, WHOLE_MASK_VOXELS = 2**28, 2**26
BATCH_VOXELS = 2**21


class PatchConfig(WithNoData):
    """Which patches are drawn from a volume; their shape and pixel size are the network's.

    Attributes
    ----------
    count : patches
        How many patches.
    seed
        Seed of the random places.
    mask
        Array that is non-zero where patches may lie; of any voxel size.
    no_data
        Where the volume has none; no patch shows that: "auto" for constant areas, "none", or a mask, 0 where there is no data.
    roi
        Where patches lie; all of the volume by default.
    """

    count: Annotated[int, Field(ge=2, le=10**7)] = 1024
    seed: int = 0
    mask: PathText | None = None
    roi: RoiConfig | None = None


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of one volume.

    Attributes
    ----------
    raw
        uint8 (n, z, y, x).
    blocks
        int64 (n,): the spatial block that a patch's centre lies in. Neighbours show the same tissue, so that not
        patches but blocks are what may be taken for independent.
    pixel_nm
        Size of their pixels, y and x.
    """

    raw: np.ndarray
    blocks: np.ndarray
    pixel_nm: float


@dataclass(frozen=True, eq=False)
class Places:
    """Where patches lie in a volume: one set serves networks of any pixel size, so that they see the same tissue.

    Attributes
    ----------
    centres_vx
        int64 (n, 3), zyx, in voxels of the volume from its first one.
    blocks
        int64 (n,), as in `Patches`.
    sections
        The sections (first, past the last) that patches may show.
    """

    centres_vx: np.ndarray
    blocks: np.ndarray
    sections: tuple[int, int]


def draw_patches(volume: Volume, pixel_nm: float, shape_vx: Zyx, config: PatchConfig) -> Patches:
    """Return random patches of a volume: `read_patches` of `draw_places`."""
    places = draw_places(volume, footprint_vx(volume, pixel_nm, shape_vx), config)
    return read_patches(volume, places, pixel_nm, shape_vx)


def footprint_vx(volume: Volume, pixel_nm: float, shape_vx: Zyx) -> Zyx:
    """Return the shape (zyx), in voxels of the volume, of what a patch of this shape and pixel size shows."""
    pixel_nm = check_pixel(pixel_nm)
    _, y, x = (math.ceil(n * pixel_nm / nm - 1e-6) for n, nm in zip(shape_vx, volume.voxel_size_nm, strict=True))
    return (shape_vx[0], y, x)


def count_fitting(volume: Volume, footprint: Zyx, config: PatchConfig) -> int:
    """Return how many patches of this footprint (see `footprint_vx`) fit side by side into a section of the ROI of `config`."""
    box = volume.to_slices(roi_or_all(config.roi, volume))
    return math.prod((s.stop - s.start) // n for s, n in zip(box[1:], footprint[1:], strict=True))


def check_room(volume: Volume, footprint: Zyx, config: PatchConfig) -> None:
    """Raise UserError unless a patch of this footprint fits; see `count_fitting`."""
    if count_fitting(volume, footprint, config):
        return
    box = volume.to_slices(roi_or_all(config.roi, volume))
    needed, there = (
        " x ".join(f"{n * nm:g}" for n, nm in zip(shape, volume.voxel_size_nm, strict=True))
        for shape in (footprint, [s.stop - s.start for s in box])
    )
    what = f"a patch of {needed} nm (zyx) does not fit into the {'ROI' if config.roi else 'volume'} of {there} nm"
    raise UserError(what, str(volume.path), "take a larger one, or a network of smaller patches or pixels")


def draw_places(volume: Volume, footprint: Zyx, config: PatchConfig) -> Places:
    """Draw places for patches, uniformly and with replacement: they overlap where the volume is small.

    A patch of the given footprint lies inside the ROI and the volume, and its centre and at least half of its voxels in
    the mask. If there are fewer sections than a patch has, it shows them all, and their mirror images above and below.
    Where the mask is so small that a hundred times `count` tries find too few places, those found are repeated.

    Blocks are the cells of a grid over all places there are: it is halved along its physically longest axis until it
    has 16 cells, and up to 64 while cells are longer than 2 micrometres.

    Parameters
    ----------
    footprint
        zyx voxels of the volume, see `footprint_vx`.

    Raises
    ------
    UserError
        If the volume is not uint8 zyx, the ROI or mask are wrong, or not one patch fits.
    """
    check_raw_type(volume)
    check_room(volume, footprint, config)
    box = volume.to_slices(roi_or_all(config.roi, volume))
    begin = np.array([s.start for s in box])
    shape = np.array([s.stop - s.start for s in box])
    lacking = np.array([max(0, footprint[0] - int(shape[0])), 0, 0])
    room = shape + lacking - footprint + 1
    first = begin - lacking // 2
    rng = np.random.default_rng(config.seed)
    tests = [
        _mask_test(volume, config.mask, footprint, box) if config.mask else None,
        _data_test(volume, config.no_data, footprint, box),
    ]
    origins = first + _draw(
        rng, room, config, lambda at: all(test is None or test(first + at) for test in tests), str(volume.path)
    )
    cells = _grid(room, volume.voxel_size_nm)
    blocks = np.ravel_multi_index(tuple(((origins - first) * cells // room).T), tuple(cells))
    centres = origins + np.array(footprint) // 2
    return Places(centres, blocks.astype(np.int64), (int(begin[0]), int(begin[0] + shape[0])))


def read_patches(volume: Volume, places: Places, pixel_nm: float, shape_vx: Zyx) -> Patches:
    """Read the patches at these places, and nothing else but a pixel around them for interpolation.

    (A volume of fewer voxels than they have together, and no more than 256 MiB, is read once as a whole.)

    Parameters
    ----------
    pixel_nm, shape_vx
        Of the patches (zyx); their footprint must not be larger than that the places were drawn for.
    """
    pixel_nm = check_pixel(pixel_nm)
    size = np.array(footprint_vx(volume, pixel_nm, shape_vx))
    origins = places.centres_vx - size // 2
    raw = np.empty((len(origins), *shape_vx), np.uint8)
    voxels = volume.data
    if voxels.size <= min(len(origins) * size.prod(), WHOLE_VOXELS):
        voxels = np.asarray(voxels)
    step = max(1, BATCH_VOXELS // int(size.prod()))
    for begin in range(0, len(origins), step):
        windows = np.concatenate(
            [_read_window(voxels, o, size, places.sections) for o in origins[begin : begin + step]]
        )
        nm = (volume.voxel_size_nm[1], volume.voxel_size_nm[2])
        sections = resample_sections(windows, nm, pixel_nm, first_px=(1, 1), shape_px=shape_vx[1:])
        raw[begin : begin + step] = sections.reshape(-1, *shape_vx)
    return Patches(raw, places.blocks, pixel_nm)


def match_levels(patches: Patches, mean: float, std: float) -> Patches:
    """Return patches whose raw has, over all of them, this mean and standard deviation (0..255), as far as uint8 can hold it."""
    raw = patches.raw.astype(np.float32)
    raw = (raw - raw.mean()) / max(float(raw.std()), 1.0) * np.float32(std) + np.float32(mean)
    return replace(patches, raw=raw.round().clip(0, 255).astype(np.uint8))


def _read_window(voxels: Any, origin: np.ndarray, size: np.ndarray, sections: tuple[int, int]) -> np.ndarray:
    """Return a patch's voxels and a pixel around them in y and x; beyond the sections it is mirrored, else the border goes on."""
    begin, end = origin - (0, 1, 1), origin + size + (0, 1, 1)
    low = np.maximum(begin, (sections[0], 0, 0))
    high = np.minimum(end, (sections[1], *voxels.shape[1:]))
    z, y, x = zip(low - begin, end - high, strict=True)
    window = np.asarray(voxels[tuple(map(slice, low, high))])
    return np.pad(np.pad(window, ((0, 0), y, x), mode="edge"), (z, (0, 0), (0, 0)), mode="reflect")


def _draw(
    rng: np.random.Generator,
    room: np.ndarray,
    config: PatchConfig,
    allowed: Callable[[np.ndarray], bool],
    where: str,
) -> np.ndarray:
    """Return int64 (count, 3): random allowed places within `room`; `where` names the volume if there is none."""
    found = []
    for _ in range(ROUNDS):
        for place in rng.integers(room, size=(config.count, 3)):
            if allowed(place):
                found.append(place)
            if len(found) == config.count:
                return np.array(found)
    if not found:
        if config.mask is None:
            what = f"of {ROUNDS * config.count} random places none has data in all of its patch"
            right = f'give a roi that has data, or set no_data to "{NONE}" if constant areas are tissue'
            raise UserError(what, where, right)
        what = f"of {ROUNDS * config.count} random places none has its centre and half of its patch in the mask"
        raise UserError(what, config.mask, "give a larger mask, or a roi around it")
    repeated = rng.integers(len(found), size=config.count - len(found))
    return np.array(found)[np.concatenate([np.arange(len(found)), repeated])]


def _grid(room: np.ndarray, voxel_size_nm: Sequence[float]) -> np.ndarray:
    """Return the number of cells along each axis."""
    cells = np.ones(3, np.int64)
    extent = room * np.array(voxel_size_nm)
    while True:
        longest = np.where(cells * 2 <= room, extent / cells, 0)
        axis = int(longest.argmax())
        limit = BLOCKS_OF_LARGE if longest[axis] > LARGE_NM else BLOCKS
        if longest[axis] == 0 or cells.prod() * 2 > limit:
            return cells
        cells[axis] *= 2


def _data_test(
    volume: Volume, setting: str, footprint: Zyx, box: tuple[slice, ...]
) -> Callable[[np.ndarray], bool] | None:
    """Return what says of an origin (zyx voxels of the volume) whether the part in `box` of a patch there has data throughout."""
    if setting == NONE:
        return None
    size, first, past = np.array(footprint), np.array([s.start for s in box]), np.array([s.stop for s in box])

    def cut(origin: np.ndarray) -> tuple[slice, ...]:
        return tuple(map(slice, np.maximum(origin, first), np.minimum(origin + size, past)))

    data: Data = open_no_data(setting, volume) or FoundData(volume)
    if volume.data.size <= WHOLE_MASK_VOXELS:
        known = data.read(volume.roi)
        return None if known.all() else lambda origin: bool(known[cut(origin)].all())

    def has_data(origin: np.ndarray) -> bool:
        part = cut(origin)
        if setting == AUTO and not has_constant_runs(volume.read_box(part)):
            return True  # without a look around the patch
        begin, end = (Coordinate(int(getattr(s, side)) for s in part) for side in ("start", "stop"))
        return bool(data.read(Roi(begin, end - begin) * volume.voxel_size + volume.roi.begin).all())

    return has_data


def _mask_test(volume: Volume, mask_path: str, footprint: Zyx, box: tuple[slice, ...]) -> Callable[[np.ndarray], bool]:
    """Return what says of an origin (zyx voxels of the volume) whether the part in `box` of a patch there is masked in."""
    mask = Volume.open(mask_path)
    if mask.channels is not None or not (np.issubdtype(mask.dtype, np.integer) or mask.dtype == bool):
        raise UserError(f"this is {mask.dtype} with {mask.data.ndim} axes", mask_path, "masks are integers, zyx")
    size, first, past = np.array(footprint), np.array([s.start for s in box]), np.array([s.stop for s in box])
    grids = list(
        zip(volume.offset_nm, volume.voxel_size_nm, mask.offset_nm, mask.voxel_size_nm, mask.shape_vx, strict=True)
    )

    def indices(axis: int, begin: int, size: int) -> np.ndarray:
        """Return the mask's voxels under the centres of these of the volume, those outside of it left out."""
        offset, nm, mask_offset, mask_nm, length = grids[axis]
        index = np.floor((offset + (np.arange(begin, begin + size) + 0.5) * nm - mask_offset) / mask_nm)
        return index[(index >= 0) & (index < length)].astype(np.int64)

    def fraction(origin: np.ndarray, size: np.ndarray) -> float:
        under = [indices(axis, int(origin[axis]), int(size[axis])) for axis in range(3)]
        if any(len(index) == 0 for index in under):
            return 0.0
        box = mask.read_box([slice(int(i[0]), int(i[-1]) + 1) for i in under])
        held = box[np.ix_(*(index - index[0] for index in under))]
        return float(np.count_nonzero(held) / size.prod())

    def inside(origin: np.ndarray) -> bool:
        begin, end, centre = np.maximum(origin, first), np.minimum(origin + size, past), origin + size // 2
        return fraction(np.minimum(centre, past - 1), np.ones(3, int)) == 1 and fraction(begin, end - begin) >= 0.5

    return inside
