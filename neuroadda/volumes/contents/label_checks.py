"""What labels hold: counted while they are imported, or looked at in boxes spread over them before a long run reads them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.errors import UserError, warn
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.contents.label_ids import RESERVED, clean_ids

BOX_VX = 2**18  # small chunks are read together
MOST_BOXES, MOST_VX = 128, 2**26  # of a look: about a second
TEXTURE_BOXES, TEXTURE_VX = 16, 64
NOISE, MANY_IDS, REPEATED = 0.5, 32, 2
MASK_VALUES = 8  # besides 0: masks of the kinds of tissue have some


@dataclass(eq=False)
class LabelTally:
    """What boxes of labels hold.

    Attributes
    ----------
    voxels, labelled
        Seen, and with the id of a neuron.
    unlabelled
        Voxels of each reserved id; see `label_ids`.
    """

    voxels: int = 0
    labelled: int = 0
    unlabelled: dict[int, int] = field(default_factory=dict)
    _ids: set[int] = field(default_factory=set)
    _boxes: int = 0
    _close: int = 0  # labelled voxels that were looked at closely
    _pairs: np.ndarray = field(default_factory=lambda: np.zeros((2, 3), np.int64))  # that differ, and all; by axis

    def add(self, stored: np.ndarray, where: str) -> np.ndarray:
        """Count a box of stored ids (zyx) and return it as `clean_ids` does; raise UserError if an id is negative."""
        ids, unlabelled = clean_ids(stored, where)
        if unlabelled is not None:
            for key, count in zip(*np.unique(stored[unlabelled], return_counts=True), strict=True):
                self.unlabelled[int(key)] = self.unlabelled.get(int(key), 0) + int(count)
        self.count(ids)
        return ids

    def count(self, ids: np.ndarray) -> None:
        """Count a box (uint64, zyx), of which 0 is not labelled."""
        self.voxels += ids.size
        labelled = int(np.count_nonzero(ids))
        self.labelled += labelled
        if labelled and not self.has_looked:
            self._boxes += 1
            middle = tuple(slice(max(0, s // 2 - TEXTURE_VX // 2), s // 2 + TEXTURE_VX // 2) for s in ids.shape)
            self._look_closely(ids[middle] if ids[middle].any() else ids[:TEXTURE_VX, :TEXTURE_VX, :TEXTURE_VX])

    @property
    def has_looked(self) -> bool:
        """Whether enough boxes were looked at closely."""
        return self._boxes >= TEXTURE_BOXES

    @property
    def some_ids(self) -> list[int]:
        """Ids of neurons that were seen where it was looked closely, ascending."""
        return sorted(self._ids)

    def _look_closely(self, ids: np.ndarray) -> None:
        self._close += int(np.count_nonzero(ids))
        self._ids.update(np.unique(ids[ids > 0]).tolist())
        for axis in range(3):
            lower, upper = np.moveaxis(ids, axis, 0)[:-1], np.moveaxis(ids, axis, 0)[1:]
            self._pairs[:, axis] += [np.count_nonzero(lower != upper), np.count_nonzero((lower | upper) != 0)]

    @property
    def is_noise(self) -> bool:
        """Whether along every axis most neighbouring voxels differ: grey values do (0.8 to 1), labels do not (0 to 0.15).

        Along z alone labels may, where they are not linked across sections.
        """
        differ, pairs = self._pairs
        along = pairs > 0
        return len(self._ids) > MANY_IDS and bool(along.any()) and float((differ[along] / pairs[along]).min()) > NOISE

    def warn_of_unlabelled(self, what: str, where: str) -> None:
        """Warn of each reserved id that was seen, and say what happens to its voxels."""
        for key, count in sorted(self.unlabelled.items()):
            warn(f"{count} of {self.voxels} voxels looked at have id {key} ({RESERVED[key]}): {what}", where)

    @property
    def is_grey(self) -> bool:
        """Whether these are grey values: noise that fits 16 bits, of which each value is found many times."""
        return self.is_noise and max(self._ids) < 2**16 and REPEATED * len(self._ids) < self._close

    def refuse_raw(self, where: str) -> None:
        """Raise UserError if these are grey values; warn if they are other noise."""
        if self.is_grey:
            what = "these are grey values, no labels: most neighbouring voxels differ"
            raise UserError(
                what, where, "give labels, one whole number a neuron; raw of such values is to be imported first"
            )
        if self.is_noise:
            warn("most neighbouring voxels differ: are these labels?", where)

    @property
    def one_id(self) -> bool:
        """Whether no second neuron was seen."""
        return len(self._ids) == 1

    def note_unlabelled(self) -> list[str]:
        """Return, of each reserved id, what became of it."""
        return [
            f"{count} voxels with id {key} ({RESERVED[key]}) became 0: they are not labelled"
            for key, count in sorted(self.unlabelled.items())
        ]

    def notes(self) -> list[str]:
        """Return what people should know, one sentence each."""
        notes = self.note_unlabelled()
        if self.voxels and not self.labelled:
            notes.append("nothing is labelled: there is nothing but 0")
        elif self.is_noise:
            notes.append("most neighbouring voxels differ: are these labels? if it is raw, give --kind raw")
        return notes


def look_at(labels: Volume, roi: Roi) -> LabelTally:
    """Count what labels hold in a ROI, in a second or so however large they are.

    Labels of up to 2^26 voxels are read as a whole, of larger ones 128 boxes spread over them; where those hold no label, four
    times as many in search of one. What only a few voxels show can be missed: who reads all of them checks again.

    Raises
    ------
    UserError
        If an id is negative.
    """
    for effort in (1, 4):
        tally = LabelTally()
        for box in spread_boxes(labels, roi, effort):
            tally.add(labels.read(box), str(labels.path))
        if tally.labelled or tally.voxels == math.prod(roi.shape / labels.voxel_size):
            break
    return tally


def check_truth(labels: Volume, roi: Roi, *, raw: Volume | None = None, sparse: bool = False) -> LabelTally:
    """Look at labels before something long is made of them; see `look_at`.

    Parameters
    ----------
    roi
        Where they count, inside the labels.
    raw
        What they are labels of.
    sparse
        Labels may be so few in a large volume that none is found.

    Raises
    ------
    UserError
        If nothing is labelled, ids are negative, or these are grey values.
    """
    where = str(labels.path)
    if raw is not None and labels.path.resolve() == raw.path.resolve():
        raise UserError("this is raw itself", where, "give its labels, one whole number a neuron")
    tally, whole = look_at(labels, roi), math.prod(roi.shape / labels.voxel_size)
    if not tally.labelled and (tally.voxels == whole or not sparse):
        raise _nothing_labelled(tally, whole, roi, where)
    tally.refuse_raw(where)
    return tally


def check_mask(mask: Volume, roi: Roi, *, may_be_empty: bool = False) -> None:
    """Look whether a volume is a mask: 0 where there is no tissue, and few other values. Boxes are read as by `check_truth`.

    Warns of many values that lie in areas, as those of labels do.

    Parameters
    ----------
    roi
        On its voxels, in its world units.
    may_be_empty
        It may be 0 everywhere.

    Raises
    ------
    UserError
        If it is 0 everywhere in the ROI, holds grey values or negative ones, or no integers.
    """
    where = str(mask.path)
    if mask.dtype.kind not in "bui" or mask.channels is not None:
        what = f"this is {mask.dtype} with {mask.data.ndim} axes, no mask"
        raise UserError(what, where, "a mask is of integers, zyx: 0 where there is no tissue")
    tally = LabelTally()
    for box in spread_boxes(mask, roi):
        values = mask.read(box)
        if values.dtype.kind == "i" and values.min(initial=0) < 0:
            what = f"it has negative values ({values.min()})"
            raise UserError(what, where, "write 0 where there is no tissue, and 1 elsewhere")
        tally.count(values.astype(np.uint64))
        if tally.has_looked:
            break
    if not tally.labelled and not may_be_empty and tally.voxels == math.prod(roi.shape / mask.voxel_size):
        raise UserError(f"the mask is 0 everywhere in {describe_roi(roi)}", where, "it leaves nothing to do")
    found = tally.some_ids
    if tally.is_grey:
        what = f"these are grey values, no mask: {len(found)} values, and most neighbouring voxels differ"
        raise UserError(what, where, "give a mask: 0 where there is no tissue, 1 elsewhere")
    if len(found) > MASK_VALUES:
        what = (
            f"it has {len(found)} or more values other than 0, such as {', '.join(map(str, found[:4]))}: is it a mask?"
        )
        warn(f"{what} all of them count as tissue", where)


def _nothing_labelled(tally: LabelTally, whole: int, roi: Roi, where: str) -> UserError:
    if tally.voxels < whole:
        what = f"no label was found in {100 * tally.voxels / whole:.2g} % of {describe_roi(roi)}, spread over it"
        return UserError(what, where, "give a roi that is labelled")
    ids = ", ".join(["0", *(f"{key} ({RESERVED[key]})" for key in sorted(tally.unlabelled))])
    return UserError(f"nothing is labelled: there is nothing but {ids} in {describe_roi(roi)}", where)


def spread_boxes(volume: Volume, roi: Roi, effort: int = 1) -> Iterator[Roi]:
    """Yield boxes of whole chunks, cut to a ROI: all of them, or as many as may be read, spread over it."""
    box_vx = [int(c) for c in volume.chunk_vx]
    for axis in (2, 1, 0):
        step = box_vx[axis]
        box_vx[axis] = step * max(1, min(-(-64 // step), BOX_VX // math.prod(box_vx)))
    shape, one = Coordinate(box_vx) * volume.voxel_size, Coordinate((1, 1, 1))
    first = (roi.begin - volume.roi.begin) // shape
    counts = tuple((roi.end - volume.roi.begin - one) // shape - first + one)
    total, box = math.prod(counts), math.prod(box_vx)
    most = total if total * box <= effort * MOST_VX else min(total, max(1, effort * min(MOST_BOXES, MOST_VX // box)))
    for index in np.sort(np.random.default_rng(0).choice(total, most, replace=False)).tolist():
        place = Coordinate(int(i) for i in np.unravel_index(index, counts))
        yield Roi(volume.roi.begin + (first + place) * shape, shape).intersect(roi)
