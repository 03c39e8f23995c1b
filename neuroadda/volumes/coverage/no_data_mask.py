"""The mask of where a volume has data, written once: 1 where it has, 0 where it has none."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from funlib.geometry import Roi

from neuroadda.config import fingerprint
from neuroadda.errors import UserError, warn
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.sections import SAMPLE_VX, SectionFaults, SectionStatistics
from neuroadda.volumes.coverage.no_data import BOX_VOXELS, SIDE_VX, mark_cells
from neuroadda.volumes.coverage.no_data_search import look_through
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.nodes import is_array

VERSION = 1
MOST_REPEATED = 0.25
MOST_CELLS = 2**32
FACTS = "no_data"
PART = "part_vx"  # of raw, begin and end along z, y, x; only where it was not looked at as a whole


def write_no_data_mask(
    raw: Volume,
    path: Location | str,
    content: str | None = None,
    roi: Roi | None = None,
    *,
    box_bytes: int = BOX_VOXELS,
) -> Volume:
    """Find where a volume has data, unless it is known here already: memory is some boxes, and some bytes a section.

    Sections that repeat the one before have no data of their own: they are 0, unless more than a quarter of all sections are such,
    as of a volume that was resampled along z. Jumps of the alignment are named, and stay 1.

    A voxel of the mask is one of raw in volumes of up to 2^32 voxels; else it is 2 x 2, 4 x 4 or 8 x 8 of a section, 0 if one of
    them has no data.

    Parameters
    ----------
    content
        What determines raw's content, by default its fingerprint: a mask of other content is made again.
    roi
        Where to look, by default in all of raw. Elsewhere the mask is 0, and sections are compared in this part alone.
    box_bytes
        About how much is looked at at a time; the mask does not depend on it.

    Returns
    -------
    Volume
        uint8, zyx, 1 for data; see `read_facts` for what else was found.

    Raises
    ------
    UserError
        If raw has channels, or something else lies at `path`.
    """
    path = to_location(path)
    if (known := find_no_data_mask(raw, path, content, roi)) is not None:
        return known
    if raw.channels is not None:
        raise UserError(f"raw has {raw.channels} channels", str(raw.path), "a mask is made of one-channel raw (zyx)")
    if is_array(path) and FACTS not in Volume.open(path).attrs:
        raise UserError("another array lies here", str(path), "give another place for the mask")
    cell_vx = (1, _cell_side(raw), _cell_side(raw))
    shape = tuple(-(-n // c) for n, c in zip(raw.shape_vx, cell_vx, strict=True))
    cell_nm = tuple(v * c for v, c in zip(raw.voxel_size_nm, cell_vx, strict=True))
    mask = Volume.create(
        path, shape, cell_nm, np.uint8, offset_nm=raw.offset_nm, attrs={FACTS: None, "fingerprint": "unfinished"}
    )
    part = _to_part(raw, roi)
    share, faults, unread, with_data = _look(raw, part, box_bytes, mask)
    cells = _to_cells(part, _cell_side(raw))
    if len(faults.repeated) <= MOST_REPEATED * len(with_data):
        for z in faults.repeated:
            mask.data[(z, *cells[1:])] = 0
            with_data[z - part[0].start] = 0
    else:
        warn(f"{len(faults.repeated)} of {len(with_data)} sections repeat the one before", str(raw.path))
    gaps = math.prod(s.stop - s.start for s in cells) - int(with_data.sum())
    facts: dict[str, Any] = {"share": share, "cells": gaps, "sections": asdict(faults)}
    if part != _to_part(raw, None):
        facts[PART] = [[s.start, s.stop] for s in part]
    name = _fingerprint_of(raw, content, facts.get(PART))
    name = fingerprint(name, unread) if unread else name  # else looked for again in the next run
    mask.data.attrs.update({FACTS: facts, "raw_fingerprint": raw.fingerprint, "fingerprint": name})
    return Volume.open(path)


def survey_no_data(raw: Volume) -> tuple[float, SectionFaults]:
    """Return the share of a zyx volume's voxels without data, and the faults of its sections; nothing is written."""
    return _look(raw, _to_part(raw, None), BOX_VOXELS, None)[:2]


def is_mask_of(raw: Volume, path: Location | str) -> bool:
    """Tell whether a mask of this raw lies at a place, whatever raw held when it was made."""
    path = to_location(path)
    return is_array(path) and Volume.open(path).attrs.get("raw_fingerprint") == raw.fingerprint


def find_no_data_mask(
    raw: Volume, path: Location | str, content: str | None = None, roi: Roi | None = None
) -> Volume | None:
    """Return the finished mask of this very raw, None if there is none at `path` or one of another part than the ROI."""
    if not is_array(to_location(path)):
        return None
    mask = Volume.open(path)
    if not (facts := mask.attrs.get(FACTS)):
        return None
    if mask.attrs.get("fingerprint") != _fingerprint_of(raw, content, facts.get(PART)):
        return None
    asked, looked = _to_part(raw, roi), _part_of(mask, raw)
    is_covered = all(a.start >= b.start and a.stop <= b.stop for a, b in zip(asked, looked, strict=True))
    return mask if is_covered else None


def count_cells(mask: Volume, raw: Volume) -> int:
    """Return how many cells of a mask were looked at."""
    return math.prod(s.stop - s.start for s in _to_cells(_part_of(mask, raw), _cell_side(raw)))


def read_facts(mask: Volume) -> tuple[float, SectionFaults]:
    """Return the share of raw's voxels without data, and the faults of its sections, as `write_no_data_mask` has noted them."""
    facts = mask.attrs[FACTS]
    return facts["share"], SectionFaults(**{name: tuple(found) for name, found in facts["sections"].items()})


def _look(
    raw: Volume, part: Sequence[slice], box_bytes: int, mask: Volume | None
) -> tuple[float, SectionFaults, int, np.ndarray]:
    """Look at a part of raw, and write what is found into a mask.

    Also return how many boxes could not be read, and how many cells of each section have data.
    """
    sections, lost, unread = SectionStatistics(part[0]), 0, 0
    side, with_data = _cell_side(raw), np.zeros(part[0].stop - part[0].start, np.int64)
    for looked in look_through(raw, part, box_bytes):
        sections.add(looked.sections)
        lost += int(np.count_nonzero(looked.found))
        if looked.error:
            unread += 1
            warn(f"not looked at for no data, since it cannot be read: {looked.error}", str(raw.path))
        if mask is not None:
            data = ~mark_cells(looked.found, side)
            with_data[looked.box[0].start - part[0].start : looked.box[0].stop - part[0].start] += data.sum(axis=(1, 2))
            if data.any():  # else it stays 0
                mask.data[_to_cells(looked.box, side)] = data.astype(np.uint8)
    return lost / math.prod(s.stop - s.start for s in part), sections.find_faults(), unread, with_data


def _fingerprint_of(raw: Volume, content: str | None, part: list[list[int]] | None) -> str:
    return fingerprint(
        "no_data", VERSION, _cell_side(raw), SIDE_VX, content or raw.fingerprint, *([] if part is None else [part])
    )


def _cell_side(raw: Volume) -> int:
    """Return the side of the mask's cells in a section, in voxels: 1, unless that makes too many of them."""
    return next(side for side in (1, 2, 4, SAMPLE_VX) if side == SAMPLE_VX or raw.data.size <= MOST_CELLS * side**2)


def _to_part(raw: Volume, roi: Roi | None) -> tuple[slice, ...]:
    """Return the voxels of raw in a ROI, by whole samples of a section; all of raw for None."""
    z, *section = raw.to_slices(raw.roi if roi is None else roi)
    axes = zip(section, raw.shape_vx[1:], strict=True)
    return (
        z,
        *(slice(s.start // SAMPLE_VX * SAMPLE_VX, min(n, -(-s.stop // SAMPLE_VX) * SAMPLE_VX)) for s, n in axes),
    )


def _part_of(mask: Volume, raw: Volume) -> tuple[slice, ...]:
    """Return the voxels of raw that were looked at for a mask."""
    part = mask.attrs[FACTS].get(PART)
    return _to_part(raw, None) if part is None else tuple(slice(*ends) for ends in part)


def _to_cells(part: Sequence[slice], side: int) -> tuple[slice, ...]:
    """Return the cells of voxels that begin on one."""
    return (part[0], *(slice(s.start // side, -(-s.stop // side)) for s in part[1:]))
