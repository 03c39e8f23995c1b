"""What every ledger does: the one truth about which block of which task is running, done or failed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from pydantic import Field

from neuroadda.config import Config
from neuroadda.errors import UserError

Status = Literal["running", "done", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

Cause = Literal["transient", "memory", "user", "died", "error"]
"""Of a failed block: what may pass by itself, too little memory, something the user can mend, a worker that died in it, or any
other error. The same error in many blocks is a bug, else its blocks are poison; that is seen in the ledger, not in the error.
"""


class TaskRecord(Config):
    """A task as the ledger knows it.

    Attributes
    ----------
    fingerprint
        Key of the task: sha256 of all that determines its output, and of which output it is.
    stage
        Such as ``predict``.
    blocks
        Number of blocks that are to be done: all of its grid, or those that have tissue.
    voxels
        Voxels of these blocks.
    output
        Where its output lies.
    grid, parameters
        The block grid and the stage's parameters, for people and tools that read the ledger alone.
    created
        Seconds since the epoch.
    """

    fingerprint: str
    stage: str
    blocks: int
    voxels: int
    output: str
    grid: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    created: float = Field(default_factory=time.time)


class Worker(Config):
    """Who worked on a block.

    Attributes
    ----------
    job
        Id of its job, where a cluster ran it.
    cpu_seconds, peak_bytes
        What its process had used by then, since its start: processor time, and the most memory at once.
    """

    host: str
    pid: int
    device: str = "cpu"
    job: str | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class Failure(Config):
    """Why a block failed; the traceback is cut to its last lines."""

    type: str
    message: str
    traceback: str
    cause: Cause = "error"


class BlockRecord(Config):
    """One event in a block's life, to be written over what the ledger knows of that block.

    Attributes
    ----------
    block
        Dense index in the task's grid.
    attempts
        How many tries this record adds to the block's count (1 for a try that has just begun, or one reported only now).
    results
        What the stage reports, such as ``{"fragments": 120}``.
    """

    fingerprint: str
    block: int
    status: Status
    worker: Worker
    attempts: int = 0
    started: float
    finished: float | None = None
    seconds: float | None = None
    voxels: int = 0
    results: dict[str, Any] = Field(default_factory=dict)
    failure: Failure | None = None


class Summary(Config):
    """Progress of a task.

    Attributes
    ----------
    seconds, voxels
        Summed over done blocks: their seconds, which overlap where a worker has several in flight, and voxels written.
    started, finished
        First start and last finish over all blocks; None when there are none.
    voxels_per_second
        Of all workers together, by the blocks done last; time in which none was at work does not count. None when it is not known.
    """

    running: int = 0
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    voxels: int = 0
    started: float | None = None
    finished: float | None = None
    voxels_per_second: float | None = None


class FailureGroup(Config):
    """Failed blocks that share an error: its type and, but for numbers, its message; with one of their tracebacks."""

    type: str
    message: str
    traceback: str
    blocks: list[int]
    cause: Cause = "error"


@dataclass(frozen=True)
class BlockColumns:
    """What is known of some blocks, by column: a million of them as records would be a gigabyte.

    Attributes
    ----------
    blocks
        int64[n], dense indices.
    statuses
        uint8[n], places in `STATUSES`.
    when
        float64[n], seconds since the epoch: when the block finished, or started where it has not.
    seconds
        float64[n] that the block took; NaN where that is not known.
    worker
        int64[n], places in `workers`.
    workers
        Who worked on them, each with what its latest finished block tells.
    """

    blocks: np.ndarray
    statuses: np.ndarray
    when: np.ndarray
    seconds: np.ndarray
    worker: np.ndarray
    workers: tuple[Worker, ...]


class LedgerUnavailable(UserError):
    """The store does not answer now: server unreachable, connection lost, file locked. Saying it again may help."""


class Ledger(Protocol):
    """A store of tasks and blocks. Writes are upserts: said twice, they change nothing but the count of tries.

    A ``running`` record never overwrites ``done``, nor does ``failed``; ``done`` overwrites everything. Every attempt
    counts, also one on a block that is done already: tries are the sum of attempts, however they were batched.
    Methods may be called from any thread or process; they raise `LedgerUnavailable` where the store does not answer.
    """

    def register(self, task: TaskRecord) -> None:
        """Insert or replace a task's record; its blocks are left as they are."""
        ...

    def task(self, fingerprint: str) -> TaskRecord | None:
        """Return one task's record, or None."""
        ...

    def tasks(self) -> list[TaskRecord]:
        """Return all tasks, oldest first."""
        ...

    def write(self, records: Sequence[BlockRecord]) -> None:
        """Upsert a batch of records, durably, in one round trip; later records of a block count as later."""
        ...

    def done_mask(self, fingerprint: str, blocks: int) -> np.ndarray:
        """Return bool[blocks]: which blocks are done."""
        ...

    def summary(self, fingerprint: str) -> Summary:
        """Return the task's progress."""
        ...

    def failures(self, fingerprint: str, since: float = 0.0) -> list[FailureGroup]:
        """Return failed blocks grouped by error, largest group first; only those that failed at `since` or later.

        A block failed when it finished, or when it started where its record does not say when it finished.
        """
        ...

    def blocks(self, fingerprint: str, status: Status | None = None) -> list[dict[str, Any]]:
        """Return the records of all blocks, or of those of one status, by index, as plain data (``block``, ``tries``, ...)."""
        ...

    def reset(self, fingerprint: str) -> None:
        """Forget the task's blocks and the task itself."""
        ...

    def forget(self, fingerprint: str, blocks: Sequence[int]) -> None:
        """Forget what is recorded of some of the task's blocks."""
        ...

    def outsiders(self, fingerprint: str, blocks: int) -> list[int]:
        """Return the recorded blocks that a grid of so many blocks does not have."""
        ...

    def recorded(self) -> list[str]:
        """Return the keys under which blocks are recorded, whether there is such a task or not."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...

    def columns(self, fingerprint: str, since: float = 0.0) -> Iterator[BlockColumns]:
        """Yield blocks that finished at `since` or later, or started then and have not finished, some thousands at a time."""
        ...
