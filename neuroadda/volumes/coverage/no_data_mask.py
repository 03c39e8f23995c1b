"""The mask of where a volume has data, written once: 1 where it has, 0 where it has none."""

from dataclasses import asdict

import numpy as np

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


def write_no_data_mask(
    raw: Volume, path: Location | str, content: str | None = None, *, box_bytes: int = BOX_VOXELS
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
    if (known := find_no_data_mask(raw, path, content)) is not None:
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
    share, faults, unread, with_data = _look(raw, box_bytes, mask)
    if len(faults.repeated) <= MOST_REPEATED * len(with_data):
        for z in faults.repeated:
            mask.data[z] = 0
            with_data[z] = 0
    else:
        warn(f"{len(faults.repeated)} of {len(with_data)} sections repeat the one before", str(raw.path))
    facts = {"share": share, "cells": mask.data.size - int(with_data.sum()), "sections": asdict(faults)}
    name = _fingerprint_of(raw, content)
    name = fingerprint(name, unread) if unread else name  # else looked for again in the next run
    mask.data.attrs.update({FACTS: facts, "raw_fingerprint": raw.fingerprint, "fingerprint": name})
    return Volume.open(path)


def survey_no_data(raw: Volume) -> tuple[float, SectionFaults]:
    """Return the share of a zyx volume's voxels without data, and the faults of its sections; nothing is written."""
    return _look(raw, BOX_VOXELS, None)[:2]


def is_mask_of(raw: Volume, path: Location | str) -> bool:
    """Tell whether a mask of this raw lies at a place, whatever raw held when it was made."""
    path = to_location(path)
    return is_array(path) and Volume.open(path).attrs.get("raw_fingerprint") == raw.fingerprint


def find_no_data_mask(raw: Volume, path: Location | str, content: str | None = None) -> Volume | None:
    """Return the finished mask of this very raw, None if there is none at `path`."""
    if not is_array(to_location(path)):
        return None
    mask = Volume.open(path)
    return mask if mask.attrs.get("fingerprint") == _fingerprint_of(raw, content) and mask.attrs.get(FACTS) else None


def read_facts(mask: Volume) -> tuple[float, SectionFaults]:
    """Return the share of raw's voxels without data, and the faults of its sections, as `write_no_data_mask` has noted them."""
    facts = mask.attrs[FACTS]
    return facts["share"], SectionFaults(**{name: tuple(found) for name, found in facts["sections"].items()})


def _look(raw: Volume, box_bytes: int, mask: Volume | None) -> tuple[float, SectionFaults, int, np.ndarray]:
    """Look at all of raw, and write what is found into a mask.

    Also return how many boxes could not be read, and how many cells of each section have data.
    """
    depth, side = raw.shape_vx[0], _cell_side(raw)
    sections, with_data = SectionStatistics(slice(0, depth)), np.zeros(depth, np.int64)
    lost = unread = 0
    for looked in look_through(raw, box_bytes):
        sections.add(looked.sections)
        lost += int(np.count_nonzero(looked.found))
        if looked.error:
            unread += 1
            warn(f"not looked at for no data, since it cannot be read: {looked.error}", str(raw.path))
        if mask is not None:
            data = ~mark_cells(looked.found, side)
            with_data[looked.box[0]] += data.sum(axis=(1, 2))
            if data.any():  # else it stays 0
                place = (slice(s.start // side, -(-s.stop // side)) for s in looked.box[1:])
                mask.data[(looked.box[0], *place)] = data.astype(np.uint8)
    return lost / raw.data.size, sections.find_faults(), unread, with_data


def _fingerprint_of(raw: Volume, content: str | None) -> str:
    return fingerprint("no_data", VERSION, _cell_side(raw), SIDE_VX, content or raw.fingerprint)


def _cell_side(raw: Volume) -> int:
    """Return the side of the mask's cells in a section, in voxels: 1, unless that makes too many of them."""
    return next(side for side in (1, 2, 4, SAMPLE_VX) if side == SAMPLE_VX or raw.data.size <= MOST_CELLS * side**2)
