"""Raw or labels: what a source is imported as where nobody says it, and when that has to be asked."""

import re
from typing import Literal

import numpy as np

from neuroadda.errors import UserError
from neuroadda.volumes.contents.grey_values import GreyTally
from neuroadda.volumes.readers.source import Source

Kind = Literal["raw", "labels"]
NAMES = ("label", "neuron_ids", "segmentation")  # of arrays that are labels
DOUBTFUL = frozenset(
    {"seg", "segs", "ids", "instances", "annotation", "annotations", "gt", "truth"}
)  # of those that may be
SECTIONS, SIDE_VX = 4, 512  # that are looked at
CONSTANT_SHARE, FEW_VALUES = 0.9, 32


def guess_kind(source: Source) -> Kind:
    """Return what a source is imported as where nobody says it."""
    if source.kind is not None:
        return source.kind
    name = (source.dataset or source.location.name).rsplit("/", 1)[-1].lower()
    named = any(word in name for word in NAMES)
    return "labels" if source.dtype.kind in "iu" and (named or source.dtype.itemsize > 2) else "raw"


def describe_label_signs(source: Source) -> str | None:
    """Return what speaks for labels in a source that would be imported as raw, None where nothing does.

    The centres of `SECTIONS` sections are looked at. Raw differs from voxel to voxel, labels are constant in each segment; see
    `GreyTally`. A name that labels have counts where the voxels do not show raw. A mask of two values is left alone, and so are
    sections of one value each.
    """
    if source.kind is not None or source.dtype.kind not in "iu" or source.dtype.itemsize > 2:
        return None
    sections = _read_sections(source)
    tally = GreyTally()
    tally.add(sections)
    if len(tally.values) <= 2 or not np.any(sections != sections[:, :1, :1]):  # a mask, or blank sections
        return None
    if tally.is_smooth:
        return f"{1 - tally.differing:.0%} of neighbouring voxels are equal, as in labels"
    if tally.blank_share >= CONSTANT_SHARE and len(tally.values) <= FEW_VALUES:
        return f"it is constant areas of {len(tally.values)} values, as labels are"
    if not tally.is_rough and (named := _find_doubtful_name(source)):
        return f"its name has {named!r}, and its voxels do not look like raw"
    return None


def ask_kind(source: Source) -> None:
    """Raise UserError if a source that would be imported as raw looks like labels."""
    if (signs := describe_label_signs(source)) is not None:
        raise UserError(f"is it raw or labels? {signs}", str(source), "give --kind raw or --kind labels")


def _read_sections(source: Source) -> np.ndarray:
    """Return the centres of some sections as uint8, zyx, in which what was equal is equal, and hardly anything else."""
    depth, *plane = source.shape
    centre = [slice(begin := max(0, (size - SIDE_VX) // 2), min(size, begin + SIDE_VX)) for size in plane]
    layers = np.unique(np.linspace(0, depth - 1, 2 * SECTIONS + 1).astype(int)[1::2])
    sections = np.concatenate([source.read((slice(int(z), int(z) + 1), *centre)) for z in layers])  # type: ignore[arg-type]
    if sections.dtype == np.uint8:
        return sections
    values, order = np.unique(sections, return_inverse=True)
    return (order.reshape(sections.shape) * min(256, len(values)) // len(values)).astype(np.uint8)


def _find_doubtful_name(source: Source) -> str | None:
    """Return the first word in the names of file and array that labels have."""
    words = re.split(r"[^a-z]+", f"{source.location.name} {source.dataset or ''}".lower())
    return next((word for word in words if word in DOUBTFUL or any(name in word for name in NAMES)), None)
