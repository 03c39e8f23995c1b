"""Look at a few places of a volume: is something there, and does it look like what it is said to be?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import fastremap
import numpy as np
from funlib.geometry import Roi

from neuroadda.checking.findings import Findings
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.completeness import describe_stored
from neuroadda.wording import format_bytes

SAMPLE_BYTES = 16 * 2**20
PLACES = 27
SKIP = 7  # of the voxels of a place, one of so many tells the contrast
LARGE_CHUNK_BYTES = 256 * 2**20
LOW_CONTRAST = 24  # grey values between the 1st and the 99th percentile
BLACK_SHARE = 0.25  # of the places


@dataclass(frozen=True)
class Sample:
    """Voxels of some places of a volume.

    Attributes
    ----------
    places
        Flat voxels of each.
    whole
        Whether they are all voxels there are.
    """

    places: Sequence[np.ndarray]
    whole: bool

    @property
    def values(self) -> np.ndarray:
        """The different values, ascending."""
        return np.unique(np.concatenate([fastremap.unique(place) for place in self.places]))

    @property
    def said(self) -> str:
        """Of what a finding is told."""
        return "all of it is" if self.whole else f"{len(self.places)} places spread over it are"


def look_at_raw(findings: Findings, where: str, raw: Volume, roi: Roi | None = None) -> None:
    """Look whether raw shows tissue, within a ROI or all over."""
    if not _look_at_chunks(findings, where, raw):
        return
    sample = _sample(findings, where, raw, roi)
    if not sample.places:
        return
    if raw.dtype != np.uint8:
        return  # which is told by whoever opens it as raw
    values = sample.values
    if len(values) == 1:
        what, mend = f"{sample.said} of the one value {values[0]}", "import raw again: there is nothing to see"
        (findings.fault if sample.whole else findings.doubt)(where, what, mend)
        return
    blank = sum(place.min() == place.max() for place in sample.places)
    if blank >= BLACK_SHARE * len(sample.places):
        what = f"{blank} of {len(sample.places)} places spread over it are blank"
        findings.doubt(where, what, "give a mask, or a roi that holds tissue")
    voxels = np.concatenate([place[::SKIP] for place in sample.places if place.min() < place.max()])
    low, high = np.percentile(voxels, (1, 99))
    if len(values) == 2:
        findings.doubt(where, f"it has two values only, {values[0]} and {values[1]}", "is it a mask? raw is grey")
    elif high - low < LOW_CONTRAST:
        what = f"98 % of its voxels are between {low:.0f} and {high:.0f} of 255"
        findings.doubt(where, what, "stretch its contrast to 0..255, as networks were trained on")
    shape = " x ".join(map(str, raw.shape_vx))
    size = " x ".join(f"{v:g}" for v in raw.voxel_size_nm)
    findings.note(where, f"{raw.path}: {shape} voxels of {size} nm, grey values {low:.0f} to {high:.0f}")


def look_at_labels(
    findings: Findings,
    where: str,
    labels: Volume,
    raw: Volume | None,
    roi: Roi | None = None,
    *,
    judged: bool = True,
) -> None:
    """Look whether labels hold ids where raw is, within a ROI or all over.

    Parameters
    ----------
    judged
        What takes them has judged their ids; see `neuroadda.volumes.label_checks`.
    """
    overlap = labels.roi if raw is None else labels.roi.intersect(raw.roi)
    if overlap.empty:
        assert raw is not None
        what = f"labels span {describe_roi(labels.roi)}, raw {describe_roi(raw.roi)} {raw.unit}: they do not overlap"
        findings.fault(where, what, "import them with the offset of raw")
        return
    part = overlap if roi is None else overlap.intersect(roi)
    sample = _sample(findings, where, labels, part)
    if not sample.places:
        return
    values = sample.values
    ids = np.count_nonzero(values)
    if not ids and not judged:
        what, mend = f"{sample.said} background (0)", "give labels that hold ids where raw is"
        (findings.fault if sample.whole else findings.doubt)(where, what, mend)
        return
    if ids == 1 and not judged:
        mend = "give every neuron its own id" if values[-1] != 255 else "label its connected parts: this is a mask"
        findings.doubt(where, f"the only id found is {values[-1]}", mend)
    findings.note(where, f"{labels.path}: {ids} ids in {'all' if sample.whole else 'the places'} looked at")


def _look_at_chunks(findings: Findings, where: str, volume: Volume) -> bool:
    """Look whether the files of an array are what its metadata say; return whether it can be read."""
    chunk_bytes = int(np.prod(volume.data.chunks)) * volume.dtype.itemsize
    if chunk_bytes > LARGE_CHUNK_BYTES:
        what = f"its chunks are of {format_bytes(chunk_bytes)}, and each is read as a whole"
        findings.doubt(where, what, "import it again: chunks are then 64 voxels an axis")
    try:
        notes = describe_stored(volume.path, volume.data)
    except UserError as error:
        findings.fault(where, f"{volume.path}: {error.what}", error.right or "import it again")
        return False
    for note in notes:
        findings.doubt(where, note, "import it again if there should be voxels")
    return True


def _sample(findings: Findings, where: str, volume: Volume, roi: Roi | None) -> Sample:
    """Read a few places, or all of a small volume. Of what cannot be read, a run has blocks that fail."""
    part = volume.roi if roi is None else volume.roi.intersect(roi)
    begin = [int(b) for b in (part.begin - volume.roi.begin) / volume.voxel_size]
    shape = [int(s) for s in part.shape / volume.voxel_size]
    itemsize = volume.dtype.itemsize * (volume.channels or 1)
    whole = int(np.prod(shape)) * itemsize <= SAMPLE_BYTES
    if whole:
        axes = [_split(b, s) for b, s in zip(begin, shape, strict=True)]
    else:
        chunk = [min(int(c), s) for c, s in zip(volume.chunk_vx, shape, strict=True)]
        counts = _count_places(shape, chunk, SAMPLE_BYTES // (int(np.prod(chunk)) * itemsize))
        axes = [_spread(*axis) for axis in zip(begin, shape, chunk, counts, strict=True)]
    places, errors = [], []
    for box in product(*axes):
        try:
            voxels = volume.read_box([slice(first, end) for first, end in box]).ravel()
            places.append(voxels.view(np.uint8) if voxels.dtype == bool else voxels)
        except (UserError, OSError) as error:
            errors.append(error)
    if errors:
        what = f"{len(errors)} of {len(errors) + len(places)} places cannot be read ({errors[0]})"
        (findings.doubt if findings.for_run else findings.fault)(where, what, "import it again, or restore its files")
    return Sample(places, whole and not errors)


def _split(begin: int, size: int) -> list[tuple[int, int]]:
    """Cut an axis into up to three parts."""
    ends = [begin + size * i // 3 for i in range(4)]
    return [(first, end) for first, end in pairwise(ends) if end > first]


def _count_places(shape: Sequence[int], chunk: Sequence[int], most: int) -> list[int]:
    """Return how many chunks are looked at along each axis: first where there are most, and `most` in all."""
    counts, chunks = [1, 1, 1], [s // c for s, c in zip(shape, chunk, strict=True)]
    while axes := [
        i for i in range(3) if counts[i] < chunks[i] and np.prod(counts) // counts[i] * (counts[i] + 1) <= most
    ]:
        counts[max(axes, key=lambda i: chunks[i] / counts[i])] += 1
        if np.prod(counts) >= PLACES:
            break
    return counts


def _spread(begin: int, size: int, chunk: int, count: int) -> list[tuple[int, int]]:
    """Return first and end of chunks that are evenly spread along an axis."""
    middles = [begin + size * (2 * i + 1) // (2 * count) for i in range(count)]
    firsts = [max(begin, middle // chunk * chunk) for middle in middles]
    return [(first, min(first + chunk, begin + size)) for first in firsts]
