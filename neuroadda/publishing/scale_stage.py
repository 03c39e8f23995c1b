"""The stage that writes one scale of a volume: the finest from the source, a coarser one from the next finer.

tensorstore is imported where it is used: a forked child must not use it after its parent did.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.outputs import Written
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.publishing.named_files import WrittenNames
from neuroadda.publishing.scales import Scale
from neuroadda.publishing.whole_voxels import first_voxel, read_ids, to_box
from neuroadda.pyramids.downsampling import Halving, Method, downsample
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location, to_location

Read = Callable[[np.ndarray, np.ndarray], np.ndarray]


class WriteScale(Stage):
    """Parameters of one scale; each format has a subclass for its own `Scale`.

    Attributes
    ----------
    finer
        The scale that it is made of; None where it is the source itself.
    factor
        Voxels of the finer one in a voxel, zyx.
    """

    scale: Scale
    finer: Scale | None
    factor: Halving
    method: Method

    @property
    def name(self) -> str:
        """Kind, layer and scale."""
        return f"{self.kind}_{self.scale.layer}_{self.scale.key}"

    def create_output(self, task: Task) -> None:
        """Create the scale's folder."""
        task.create_folder()

    def written(self, task: Task) -> Written:
        """Return which blocks' files are there."""
        return WrittenBlocks(
            to_location(task.output),
            task.grid,
            lambda b: self.scale.list_files(b.write_roi.begin, b.write_roi.shape),
            self,
        )

    def open(self, task: Task) -> BlockFunction:
        """Return the function that writes a block and reports its files."""
        scale, factor = self.scale, np.array(self.factor)
        output, read = scale.open(to_location(task.output).parent), self._open_source(task)
        low, high = (scale if self.finer is None else self.finer).box

        def make(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
            first, last = np.maximum(begin * factor, low), np.minimum(end * factor, high)
            finer = read(first, last)
            # The lattice may begin before the volume; the voxels that are missing there weigh nothing, as in `downsample`.
            pad = [(0, 0)] * (finer.ndim - 3) + [(int(n), 0) for n in first - begin * factor]
            return downsample(np.pad(finer, pad, mode="edge") if np.any(pad) else finer, self.factor, self.method)

        def write(block: Block) -> dict[str, Any]:
            import tensorstore

            begin, shape = np.array(block.write_roi.begin), np.array(block.write_roi.shape)
            voxels = np.zeros((scale.channels or 1, *shape), scale.data_type)
            inside = np.maximum(begin, scale.begin_vx) - begin  # a file may begin before the volume
            for place in product(*(range(0, s, c) for s, c in zip(shape, scale.chunk_vx, strict=True))):
                start = np.maximum(place, inside)
                stop = np.minimum(np.array(place) + scale.chunk_vx, shape)
                if (start < stop).all():
                    part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
                    voxels[(slice(None), *part)] = make(begin + start, begin + stop)
            box = tuple(slice(int(a), int(b)) for a, b in zip(begin[::-1], (begin + shape)[::-1], strict=True))
            with tensorstore.Transaction() as transaction:  # a shard is written once, whole
                output.with_transaction(transaction)[box].write(voxels.T).result()
            return {"files": len(scale.list_files(begin.tolist(), shape.tolist()))}

        return write

    def _open_source(self, task: Task) -> Read:
        if self.finer is None:
            return self.open_volume(task)
        array = self.finer.open(to_location(task.inputs["source"]).parent)

        def read_finer(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
            box = tuple(slice(int(a), int(b)) for a, b in zip(begin[::-1], end[::-1], strict=True))
            return np.asarray(array[box].read().result()).T

        return read_finer

    def open_volume(self, task: Task) -> Read:
        """Return a function of first voxel and the one after the last of the finest scale: ``[c,] z, y, x``."""
        volume = Volume.open(task.inputs["source"])
        if self.scale.layer == "segmentation":
            return lambda begin, end: read_ids(volume, begin, end)
        first = first_voxel(volume)
        return lambda begin, end: volume.read_box(to_box(begin - first, end - first))


@dataclass(frozen=True)
class WrittenBlocks(WrittenNames):
    """The files of a scale's blocks."""

    stage: WriteScale

    def read(self, block: Block) -> None:
        """Decode the block."""
        array = self.stage.scale.open(self.folder.parent)
        begin, end = np.array(block.write_roi.begin)[::-1], np.array(block.write_roi.end)[::-1]
        array[tuple(slice(int(a), int(b)) for a, b in zip(begin, end, strict=True))].read().result()


def make_scale_tasks(
    stage: type[WriteScale], scales: Sequence[Scale], inputs: Mapping[str, tuple[Location, str]], folder: Location
) -> Iterator[Task]:
    """Yield the task of each scale of the volume in a folder, from fine to coarse.

    Parameters
    ----------
    inputs
        Of the finest scale: ``source``, the volume, and what else `WriteScale.open_volume` needs.
    """
    method: Method = "mean" if scales[0].layer in ("raw", "affs") else "mode"
    finer: Scale | None = None
    for scale in scales:
        sizes = zip(scale.voxel_size_nm, (finer or scale).voxel_size_nm, strict=True)
        factor: Any = tuple(round(coarse / fine) for coarse, fine in sizes)
        bound = stage(scale=scale, finer=finer, factor=factor, method=method)
        task = Task.make(bound, inputs, folder / scale.key, scale.grid, scale.chunk_vx)
        yield task
        inputs, finer = {"source": (folder / scale.key, task.fingerprint)}, scale
