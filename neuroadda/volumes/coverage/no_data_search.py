"""Search a volume for areas without data, several boxes at once, and compare each section with the one before."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np

from neuroadda.errors import UserError
from neuroadda.observing import track
from neuroadda.processes import count_cores
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.sections import SAMPLE_VX, SectionStatistics
from neuroadda.volumes.coverage.no_data import BOX_YX, SIDE_VX, read_without_data

THREADS_BYTES, COPIES = 2**30, 5  # what all threads may hold, and how often each holds its box
LEAST_YX = 512

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Looked:
    """What was found in a box.

    Attributes
    ----------
    box
        Slices zyx, in voxels.
    found
        bool, zyx: which voxels have no data.
    ends
        Voxels of the first and the last section; None where the box could not be read.
    sections
        What the box says of its sections; the first is compared with the last of the box before, if that is of the same column.
    error
        Why it could not be read; it then counts as data, since who reads it tells block by block what is wrong.
    """

    box: Box
    found: np.ndarray
    ends: np.ndarray | None
    sections: SectionStatistics
    error: str = ""


def look_through(raw: Volume, box_bytes: int) -> Iterator[Looked]:
    """Look at raw, and yield what is found in each of its boxes.

    They come in columns along z. Reading, decompression and comparison release the interpreter: boxes are looked at in threads.
    """
    boxes = list(_list_boxes(raw, box_bytes))
    chunk_bytes = math.prod(raw.chunk_vx) * raw.dtype.itemsize  # it is unpacked as a whole, whatever the box
    room = THREADS_BYTES // (COPIES * max(box_bytes, chunk_bytes))
    threads = max(1, min(count_cores(), room, len(boxes)))
    before: Looked | None = None
    with ThreadPoolExecutor(threads) as pool:
        waiting, ahead = iter(boxes), deque[Future[Looked]]()
        for _ in track(f"looking for areas without data in {raw.path}", boxes):
            while len(ahead) < threads and (box := next(waiting, None)) is not None:
                ahead.append(pool.submit(_look, raw, box))
            looked = ahead.popleft().result()
            if before is not None and before.box[0].stop == looked.box[0].start:
                _compare_ends(before, looked)
            yield looked
            before = looked


def _look(raw: Volume, box: Box) -> Looked:
    sections = SectionStatistics(box[0])
    try:
        voxels, found = read_without_data(raw, box)
    except (UserError, OSError) as error:
        sections.take_as_data()
        return Looked(box, np.zeros([s.stop - s.start for s in box], bool), None, sections, str(error))
    sections.count(voxels, found)
    return Looked(box, found, voxels[[0, -1]], sections)


def _compare_ends(before: Looked, after: Looked) -> None:
    """Compare the first section of a box with the one before it, in another box; if one was not read, they are taken to differ."""
    if before.ends is None or after.ends is None:
        after.sections.take_as_different(after.box[0].start)
        return
    voxels, found = np.stack((before.ends[1], after.ends[0])), np.stack((before.found[-1], after.found[0]))
    after.sections.compare(voxels, found, after.box[0].start)


def _list_boxes(raw: Volume, box_bytes: int) -> Iterator[Box]:
    """Yield boxes (voxels, zyx), column after column: they begin on samples and, if they fit, on chunks.

    With a box a margin is read in its sections, and none along z. So it is as deep as a chunk, if possible, and narrower for that.
    """
    chunk = raw.chunk_vx
    sides = [int(np.lcm(c, SAMPLE_VX)) for c in chunk[1:]]
    sides = [side * max(1, BOX_YX // side) if side <= BOX_YX else BOX_YX for side in sides]

    def most_sections() -> int:
        return box_bytes // (sides[0] * sides[1] * raw.dtype.itemsize)

    while (most_sections() < chunk[0] and max(sides) > LEAST_YX) or (most_sections() < 1 and max(sides) > SIDE_VX):
        longest = sides.index(max(sides))
        sides[longest] = -(-sides[longest] // 2 // SAMPLE_VX) * SAMPLE_VX
    depth = max(1, most_sections() // chunk[0] * chunk[0] or most_sections())
    (size_z, *sizes), steps = raw.shape_vx, (*sides, depth)
    for begins in product(*(range(0, n, step) for n, step in zip((*sizes, size_z), steps, strict=True))):
        y, x, z = (slice(b, min(b + step, n)) for b, step, n in zip(begins, steps, (*sizes, size_z), strict=True))
        yield z, y, x
