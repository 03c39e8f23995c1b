"""The mask of where a volume has data, written once: 1 where it has, 0 where it has none."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SerializerFunctionWrapHandler, model_serializer

from neuroadda.config import Config, PathText, fingerprint
from neuroadda.errors import SettingError, UserError, warn
from neuroadda.observing import track
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.sections import SAMPLE_VX, SectionFaults, SectionStatistics
from neuroadda.volumes.coverage.masks import Mask, open_mask
from neuroadda.volumes.coverage.no_data import BOX_VOXELS, BOX_YX, SIDE_VX, mark_cells, read_without_data
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.locations import Location, remove, to_location
from neuroadda.volumes.storage.nodes import is_array

VERSION = 1
MOST_REPEATED = 0.25
MOST_CELLS = 2**32
FACTS = "no_data"
OUTDATED = "outdated"
AUTO, NONE = "auto", "none"
RIGHT = "write auto, none, or the path of a mask on the voxels of all of raw, such as `neuroadda mask RAW` writes"
PLACE = Path("no_data.zarr") / "mask"  # in a run's folder


class WithNoData(Config):
    """A config with the setting `no_data`. Its default is left out where the config is dumped: what is made of it is older.

    Attributes
    ----------
    no_data
        Where raw has no data: "auto" for constant areas, "none", or the path of a mask, 0 where there is no data.
    """

    no_data: PathText = AUTO

    @model_serializer(mode="wrap")
    def _leave_default_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = dump(self)
        if self.no_data == AUTO:
            data.pop("no_data", None)  # where it is not excluded anyway
        return data


def write_no_data_mask(
    raw: Volume, path: Location | str, content: str | None = None, *, box_bytes: int = BOX_VOXELS
) -> Volume:
    """Find where a volume has data, unless it is known here already: memory is a box and some bytes a section.

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
    share, faults, unread = _scan(raw, box_bytes, mask)
    if len(faults.repeated) <= MOST_REPEATED * raw.shape_vx[0]:
        for z in faults.repeated:
            mask.data[z] = 0
    else:
        warn(f"{len(faults.repeated)} of {raw.shape_vx[0]} sections repeat the one before", str(raw.path))
    facts = {"share": share, "cells": _count_zeros(mask), "sections": asdict(faults)}
    name = (
        fingerprint(_fingerprint_of(raw, content), unread) if unread else _fingerprint_of(raw, content)
    )  # else looked for again in the next run
    mask.data.attrs.update({FACTS: facts, "raw_fingerprint": raw.fingerprint, "fingerprint": name})
    return Volume.open(path)


def survey_no_data(raw: Volume) -> tuple[float, SectionFaults]:
    """Return the share of a zyx volume's voxels without data, and the faults of its sections; nothing is written."""
    return _scan(raw, BOX_VOXELS, None)[:2]


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


def resolve_no_data(setting: str, raw: Volume, folder: Path, content: str, *, renew: bool = False) -> str:
    """Return where the mask is that a setting stands for, or "none" where there is nothing without data.

    Parameters
    ----------
    setting
        "auto": found now, unless the folder has it; "none"; or the path of a mask, which is returned.
    folder
        Of the run.
    content
        What determines raw's content.
    renew
        Find it again where `outdate_no_data` has noted that raw was edited since.

    Raises
    ------
    UserError
        If nothing of raw has data.
    """
    if setting != AUTO:
        return setting
    if renew and is_array(folder / PLACE) and Volume.open(folder / PLACE).attrs.get(OUTDATED):
        remove(folder / PLACE)
    return _name_mask(write_no_data_mask(raw, folder / PLACE, content), raw)


def recall_no_data(setting: str, raw: Volume, folder: Path, content: str) -> str:
    """Return what `resolve_no_data` does, but look for nothing: "auto" stays where the folder does not have the mask yet."""
    known = find_no_data_mask(raw, folder / PLACE, content) if setting == AUTO else None
    return setting if known is None else _name_mask(known, raw)


def outdate_no_data(setting: str, folder: Path) -> None:
    """Note in a run's own mask, and warn, that raw was edited since; the run goes on with it, for its blocks follow from it."""
    place = folder / PLACE
    if setting not in (NONE, str(place)) or not is_array(place):
        return
    Volume.open(place, "r+").data.attrs[OUTDATED] = True
    what = "where raw has no data was found before raw changed, and this run goes on with that"
    warn(f"{what}; `neuroadda segment --overwrite` looks again and does all of it again", str(place))


def open_no_data(setting: str, raw: Volume) -> Mask | None:
    """Open the mask that a resolved setting names; None for "none", and for "auto", of which nothing is known.

    Raises
    ------
    SettingError
        If it is another word, or no mask of all of raw is there.
    """
    if setting in (AUTO, NONE):
        return None
    try:
        return open_mask(setting, raw, raw.roi)
    except UserError as error:
        what = error.what if error.where == setting else f"{error.where}: {error.what}"
        what = f"{setting!r} is neither {AUTO!r}, {NONE!r} nor a mask of all of raw: {what}"
        raise SettingError(what, "no_data", RIGHT) from error


def identify_mask(known: Inputs | None, name: str, mask: Mask) -> str:
    """Return what determines the content of a mask that is an input; one that a run has found may be edited, too."""
    return mask.fingerprint if known is None else known.identify(name, mask.volume)


def _name_mask(mask: Volume, raw: Volume) -> str:
    gaps = mask.attrs[FACTS]["cells"]
    if gaps == mask.data.size:
        what = "nothing in it is tissue: all its voxels lie in constant areas or repeated sections"
        raise UserError(what, str(raw.path), f'give another volume, or set no_data to "{NONE}" to use it all the same')
    return str(mask.path) if gaps else NONE


def read_facts(mask: Volume) -> tuple[float, SectionFaults]:
    """Return the share of raw's voxels without data, and the faults of its sections, as `write_no_data_mask` has noted them."""
    facts = mask.attrs[FACTS]
    return facts["share"], SectionFaults(**{name: tuple(found) for name, found in facts["sections"].items()})


def _scan(raw: Volume, box_bytes: int, mask: Volume | None) -> tuple[float, SectionFaults, int]:
    """Look at all of raw, box by box, and write what is found into a mask; also return how many boxes could not be read.

    These are taken for data: the stage that reads them tells what is wrong, block by block.
    """
    statistics, lost, unread = SectionStatistics(raw.shape_vx[0]), 0, 0
    for box, overlaps in track(f"looking for areas without data in {raw.path}", list(_list_boxes(raw, box_bytes))):
        part = (slice(box[0].start - overlaps, box[0].stop), *box[1:])
        try:
            voxels, found = read_without_data(raw, part)
        except (UserError, OSError) as error:
            unread += 1
            warn(f"not looked at for no data, since it cannot be read: {error}", str(raw.path))
            shape = tuple(s.stop - s.start for s in part)
            voxels, found = (
                np.broadcast_to(np.arange(shape[0], dtype=raw.dtype)[:, None, None], shape),
                np.zeros(shape, bool),
            )
        statistics.add(box[0].start - overlaps, voxels, found, overlaps)
        lost += int(np.count_nonzero(found[overlaps:]))
        if mask is not None:
            side = _cell_side(raw)
            place = (slice(s.start // side, -(-s.stop // side)) for s in box[1:])
            mask.data[(box[0], *place)] = (~mark_cells(found[overlaps:], side)).astype(np.uint8)
    return lost / raw.data.size, statistics.find_faults(), unread


def _fingerprint_of(raw: Volume, content: str | None) -> str:
    return fingerprint("no_data", VERSION, _cell_side(raw), SIDE_VX, content or raw.fingerprint)


def _cell_side(raw: Volume) -> int:
    """Return the side of the mask's cells in a section, in voxels: 1, unless that makes too many of them."""
    return next(side for side in (1, 2, 4, SAMPLE_VX) if side == SAMPLE_VX or raw.data.size <= MOST_CELLS * side**2)


def _list_boxes(raw: Volume, box_bytes: int) -> Iterator[tuple[tuple[slice, ...], bool]]:
    """Yield boxes (voxels, zyx) that begin on samples and, if they fit, on chunks; and whether the section before is needed."""
    chunk, shape = raw.chunk_vx, raw.shape_vx
    sides = [int(np.lcm(c, SAMPLE_VX)) for c in chunk[1:]]
    sides = [side * max(1, BOX_YX // side) if side <= BOX_YX else BOX_YX for side in sides]
    area = sides[0] * sides[1] * raw.dtype.itemsize
    while area > box_bytes and max(sides) > SIDE_VX:
        longest = sides.index(max(sides))
        sides[longest] = -(-sides[longest] // 2 // SAMPLE_VX) * SAMPLE_VX
        area = sides[0] * sides[1] * raw.dtype.itemsize
    depth = max(1, box_bytes // area)
    depth = depth // chunk[0] * chunk[0] or depth
    steps = (depth, *sides)
    for begins in product(*(range(0, n, step) for n, step in zip(shape, steps, strict=True))):
        box = tuple(slice(b, min(b + s, n)) for b, s, n in zip(begins, steps, shape, strict=True))
        yield box, begins[0] > 0


def _count_zeros(mask: Volume) -> int:
    step = mask.chunk_vx[0]
    return sum(int(np.count_nonzero(mask.data[z : z + step] == 0)) for z in range(0, mask.shape_vx[0], step))
