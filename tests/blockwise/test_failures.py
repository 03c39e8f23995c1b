"""Errors and their causes, and what a block's runner does about them."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from http.client import IncompleteRead
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.block_runner import BlockFailed, BlockRunner
from neuroadda.blockwise.failures import (
    PAUSES,
    Cause,
    choose_pause,
    find_cause,
    is_process_spoiled,
)
from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.outputs import prepare_output
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.errors import UserError
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.writer import LedgerWriter
from neuroadda.runs.advice import advise, describe_cause


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


CAUSES: list[tuple[BaseException, Cause]] = [
    (ConnectionResetError("gone"), "transient"),
    (BrokenPipeError(), "transient"),
    (TimeoutError(), "transient"),
    (socket.gaierror(-3, "Temporary failure in name resolution"), "transient"),
    (OSError(errno.EIO, "Input/output error"), "transient"),
    (OSError(errno.ESTALE, "Stale file handle"), "transient"),
    (IncompleteRead(b""), "transient"),
    (chained(UserError("it cannot be reached"), ConnectionRefusedError()), "transient"),
    (RuntimeError("CUDA error: unspecified launch failure"), "transient"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), "transient"),
    (MemoryError(), "memory"),
    (np._core._exceptions._ArrayMemoryError((10**9,), np.dtype(float)), "memory"),
    (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
    (RuntimeError("CUDA error: out of memory"), "memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "memory"),
    (RuntimeError("std::bad_alloc"), "memory"),
    (RuntimeError("could not create a primitive"), "memory"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
    (chained(RuntimeError("a codec failed"), MemoryError()), "memory"),
    (OSError(errno.ENOSPC, "No space left on device"), "user"),
    (PermissionError(errno.EACCES, "Permission denied"), "user"),
    (UserError("labels do not fit"), "user"),
    (RuntimeError("error in libzarr: [Errno 28] No space left on device"), "user"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory"), "error"),
    (RuntimeError("error during blosc decompression: -1"), "error"),
    (IndexError("list index out of range"), "error"),
]


@pytest.mark.parametrize(
    ("error", "cause"), CAUSES, ids=lambda value: value if isinstance(value, str) else repr(value)[:40]
)
def test_every_error_has_a_cause(error, cause):
    assert find_cause(error) == cause


def test_the_cause_is_found_by_what_libraries_raise():
    botocore = pytest.importorskip("botocore.exceptions")
    aiohttp = pytest.importorskip("aiohttp")
    pymongo = pytest.importorskip("pymongo.errors")
    for error in (
        botocore.EndpointConnectionError(endpoint_url="http://x"),
        botocore.ConnectionClosedError(endpoint_url="http://x"),
        botocore.ReadTimeoutError(endpoint_url="http://x"),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        pymongo.AutoReconnect(),
        pymongo.ServerSelectionTimeoutError(),
    ):
        assert find_cause(error) == "transient", error


def test_torch_says_that_memory_is_short_in_one_of_our_ways():
    torch = pytest.importorskip("torch")
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert find_cause(caught.value) == "memory"
    assert find_cause(torch.OutOfMemoryError("CUDA out of memory")) == "memory"


def test_only_a_lost_device_or_compiler_needs_another_process():
    assert is_process_spoiled(chained(RuntimeError("in a block"), RuntimeError("CUDA error: device lost")))
    assert is_process_spoiled(RuntimeError("could not create a primitive"))
    assert not is_process_spoiled(RuntimeError("could not create a primitive descriptor"))
    assert not is_process_spoiled(RuntimeError("CUDA error: out of memory"))
    assert not is_process_spoiled(ConnectionResetError())


def test_pauses_double_and_end_and_blocks_do_not_come_back_together():
    for cause in get_args(Cause):
        tries = len(PAUSES.get(cause, ()))
        assert choose_pause(cause, tries + 1, 0) is None
        for number, pause in enumerate(PAUSES.get(cause, ()), 1):
            spread = [choose_pause(cause, number, block) for block in range(50)]
            assert len(set(spread)) == 50
            assert 0.5 * pause <= min(spread) < pause < max(spread) <= 1.5 * pause
            assert spread[7] == choose_pause(cause, number, 7)
    assert 30 < sum(PAUSES["transient"]) < 120


def test_people_are_told_what_it_is_and_what_to_do():
    assert describe_cause("error", 7, 8) == "poison"
    assert describe_cause("error", 8, 8) == "bug"
    for cause in get_args(Cause):
        for blocks in (1, 100):
            line = advise(describe_cause(cause, blocks, 8), "runs/a", "predict", "3,7")
            assert "neuroadda retry runs/a" in line
            assert "\n" not in line


class Flaky(Stage):
    """Fails a block so often, and then does it."""

    kind: ClassVar[str] = "flaky"

    failures: int = 0

    def create_output(self, task: Task) -> None:
        task.create_folder()

    def open(self, task: Task) -> BlockFunction:
        tried: dict[int, int] = {}

        def do(block: Block) -> dict[str, Any]:
            tried[block.index] = tried.get(block.index, 0) + 1
            if tried[block.index] <= self.failures:
                raise copy(ERRORS[block.index])
            return {"tried": tried[block.index]}

        return do


ERRORS = {
    0: ConnectionResetError("gone"),
    1: MemoryError(),
    2: ValueError("bad"),
    3: UserError("not yours"),
    4: RuntimeError("CUDA error: unspecified launch failure"),
}
Go = Callable[[int, int], list[float]]


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[tuple[Go, Callable[[], list[dict[str, Any]]]]]:
    """Do a block that fails so often; the pauses made. And the ledger's rows."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    grid = BlockGrid.make(Roi((0, 0, 0), (5, 1, 1)), Coordinate(1, 1, 1), (1, 1, 1))
    keys = []

    def go(block: int, failures: int) -> list[float]:
        task = prepare_output(
            Task.make(Flaky(failures=failures), {}, tmp_path / f"out-{failures}", grid), ledger, False
        )
        keys.append(task.key)
        pauses: list[float] = []
        with LedgerWriter(ledger) as writer:
            run = BlockRunner(task, writer, sleep=pauses.append)
            with suppress(BlockFailed):
                run(block)
        return pauses

    yield go, lambda: ledger.blocks(keys[-1])
    ledger.close()


@pytest.mark.parametrize(("block", "failures"), [(0, 1), (0, 7), (1, 2)])
def test_what_may_pass_is_tried_again_after_a_while(flaky, block, failures):
    go, rows = flaky
    cause = find_cause(ERRORS[block])
    assert go(block, failures) == [choose_pause(cause, tries, block) for tries in range(1, failures + 1)]
    (row,) = rows()
    assert (row["status"], row["tries"], row["results"]) == ("done", failures + 1, {"tried": failures + 1})


@pytest.mark.parametrize(
    ("block", "cause", "tries"),
    [(0, "transient", 8), (1, "memory", 3), (2, "error", 1), (3, "user", 1), (4, "transient", 1)],
)
def test_what_does_not_pass_is_on_record_with_its_cause(flaky, block, cause, tries):
    go, rows = flaky
    assert len(go(block, 100)) == tries - 1
    (row,) = rows()
    assert (row["status"], row["tries"], row["failure"]["cause"]) == ("failed", tries, cause)
    assert row["failure"]["type"] == type(ERRORS[block]).__name__
    assert row["failure"]["traceback"].startswith("Traceback")
