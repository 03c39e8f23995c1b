"""Labels in files: a crop or a whole volume, or a folder of crops as they were exported, labelled in place."""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from neuroadda.active.label_sources.array import LabelArray
from neuroadda.errors import UserError
from neuroadda.volumes.importing import boxes
from neuroadda.volumes.readers import Source, open_source

CROP_LABELS = "labels/neurons/0"
RANK = re.compile(r"(?<![a-z0-9])roi_?(\d{1,9})(?!\d)", re.IGNORECASE)
CROP = re.compile(r"roi_(\d{1,9})(\.\w+)?", re.IGNORECASE)
COUNT_VOXELS = 2**31


@contextmanager
def open_local(path: Path, dataset: str | None) -> Iterator[list[LabelArray]]:
    """Open a file or an array, or each ``roi_*`` in a folder.

    Raises
    ------
    UserError
        If it is missing or cannot be read, or two are named for one rank.
    """
    crops = _find_crops(path)
    with ExitStack() as stack:
        arrays: dict[int, LabelArray] = {}
        for rank, crop in crops:
            if rank in arrays:
                raise UserError(f"there are two for roi_{rank}: {arrays[rank].name} and {crop.name}", str(path))
            arrays[rank] = _open_one(crop, dataset, rank, stack)
        yield list(arrays.values()) or [_open_one(path, dataset, _guess_rank(path), stack)]


def _find_crops(path: Path) -> list[tuple[int, Path]]:
    if not path.is_dir() or path.suffix == ".zarr":
        return []
    found = [(match, p) for p in path.iterdir() if (match := CROP.fullmatch(p.name))]
    return sorted((int(match[1]), p) for match, p in found)


def _open_one(path: Path, dataset: str | None, rank: int | None, stack: ExitStack) -> LabelArray:
    if dataset is None and (path / CROP_LABELS / ".zarray").is_file():
        dataset = CROP_LABELS
    source = stack.enter_context(open_source(path, dataset, prefer_labels=True))
    return LabelArray(
        str(source),
        source.shape,
        source.dtype,
        source.stored,
        source.voxel_size_nm,
        source.offset_nm,
        rank,
        _all_parts(source),
    )


def _all_parts(source: Source) -> tuple[tuple[slice, slice, slice], ...] | None:
    if math.prod(source.shape) > COUNT_VOXELS:
        return None
    chunk = [min(64, s) for s in source.shape]
    return tuple(boxes(source.shape, chunk, source.dtype.itemsize))


def _guess_rank(path: Path) -> int | None:
    """Take the rank out of the file's name, or out of its container's (``roi_1.zarr/labels``)."""
    container = next((p for p in path.parents if p.suffix in (".zarr", ".n5")), path)
    ranks = {int(match) for name in (path.name, container.name) for match in RANK.findall(name)}
    return ranks.pop() if len(ranks) == 1 else None
