"""Look at a few places of a volume: is something there, and does it look like what it is said to be?"""

from collections.abc import Sequence
from itertools import islice, pairwise, product

import numpy as np
from funlib.geometry import Roi

from neuroadda.checking.findings import Findings
from neuroadda.errors import UserError, warn
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.contents.grey_values import GreyTally
from neuroadda.volumes.contents.label_checks import check_truth, look_at, spread_boxes
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.storage.completeness import describe_stored
from neuroadda.wording import format_bytes

SAMPLE_BYTES = 16 * 2**20
PLACES = 27
LARGE_CHUNK_BYTES = 256 * 2**20
MASK_BOXES, MOST, LEAST = 32, 0.8, 0.2
LEAST_OVERLAP = 0.5
LABELS = "give labels that hold ids where raw is, one whole number a neuron"


def check_arrays(findings: Findings, where: str, mend: str, *paths: str | None) -> bool:
    """Look whether each of some arrays can be opened; return whether all can."""
    opened = [findings.attempt(where, mend, Volume.open, path) for path in paths if path is not None]
    return None not in opened


def look_at_raw(findings: Findings, where: str, raw: Volume, roi: Roi | None = None) -> None:
    """Look whether raw (uint8, zyx) shows tissue, within a ROI or all over."""
    if not _look_at_chunks(findings, where, raw):
        return
    tally, places, whole = _sample(findings, where, raw, roi)
    if not tally.voxels:
        return
    if len(tally.values) == 1:
        said = "all of it is" if whole else f"{places} places spread over it are"
        what, mend = f"{said} of the one value {tally.values[0]}", "import raw again: there is nothing to see"
        (findings.fault if whole else findings.doubt)(where, f"{raw.path}: {what}", mend)
        return
    for what, mend in tally.doubts():
        findings.doubt(where, what, mend)
    low, high = tally.contrast
    shape = " x ".join(map(str, raw.shape_vx))
    size = " x ".join(f"{v:g}" for v in raw.voxel_size_nm)
    findings.note(
        where, f"{raw.path}: {shape} voxels of {size} nm, grey values {low} to {high} (1st and 99th percentile)"
    )


def look_at_labels(
    findings: Findings, where: str, labels: Volume, raw: Volume | None, roi: Roi | None = None, *, judged: bool = True
) -> None:
    """Look whether labels hold ids where raw is, within a ROI or all over.

    Parameters
    ----------
    judged
        What takes them has judged their ids already, by `check_truth`.
    """
    overlap = labels.roi if raw is None else labels.roi.intersect(raw.roi)
    if overlap.empty:
        assert raw is not None
        what = f"labels span {describe_roi(labels.roi)}, raw {describe_roi(raw.roi)} {raw.unit}: they do not overlap"
        findings.fault(where, what, "import them with the offset of raw")
        return
    share = np.prod(overlap.shape) / np.prod(labels.roi.shape)
    if share < LEAST_OVERLAP:
        what = f"{share:.2%} of the labels lie where raw is: is their offset right?"
        findings.doubt(where, what, "import them with the offset of raw")
    part = overlap if roi is None else overlap.intersect(roi)
    tally = findings.attempt(where, LABELS, look_at if judged else check_truth, labels, part)
    if tally is None:
        return
    if tally.one_id and not judged:
        mend = "give every neuron its own id; of a mask, label its connected parts"
        findings.doubt(where, f"the only id found is {tally.some_ids[0]}", mend)
    findings.note(where, f"{labels.path}: {len(tally.some_ids)} ids in the places looked at closely")


def look_at_masked(raw: Volume, mask: Mask, roi: Roi) -> None:
    """Warn if a mask leaves what has no data, and leaves out what has: boxes spread over a ROI are looked at."""
    if raw.dtype != np.uint8 or raw.channels is not None:
        return
    left, left_out = GreyTally(), GreyTally()
    for box in islice(spread_boxes(raw, roi), MASK_BOXES):
        try:
            voxels, tissue = raw.read(box), mask.read(box)
        except (UserError, OSError):
            continue  # told where raw is looked at
        left.add(voxels, tissue)
        left_out.add(voxels, ~tissue)
    if left.voxels and left_out.voxels and left.blank_share > MOST > LEAST > left_out.blank_share:
        what = f"{left.blank_share:.0%} of what it leaves is constant, {left_out.blank_share:.0%} of what it leaves out"
        warn(f"{what}: is it inverted? 0 is where there is no tissue", str(mask.volume.path))


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


def _sample(findings: Findings, where: str, volume: Volume, roi: Roi | None) -> tuple[GreyTally, int, bool]:
    """Look at a few places, or at all of a small volume; return what they show, how many they are, and whether that is all.

    Of what cannot be read, a run has blocks that fail.
    """
    part = volume.roi if roi is None else volume.roi.intersect(roi)
    begin = [int(b) for b in (part.begin - volume.roi.begin) / volume.voxel_size]
    shape = [int(s) for s in part.shape / volume.voxel_size]
    whole = int(np.prod(shape)) <= SAMPLE_BYTES
    if whole:
        axes = [_split(b, s) for b, s in zip(begin, shape, strict=True)]
    else:
        chunk = [min(int(c), s) for c, s in zip(volume.chunk_vx, shape, strict=True)]
        counts = _count_places(shape, chunk, SAMPLE_BYTES // int(np.prod(chunk)))
        axes = [_spread(*axis) for axis in zip(begin, shape, chunk, counts, strict=True)]
    tally, places, errors = GreyTally(), 0, []
    for box in product(*axes):
        try:
            voxels = volume.read_box([slice(first, end) for first, end in box])
            tally.add(voxels)
            places += 1
        except (UserError, OSError) as error:
            errors.append(error)
    if errors:
        what = f"{len(errors)} of {len(errors) + places} places cannot be read ({errors[0]})"
        (findings.doubt if findings.for_run else findings.fault)(where, what, "import it again, or restore its files")
    return tally, places, whole and not errors


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
