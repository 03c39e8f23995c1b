"""Dense ids of fragments, 1, 2, ... in the order of their blocks, and a voxel of each: what WEBKNOSSOS knows them by.

A run's own ids tell the block and may be any below 2^63; a mapping of WEBKNOSSOS has a row for every id up to the largest.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import Written, blocks_in
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.publication import Publication
from neuroadda.publishing.segments import make_row_grid
from neuroadda.publishing.whole_voxels import first_voxel
from neuroadda.segmentation.blockfiles import WrittenFiles, block_file, read_columns, write_columns
from neuroadda.segmentation.components import Numbering
from neuroadda.segmentation.ids import capacity_of, to_local_of
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.coverage.tissue import NO_DATA
from neuroadda.volumes.storage.locations import Location, to_location

FRAGMENTS, PLACES = "fragments", "places"
NUMBERS_FILE, PLACES_FILE = "numbers.npz", "places.npy"


class PlaceFragments(Stage):
    """Find a voxel of every fragment of each block: see `find_places`; in what is published, if it is not all without data."""

    kind: ClassVar[str] = "fragment_places"

    def create_output(self, task: Task) -> None:
        """Create the folder of the blocks' files."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenFiles(Path(task.output), task.blocks.to_mask())

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes the places of a block's fragments."""
        volume, capacity = Volume.open(task.inputs[FRAGMENTS]), capacity_of(task.grid)
        data = Mask.open(task.inputs[NO_DATA], volume) if NO_DATA in task.inputs else None
        first, corner, size = first_voxel(volume), volume.roi.begin, volume.voxel_size

        def place(block: Block) -> dict[str, Any]:
            numbers = to_local_of(block.index, volume.read(block.write_roi), capacity)
            hidden = np.zeros(numbers.shape, bool) if data is None else ~data.read(block.write_roi)
            begin = first + np.array((block.write_roi.begin - corner) / size)
            places = begin + find_places(numbers, hidden, volume.voxel_size_nm)
            write_columns(block_file(Path(task.output), block.index), place=places.astype(np.int32))
            return {"fragments": len(places)}

        return place


def find_places(numbers: np.ndarray, hidden: np.ndarray, voxel_size_nm: tuple[float, ...]) -> np.ndarray:
    """Return for each of the numbers 1, 2, ... the voxel of it that is nearest to the mean of its voxels; the first of several.

    Parameters
    ----------
    numbers
        int64, zyx; 0 is nothing.
    hidden
        bool, zyx: voxels that are only taken where a number has no other.

    Returns
    -------
    np.ndarray
        int64 ``(n, 3)``, zyx.
    """
    voxels = np.flatnonzero(numbers)
    rows = numbers.ravel()[voxels] - 1
    places = np.stack(np.unravel_index(voxels, numbers.shape), axis=1)
    counts = np.bincount(rows)
    mean = np.stack([np.bincount(rows, places[:, axis]) / counts for axis in range(3)], axis=1)
    away = (((places - mean[rows]) * np.array(voxel_size_nm)) ** 2).sum(axis=1)
    order = np.lexsort((voxels, away, hidden.ravel()[voxels], rows))
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    return np.asarray(places[order[starts]], np.int64)


class NumberFragments(Stage):
    """Count the fragments of all blocks, and join their places to one array.

    Attributes
    ----------
    blocks
        The grid of the fragments.
    """

    kind: ClassVar[str] = "fragment_numbers"
    unit: ClassVar[str] = ""

    blocks: BlockGrid

    def create_output(self, task: Task) -> None:
        """Create the folder."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return whether both files are there."""
        return WrittenNames(Path(task.output), task.grid, lambda block: [NUMBERS_FILE, PLACES_FILE])

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes both files."""
        parts, output = Path(task.inputs[PLACES]), Path(task.output)
        held = blocks_in(parts, self.blocks)

        def number(block: Block) -> dict[str, Any]:
            counts = np.zeros(len(self.blocks) + 1, np.int64)
            for index in held:
                counts[index + 1] = len(read_columns(block_file(parts, index))["place"])
            first = np.cumsum(counts)
            partial = output / f".{PLACES_FILE}"
            places = np.lib.format.open_memmap(partial, "w+", np.int32, (int(first[-1]), 3))
            for index in held:
                places[first[index] : first[index + 1]] = read_columns(block_file(parts, index))["place"]
            places.flush()
            partial.replace(output / PLACES_FILE)
            write_columns(output / NUMBERS_FILE, first=first, capacity=np.array(capacity_of(self.blocks)))
            return {"fragments": int(first[-1])}

        return number


def read_numbering(folder: Path) -> Numbering:
    """Return the dense numbers of fragments, from 0; their dense ids are one more."""
    columns = read_columns(folder / NUMBERS_FILE)
    return Numbering(columns["first"], int(columns["capacity"]))


def read_places(folder: Path) -> np.ndarray:
    """Map a voxel of each fragment: int32 ``(n, 3)``, zyx from the origin, by dense number."""
    return np.asarray(np.load(folder / PLACES_FILE, mmap_mode="r"))


def number_fragments(publication: Publication) -> tuple[Path, str]:
    """Number all fragments of the run; return place and content, for the tasks that read it."""
    fragments = publication.require_run("numbering").task("fragments")
    inputs = {FRAGMENTS: publication.source(FRAGMENTS), **find_no_data(publication)}
    grid = fragments.grid.model_copy(update={"context": (0, 0, 0)})
    places = Task.make(PlaceFragments(), inputs, publication.work / "fragment_places", grid, blocks=fragments.blocks)
    places = publication.run(places)
    given = {PLACES: (Path(places.output), places.fingerprint)}
    stage, row = NumberFragments(blocks=grid), make_row_grid(1, 1)
    numbers = publication.run(Task.make(stage, given, publication.work / "fragment_numbers", row))
    return Path(numbers.output), numbers.fingerprint


def find_no_data(publication: Publication) -> dict[str, tuple[Location, str]]:
    """Return the input that says where the segmentation of the run is 0 for lack of data; empty where it has none."""
    relabel = publication.require_run("numbering").task("relabel")
    if NO_DATA not in relabel.inputs:
        return {}
    return {NO_DATA: (to_location(relabel.inputs[NO_DATA]), relabel.input_fingerprints[NO_DATA])}
