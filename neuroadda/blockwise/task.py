"""A task: a stage bound to its inputs, its output and a grid. It is plain data, so that a worker anywhere can rebuild it."""

import importlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from funlib.geometry import Coordinate

from neuroadda.blockwise.grid import Block, BlockGrid, BlockSet
from neuroadda.blockwise.outputs import TAG_FILE, Written, WrittenArray
from neuroadda.config import Config, Zyx, dump_config, dump_json, fingerprint, parse_config
from neuroadda.device_leases import Lease
from neuroadda.errors import UserError
from neuroadda.ledger.base import TaskRecord
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.relocation import to_absolute
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.placing import write_file

BlockFunction = Callable[[Block], dict[str, Any]]
CHUNK_VX = 64
STAGES: dict[str, type["Stage"]] = {}
"""Every stage class that this process has imported, by kind."""


class Stage(Config):
    """What is done to a block. Its fields are its parameters, and all of them determine the result.

    Subclass it in an importable module and give it a `kind`.

    Attributes
    ----------
    kind
        Identifies the stage in fingerprints and ledgers, such as ``fragments``. It never changes, wherever the class is moved.
    version
        Raise it whenever the same parameters give other results.
    in_flight
        Number of blocks that a worker processes at the same time, each in its own thread. Choose more than one where a block waits
        for something other than the processor; the block function is then called from several threads.
    unit
        What its grid is of, for progress: voxels, or another such as segments; empty where there is no rate to tell.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    in_flight: ClassVar[int] = 1
    unit: ClassVar[str] = "vx"

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Register the kind.

        Raises
        ------
        TypeError
            If another class has it.
        """
        super().__pydantic_init_subclass__(**options)
        if "kind" in vars(cls) and (known := STAGES.setdefault(cls.kind, cls)) is not cls:
            if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"two stages are of the kind {cls.kind!r}: {known.__qualname__} and {cls.__qualname__}")
            STAGES[cls.kind] = cls

    @property
    def name(self) -> str:
        """Name shown to people, unique among the tasks of a run: the kind, unless a run has several tasks of that kind."""
        return self.kind

    @abstractmethod
    def create_output(self, task: "Task") -> None:
        """Create the empty output, tagged with ``task.tag``."""

    @abstractmethod
    def open(self, task: "Task") -> BlockFunction:
        """Open inputs and output, once a worker; return the function that does a block and reports its results."""

    def written(self, task: "Task") -> Written:
        """Return what can tell which blocks are written; a stage that does more than fill an array says what that is."""
        return task.written_array()

    @property
    def accelerated(self) -> bool:
        """Whether its blocks may be computed on a GPU."""
        return False

    def take_device(self) -> tuple["Stage", Lease]:
        """Return the stage as a worker runs it, on a device of its own, and the lease that keeps that device for it."""
        return self, Lease()


class Task(Config):
    """A stage bound to inputs, output and grid.

    Attributes
    ----------
    kind, version
        Of the stage.
    parameters
        The stage's fields.
    implementation
        ``module:Class`` of the stage, for workers to import. It does not count in the fingerprint.
    inputs
        Name to path or URL.
    input_fingerprints
        Name to what determines that input's content.
    output
        Of what is written: the path or URL of a zarr array, or the path of a folder.
    chunk_vx
        Chunk shape of an output array; it divides the block, so that no two blocks write to one chunk.
    tissue
        Which blocks have tissue, as `BlockSet.dump` writes it; None for all. The others are not done, and their output is empty.
    shard
        Keep a block's chunks of an output array in one file.
    base
        Fingerprint that the task would have without edits; empty for a task without edits. Where only the edits are others, an
        output is replaced without being asked.
    instance
        Random id of the very output, given when it is created and stored in its tag; empty before.
    """

    kind: str
    version: int
    parameters: dict[str, Any]
    implementation: str
    inputs: dict[str, str]
    input_fingerprints: dict[str, str]
    output: str
    grid: BlockGrid
    chunk_vx: Zyx
    tissue: str | None = None
    shard: bool = False
    base: str = ""
    instance: str = ""

    @classmethod
    def make(
        cls,
        stage: Stage,
        inputs: Mapping[str, tuple[Location, str]],
        output: Location,
        grid: BlockGrid,
        chunk_vx: Zyx | None = None,
        *,
        blocks: BlockSet | None = None,
        shard: bool = False,
        base: str = "",
    ) -> "Task":
        """Bind a stage; each input is its place and its content's fingerprint. Chunks default to about 64 voxels an axis.

        Only `blocks` are done, by default all: those that have tissue. See the attributes for `shard` and `base`.

        Raises
        ------
        UserError
            If the blocks are not aligned to the chunks.
        """
        chunk_vx = chunk_vx or _choose_chunk_vx(grid.block_vx)
        check_chunks(grid.block_vx, chunk_vx)
        return cls(
            kind=stage.kind,
            version=stage.version,
            parameters=dump_config(stage),
            implementation=f"{type(stage).__module__}:{type(stage).__qualname__}",
            inputs={name: str(path) for name, (path, _) in inputs.items()},
            input_fingerprints={name: print_ for name, (_, print_) in inputs.items()},
            output=str(output),
            grid=grid,
            chunk_vx=chunk_vx,
            tissue=None if blocks is None else blocks.dump(),
            shard=shard,
            base=base,
        )

    @cached_property
    def bound(self) -> Stage:
        """The stage itself."""
        module, _, name = self.implementation.partition(":")
        stage: type[Stage] = getattr(importlib.import_module(module), name)
        return parse_config(stage, self.parameters, f"task {self.kind}")

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.bound.name

    @cached_property
    def blocks(self) -> BlockSet:
        """The blocks that are done: all, or those that have tissue."""
        size = len(self.grid)
        return BlockSet.full(size) if self.tissue is None else BlockSet.load(self.tissue, size)

    @property
    def voxels(self) -> int:
        """Voxels of these blocks."""
        return self.grid.voxels() if self.tissue is None else self.grid.voxels_of(self.blocks.to_mask())

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 of all that determines the output."""
        parts = [self.kind, self.version, self.parameters, self.input_fingerprints, dump_config(self.grid)]
        return fingerprint(*parts, *([] if self.tissue is None else [self.blocks.digest]))

    @property
    def key(self) -> str:
        """The ledger's key: what is computed, and into which output: a record of one output never counts for another."""
        assert self.instance, "bind the task to its output first"
        return fingerprint(self.fingerprint, self.instance)

    @property
    def tag(self) -> dict[str, Any]:
        """What the output carries to say where it comes from."""
        return {
            "fingerprint": self.fingerprint,
            "instance": self.instance,
            "stage": self.name,
            "parameters": self.parameters,
            "input_fingerprints": self.input_fingerprints,
            **({"base": self.base} if self.base else {}),
        }

    @property
    def output_on_record(self) -> str:
        """Where the output lies, as the ledger names it."""
        return to_absolute(self.output)

    @property
    def record(self) -> TaskRecord:
        """What the ledger records of the task."""
        return TaskRecord(
            fingerprint=self.key,
            stage=self.name,
            blocks=len(self.blocks),
            voxels=self.voxels,
            output=self.output_on_record,
            grid=dump_config(self.grid),
            parameters=self.parameters,
        )

    def written_array(self) -> WrittenArray:
        """Open the output, an array, to see which blocks are written."""
        z, y, x = (1, 1, 1) if self.shard else Coordinate(self.grid.block_vx) / Coordinate(self.chunk_vx)
        return WrittenArray(Volume.open(self.output), self.grid, (z, y, x))

    def create_array(self, like: Volume, dtype: Any, channels: int | None = None, **attrs: Any) -> None:
        """Make the output an empty array over the grid, tagged, on the voxels of another array."""
        Volume.create(
            self.output,
            tuple(self.grid.roi.shape / like.voxel_size),
            like.voxel_size_nm,
            dtype,
            offset_nm=tuple(o / like.units_per_nm for o in self.grid.offset),
            channels=channels,
            chunk_vx=self.chunk_vx,
            shard_vx=self.grid.block_vx if self.shard else None,
            attrs=self.tag | attrs,
        )

    def create_folder(self) -> None:
        """Make the output a folder, tagged (for stages whose output is not an array)."""
        try:
            write_file(to_location(self.output) / TAG_FILE, dump_json(self.tag | {"tissue": self.tissue}))
        except OSError as error:
            raise UserError(f"the folder cannot be created: {error.strerror}", self.output) from error


def stage_modules() -> list[str]:
    """Return the modules of the stages that this process has imported: a run's workers find them imported, too."""
    return sorted({stage.__module__ for stage in STAGES.values()})


def check_chunks(block_vx: Zyx, chunk_vx: Zyx) -> None:
    """Raise UserError if blocks are not of whole chunks: no two blocks write to one."""
    if any(c < 1 or b % c for b, c in zip(block_vx, chunk_vx, strict=True)):
        what = f"blocks of {block_vx} voxels are not aligned to chunks of {chunk_vx}"
        raise UserError(what, "chunk_vx", "choose a chunk shape that divides block_vx")


def _choose_chunk_vx(block_vx: Zyx) -> Zyx:
    """Of the shapes that divide the block, return the one nearest to CHUNK_VX in ratio; a prime side is one chunk."""

    def choose(side: int) -> int:
        divisors = [d for d in range(1, side + 1) if side % d == 0]
        return min(divisors, key=lambda d: max(d, CHUNK_VX) / min(d, CHUNK_VX))

    z, y, x = map(choose, block_vx)
    return z, y, x
