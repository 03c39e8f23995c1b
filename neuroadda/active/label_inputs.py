"""Arrays of labels that come back: a file, an annotation or a served segmentation, or each crop in a folder of crops."""

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.active.proposals import Proposals
from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.importing import boxes
from neuroadda.volumes.readers import Box, Source, open_source, to_source_location
from neuroadda.volumes.storage.urls import Url

CROP_LABELS = "labels/neurons/0"
RANK = re.compile(r"(?<![a-z0-9])roi_?(\d{1,9})(?!\d)", re.IGNORECASE)
CROP = re.compile(r"roi_(\d{1,9})(\.\w+)?", re.IGNORECASE)
COUNT_VOXELS = 2**31


@dataclass(frozen=True)
class LabelInput:
    """An array of labels, and the rank of the proposal that it is meant for, where its name says."""

    source: Source
    rank: int | None = None

    @property
    def name(self) -> str:
        """Where it lies, for people."""
        return str(self.source)

    @property
    def shape(self) -> Zyx | None:
        """zyx; None if it ends nowhere (what is not stored is 0)."""
        return None if self.source.endless else self.source.shape

    @property
    def offset_nm(self) -> ZyxFloat | None:
        """zyx, where the source says."""
        return self.source.offset_nm

    def read(self, box: Box) -> np.ndarray:
        """Return a box of labels, counted from the array's first voxel; raises UserError if they cannot be read."""
        return self.source.read(box, "its labels")

    def parts(self) -> tuple[Box, ...] | None:
        """Return boxes that together hold all labels; None if there are too many to look through."""
        source = self.source
        if source.parts is not None:
            return source.parts
        if isinstance(source.location, Url) or math.prod(source.shape) > COUNT_VOXELS:
            return None
        return tuple(boxes(source.shape, [min(64, s) for s in source.shape], source.dtype.itemsize))


@contextmanager
def open_inputs(proposals: Proposals, location: Path | Url | str, dataset: str | None) -> Iterator[list[LabelInput]]:
    """Open the array of labels at a location, or each ``roi_*`` in a folder.

    Raises
    ------
    UserError
        If it is missing or cannot be read, or two are named for one rank.
    """
    location = to_source_location(location)
    with ExitStack() as stack:
        if isinstance(location, Url):
            yield [_open_one(location, dataset, None, proposals, stack)]
            return
        inputs: dict[int, LabelInput] = {}
        for rank, crop in _find_crops(location):
            if rank in inputs:
                raise UserError(f"there are two for roi_{rank}: {inputs[rank].name} and {crop.name}", str(location))
            inputs[rank] = _open_one(crop, dataset, rank, proposals, stack)
        yield list(inputs.values()) or [_open_one(location, dataset, _guess_rank(location), proposals, stack)]


def _find_crops(path: Path) -> list[tuple[int, Path]]:
    if not path.is_dir() or path.suffix == ".zarr":
        return []
    found = [(match, p) for p in path.iterdir() if (match := CROP.fullmatch(p.name))]
    return sorted((int(match[1]), p) for match, p in found)


def _open_one(
    location: Path | Url, dataset: str | None, rank: int | None, proposals: Proposals, stack: ExitStack
) -> LabelInput:
    if isinstance(location, Path) and dataset is None and (location / CROP_LABELS / ".zarray").is_file():
        dataset = CROP_LABELS
    opened = open_source(
        location,
        dataset,
        prefer_labels=True,
        voxel_size_nm=proposals.voxel_size_nm,
        size_name="raw's voxel size",
        offset_nm=_first_voxel_nm(location, proposals),
    )
    return LabelInput(stack.enter_context(opened), rank)


def _first_voxel_nm(location: Path | Url, proposals: Proposals) -> ZyxFloat | None:
    """Return where raw's first voxel lies, from which a WEBKNOSSOS annotation counts; raw may lie on another machine."""
    if location.suffix.lower() != ".zip":
        return None
    z, y, x = proposals.open_volume().offset_nm
    return z, y, x


def _guess_rank(path: Path) -> int | None:
    """Take the rank out of the file's name, or out of its container's (``roi_1.zarr/labels``)."""
    container = next((p for p in path.parents if p.suffix in (".zarr", ".n5")), path)
    ranks = {int(match) for name in (path.name, container.name) for match in RANK.findall(name)}
    return ranks.pop() if len(ranks) == 1 else None
