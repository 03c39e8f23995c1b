"""A task's output: which task made it, which of its blocks are written, and whether it may be replaced."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neuroadda.blockwise.grid import Block, BlockGrid, BlockSet
from neuroadda.config import Zyx, fingerprint
from neuroadda.errors import UserError
from neuroadda.ledger.base import Ledger
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import retire
from neuroadda.volumes.identity.moved import describe_move, keep_place
from neuroadda.volumes.storage.locations import (
    Location,
    is_inside,
    move,
    neighbour,
    remove,
    remove_at_once,
    to_location,
)
from neuroadda.volumes.storage.nodes import is_array, read_attributes
from neuroadda.volumes.storage.stored import file_vx, list_stored, stored_file

if TYPE_CHECKING:
    from neuroadda.blockwise.task import Task

TAG_FILE = "task.json"


def read_tag(output: Location) -> dict[str, Any] | None:
    """Return the tag of an output array or folder; None when nothing is there, empty when it has none.

    A tag without an array is what is left where one was being made or removed: nothing is there. An array in
    whose attributes nothing of ours belongs has its tag in a file beside its metadata.
    """
    if is_array(output) and not (isinstance(output, Path) and (output / TAG_FILE).is_file()):
        return read_attributes(output)
    try:
        return dict(json.loads((output / TAG_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None if not output.exists() or read_attributes(output).get("instance") else {}


def read_key(output: Location) -> str | None:
    """Return the ledger's key of the task that made an output; None where there is no output of a task."""
    tag = read_tag(output) or {}
    return fingerprint(tag["fingerprint"], tag["instance"]) if tag.get("instance") else None


def blocks_in(folder: Path, grid: BlockGrid) -> BlockSet:
    """Return the blocks that a finished task with that grid has left files of in its folder."""
    tissue = (read_tag(folder) or {}).get("tissue")
    return BlockSet.full(len(grid)) if tissue is None else BlockSet.load(tissue, len(grid))


def bind_output(task: "Task") -> "Task | None":
    """Return the task with the instance of its output; None where the output is missing, another task's, or was moved."""
    output = to_location(task.output)
    tag = read_tag(output) or {}
    if tag.get("fingerprint") != task.fingerprint or not tag.get("instance") or describe_move(output):
        return None
    return task.model_copy(update={"instance": tag["instance"]})


def check_output(task: "Task", overwrite: bool) -> None:
    """Raise UserError if the output belongs to another fingerprint, or was moved, and `overwrite` is false.

    Other edits are no reason: they are the user's own, and in the run's folder.
    """
    output = to_location(task.output)
    if overwrite or bind_output(task) is not None or (tag := read_tag(output)) is None:
        return
    if (tag.get("base") or tag.get("fingerprint")) == (task.base or task.fingerprint):
        if moved := describe_move(output):
            what = f"the attributes of the output of {task.name} were edited: {moved}"
            raise UserError(what, task.output, "write them back, or pass --overwrite to replace it")
        if tag.get("instance") and tag.get("fingerprint") != task.fingerprint:
            return
    what = f"the output of {task.name} was made with other parameters or inputs"
    raise UserError(what, task.output, "pass --overwrite to replace it, or choose another output")


def prepare_output(task: "Task", ledger: Ledger, overwrite: bool) -> "Task":
    """Make the task's output ready and the ledger agree with it; return the task bound to that output.

    Raises
    ------
    UserError
        See `check_output`; also if the output cannot be replaced or created.
    """
    check_output(task, overwrite)
    output = to_location(task.output)
    bound = bind_output(task)
    if bound is None:
        for known in ledger.tasks():
            if known.output == task.output_on_record:
                ledger.reset(known.fingerprint)
        views = _remove(output)
        for known in ledger.tasks():
            if any(is_inside(to_location(known.output), view) for view in views):
                ledger.reset(known.fingerprint)
        bound = task.model_copy(update={"instance": secrets.token_hex(8)})
        _create_at_once(bound, output)
    record = ledger.task(bound.key)
    if record is None:
        ledger.register(bound.record)
    elif record.output != bound.output_on_record:  # its folder was moved
        ledger.register(bound.record.model_copy(update={"created": record.created}))
    return bound


def _remove(output: Location) -> list[Path]:
    """Delete what lies at an output, and what showed it; return the latter."""
    try:
        views = retire(output)
        remove_at_once(output)
    except OSError as error:
        raise UserError(f"the output cannot be replaced: {error.strerror}", str(output)) from error
    return views


def _create_at_once(task: "Task", output: Location) -> None:
    partial = neighbour(output, f".{output.name}.partial")
    remove(partial)
    task.bound.create_output(task.model_copy(update={"output": str(partial)}))
    if is_array(partial):
        keep_place(partial)
    move(partial, output)


class Written(Protocol):
    """What the blocks of a task have written."""

    def find(self) -> np.ndarray:
        """Return bool, by block of the grid: is all there that the block writes? Memory is a few bytes a block."""
        ...

    def read(self, block: Block) -> None:
        """Read all that a block wrote; what is missing or broken raises whatever its reader raises."""
        ...

    def remove(self, block: Block) -> None:
        """Delete what is there of a block, which would be in the way of writing it again where it is broken."""
        ...


@dataclass(frozen=True)
class WrittenArray:
    """An array.

    A block writes every chunk of its own, also one that is all zero, and no other block's; a chunk's file is renamed into its
    place when it is whole. So a block whose chunks are all there was written; and since its bytes are always the same, a
    second writer that died half-way left what the first had written.

    Attributes
    ----------
    files
        In a full block along each axis: chunks, or shards.
    """

    volume: Volume
    grid: BlockGrid
    files: Zyx

    def find(self) -> np.ndarray:
        """Return bool, by block: are all its files there?"""
        sides, counts = self._sides, self.grid.counts
        found = np.zeros(counts, np.uint32)
        for places in list_stored(self.volume):
            inside = places[(places < sides).all(axis=1)]
            np.add.at(found, tuple((inside // self.files).T), 1)
        z, y, x = (np.minimum(f, side - f * np.arange(n)) for f, side, n in zip(self.files, sides, counts, strict=True))
        return np.asarray(found >= z[:, None, None] * y[:, None] * x).ravel()

    def read(self, block: Block) -> None:
        """Read the block's voxels."""
        steps = zip(self._span(block), file_vx(self.volume), strict=True)
        np.asarray(self.volume.data[(..., *(slice(part.start * step, part.stop * step) for part, step in steps))])

    def remove(self, block: Block) -> None:
        """Delete the block's files."""
        z, y, x = self._span(block)
        for place in ((i, j, k) for i in z for j in y for k in x):
            remove(stored_file(self.volume, place))

    @property
    def _sides(self) -> list[int]:
        """How many files the array has along each axis."""
        return [-(-s // f) for s, f in zip(self.volume.shape_vx, file_vx(self.volume), strict=True)]

    def _span(self, block: Block) -> list[range]:
        """Return the places of the block's files along each axis."""
        axes = zip(block.position, self.files, self._sides, strict=True)
        return [range(p * n, min((p + 1) * n, side)) for p, n, side in axes]


@dataclass(frozen=True)
class WrittenTogether:
    """Several outputs of one task."""

    parts: Sequence[Written]

    def find(self) -> np.ndarray:
        """Return bool, by block: is it in every part?"""
        return np.logical_and.reduce([part.find() for part in self.parts])

    def read(self, block: Block) -> None:
        """Read every part."""
        for part in self.parts:
            part.read(block)

    def remove(self, block: Block) -> None:
        """Delete the block from every part."""
        for part in self.parts:
            part.remove(block)
