"""The buffered writer: order, batches, errors that are not lost; writers in several processes, and killed ones."""

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neuroadda.ledger.base import BlockRecord, Ledger, LedgerUnavailable, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.sqlite import SqliteLedger
from neuroadda.ledger.writer import LedgerWriter
from tests.waiting import PATIENCE_SECONDS

NEVER = 1e6  # seconds


def make_record(block: int, status: str = "done", attempts: int = 0, voxels: int = 0) -> BlockRecord:
    return BlockRecord(
        fingerprint="f",
        block=block,
        status=status,
        worker=Worker(host="h", pid=1),
        attempts=attempts,
        started=1.0,
        voxels=voxels,
    )


class WatchedLedger(SqliteLedger):
    """A real ledger that notes its batches, raises `errors` first, and waits for `gate` before each write."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.batches: list[list[BlockRecord]] = []
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def write(self, records: Sequence[BlockRecord]) -> None:
        self.entered.release()
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.errors:
            raise self.errors.pop(0)
        super().write(records)
        self.batches.append(list(records))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[WatchedLedger]:
    opened = WatchedLedger(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_flush_returns_when_all_is_written(ledger: WatchedLedger) -> None:
    with LedgerWriter(ledger, max_age=NEVER) as writer:
        writer.flush()
        assert ledger.batches == []
        writer.add(make_record(0))
        writer.add(make_record(1))
        assert ledger.batches == []
        writer.flush()
        assert ledger.done_mask("f", 2).all()
        assert len(ledger.batches) == 1


def test_close_writes_the_rest(ledger: WatchedLedger) -> None:
    with LedgerWriter(ledger, max_age=NEVER) as writer:
        writer.add(make_record(0))
    assert ledger.done_mask("f", 1).all()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.add(make_record(1))


def test_an_old_record_is_written_unasked(ledger: WatchedLedger) -> None:
    with LedgerWriter(ledger, max_age=0.01) as writer:
        writer.add(make_record(0))
        assert ledger.entered.acquire(timeout=PATIENCE_SECONDS)


def test_a_full_buffer_is_written_unasked(ledger: WatchedLedger) -> None:
    with LedgerWriter(ledger, max_age=NEVER, max_records=3) as writer:
        for block in range(3):
            writer.add(make_record(block))
        assert ledger.entered.acquire(timeout=PATIENCE_SECONDS)
    assert [len(batch) for batch in ledger.batches] == [3]


def test_records_of_a_block_become_one_with_summed_attempts(ledger: WatchedLedger) -> None:
    with LedgerWriter(ledger, max_age=NEVER, max_records=2) as writer:
        writer.add(make_record(0, "running", attempts=1))
        writer.add(make_record(0, "failed"))
        writer.add(make_record(0, "running", attempts=1))
        writer.add(make_record(0, "done", voxels=5))
        writer.add(make_record(0, "running", attempts=1))
    assert ledger.batches == [[make_record(0, "done", attempts=3, voxels=5)]]


def test_a_later_batch_comes_later(ledger: WatchedLedger) -> None:
    ledger.gate.clear()
    with LedgerWriter(ledger, max_age=0.0) as writer:
        writer.add(make_record(0, "done", voxels=1))
        assert ledger.entered.acquire(timeout=PATIENCE_SECONDS)
        writer.add(make_record(0, "done", voxels=2))
        writer.add(make_record(0, "done", voxels=3))
        ledger.gate.set()
    assert [[record.voxels for record in batch] for batch in ledger.batches] == [[1], [3]]


def test_a_lost_connection_is_tried_again(ledger: WatchedLedger) -> None:
    ledger.errors = [LedgerUnavailable("gone"), LedgerUnavailable("gone")]
    with LedgerWriter(ledger, max_age=NEVER) as writer:
        writer.add(make_record(0, attempts=1))
        writer.flush()
    assert [block["tries"] for block in ledger.blocks("f")] == [1]


@pytest.mark.parametrize("error", [LedgerUnavailable("gone"), RuntimeError("a bug")])
def test_an_error_that_stays_is_raised_by_every_later_call(ledger: WatchedLedger, error: Exception) -> None:
    ledger.errors = [error] * 10
    writer = LedgerWriter(ledger, max_age=0.0, patience=0.1)
    writer.add(make_record(0))
    with pytest.raises(type(error)) as caught:
        writer.flush()
    assert caught.value is error
    for call in (lambda: writer.add(make_record(1)), writer.flush, writer.close, writer.close):
        with pytest.raises(type(error)):
            call()
    if isinstance(error, RuntimeError):
        assert len(ledger.errors) == 9  # not tried again


def test_an_error_wakes_those_who_wait_for_room(ledger: WatchedLedger) -> None:
    ledger.gate.clear()
    ledger.errors = [RuntimeError("a bug")]
    writer = LedgerWriter(ledger, max_age=NEVER, max_records=1)
    writer.add(make_record(0))
    assert ledger.entered.acquire(timeout=PATIENCE_SECONDS)
    writer.add(make_record(1))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(writer.add, make_record(2))
        ledger.gate.set()
        with pytest.raises(RuntimeError, match="a bug"):
            waiting.result(PATIENCE_SECONDS)
    with pytest.raises(RuntimeError, match="a bug"):
        writer.close()


def test_threads_share_a_writer(ledger: WatchedLedger) -> None:
    with LedgerWriter(ledger, max_age=0.001, max_records=16) as writer, ThreadPoolExecutor(8) as pool:

        def work(number: int) -> None:
            for block in range(number, 800, 8):
                writer.add(make_record(block, "running", attempts=1))
                writer.add(make_record(block, "done"))
                if block % 50 == 0:
                    writer.flush()
                    assert ledger.done_mask("f", 800)[block]

        list(pool.map(work, range(8)))
    blocks = ledger.blocks("f")
    assert [block["block"] for block in blocks] == list(range(800))
    assert {(block["status"], block["tries"]) for block in blocks} == {("done", 1)}


# processes

CHILD = """
import sys
from neuroadda.ledger.base import BlockRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.writer import LedgerWriter

url, task, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
worker = Worker(host="h", pid=1)
with LedgerWriter(open_ledger(url), max_age=0.005, max_records=8) as writer:
    for block in range(first, first + count):
        record = BlockRecord(fingerprint=task, block=block, status="running", worker=worker, attempts=1, started=1.0)
        writer.add(record)
        writer.add(record.model_copy(update={"status": "done", "attempts": 0}))
        shared = BlockRecord(fingerprint=task, block=-1, status="running", worker=worker, attempts=1, started=1.0)
        writer.add(shared)
        if block % 5 == 4:
            writer.flush()
            print(block, flush=True)
"""


def start_child(url: str, task: str, first: int, count: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, url, task, str(first), str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite", "mongo"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db" if request.param == "sqlite" else request.getfixturevalue("mongo_url")


@pytest.fixture
def opened(url: str) -> Iterator[Ledger]:
    ledger = open_ledger(url)
    yield ledger
    ledger.close()


@pytest.mark.system
def test_processes_write_at_once(url: str) -> None:
    task, each = secrets.token_hex(16), 50
    children = [
        start_child(url, task, number * each, each) for number in range(3)
    ]  # SQLite: all make the same new file
    for child in children:
        child.communicate(timeout=PATIENCE_SECONDS)
        assert child.returncode == 0
    ledger = open_ledger(url)
    shared, *blocks = ledger.blocks(task)
    assert [(block["block"], block["status"], block["tries"]) for block in blocks] == [
        (block, "done", 1) for block in range(3 * each)
    ]
    assert (shared["status"], shared["tries"]) == ("running", 3 * each)
    ledger.close()


@pytest.mark.parametrize("lines", [1, 7, 20])
def test_a_killed_writer_loses_nothing_acknowledged(url: str, opened: Ledger, lines: int) -> None:
    task = secrets.token_hex(16)
    child = start_child(url, task, 0, 10**6)
    assert child.stdout is not None
    acknowledged = [int(child.stdout.readline()) for _ in range(lines)][-1]
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().split()
    assert child.wait(PATIENCE_SECONDS) == -signal.SIGKILL
    acknowledged = int(rest[-1]) if rest else acknowledged
    assert opened.done_mask(task, acknowledged + 1).all()
    opened.write([BlockRecord(fingerprint=task, block=0, status="done", worker=Worker(host="h", pid=1), started=2.0)])
    assert opened.done_mask(task, 1).all()


def test_a_forked_process_uses_connections_of_its_own(url: str, opened: Ledger) -> None:
    task = secrets.token_hex(16)
    record = BlockRecord(fingerprint=task, block=0, status="done", worker=Worker(host="h", pid=1), started=1.0)
    opened.write([record])
    child = os.fork()
    if child == 0:
        code = 1
        try:
            opened.write([record.model_copy(update={"block": 1})])
            opened.close()
            code = 0
        finally:
            os._exit(code)
    opened.write([record.model_copy(update={"block": 2})])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert opened.done_mask(task, 3).all()


@pytest.mark.system
def test_processes_make_the_same_new_file_at_once(tmp_path: Path) -> None:
    # Without a second try of the switch to WAL, about one opening in a hundred was refused as locked.
    for number in range(20):
        ready, go = os.pipe()
        children = [_fork_opener(tmp_path / f"{number}.db", ready, go) for _ in range(6)]
        os.close(ready)
        os.close(go)
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6


def _fork_opener(path: Path, ready: int, go: int) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(go)
            os.read(ready, 1)  # returns for all children when the parent closes its end
            SqliteLedger(path)
            code = 0
        finally:
            os._exit(code)
    return child
