"""What is known of a task's blocks, against the ledger that it comes from."""

import secrets
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import dump_config
from neuroadda.ledger.base import STATUSES, BlockRecord, Ledger, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.viewing.dashboard.progress import DONE, UNKNOWN, StageProgress

GRID = BlockGrid.make(Roi((0, 0, 0), (5, 6, 7)), Coordinate(1, 1, 1), (2, 3, 4))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def make_task() -> TaskRecord:
    sizes = {"blocks": len(GRID), "voxels": GRID.voxels(), "grid": dump_config(GRID)}
    return TaskRecord(fingerprint=secrets.token_hex(8), stage="predict", output="/out", created=1000.0, **sizes)


RECORD = st.builds(
    dict,
    block=st.integers(0, len(GRID) + 1),
    status=st.sampled_from(STATUSES),
    worker=st.builds(Worker, host=st.sampled_from("ab"), pid=st.integers(1, 2)),
    started=st.integers(1000, 1100).map(float),
    seconds=st.integers(0, 50).map(float),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(RECORD, max_size=6), max_size=4))
def test_progress_follows_the_ledger_however_often_it_is_told(ledger: Ledger, batches) -> None:
    task = make_task()
    progress = StageProgress(task)
    for batch in batches:
        records = [
            BlockRecord(**fields, fingerprint=task.fingerprint, finished=fields["started"] + fields["seconds"])
            for fields in batch
        ]
        ledger.write(records)
        for columns in ledger.columns(task.fingerprint):
            progress.update(columns)
            assert not progress.update(columns), "said twice, it is no news"
    rows = [row for row in ledger.blocks(task.fingerprint) if row["block"] < len(GRID)]
    expected = np.full(len(GRID), UNKNOWN)
    expected[[row["block"] for row in rows]] = [STATUSES.index(row["status"]) for row in rows]
    assert progress.statuses.tolist() == expected.tolist()
    for row in rows:
        seen = progress.workers[progress.worker[row["block"]]]
        assert (seen.worker.host, seen.worker.pid) == (row["worker"]["host"], row["worker"]["pid"])
        assert progress.when[row["block"]] == row["finished"] - task.created
        assert seen.first <= row["started"]
        assert seen.last >= row["finished"]
    assert progress.longest >= max((row["seconds"] for row in rows if row["status"] == "done"), default=0)
    assert progress.voxels_of(progress.statuses == DONE).tolist() == [
        GRID.voxels(GRID[row["block"]].write_roi) for row in rows if row["status"] == "done"
    ]


def test_a_worker_keeps_its_highest_numbers_and_its_latest_device(ledger: Ledger) -> None:
    task = make_task()
    told = [
        (0, "done", {"device": "cpu", "cpu_seconds": 3.0, "peak_bytes": 500}, 1002.0),
        (1, "done", {"device": "cuda:0", "cpu_seconds": 5.0, "peak_bytes": 400}, 1003.0),
        (2, "running", {"device": "cuda:0"}, 1004.0),
    ]
    progress = StageProgress(task)
    for block, status, about, when in told:
        worker = Worker(host="a", pid=1, **about)
        finished = when if status == "done" else None
        ledger.write(
            [
                BlockRecord(
                    fingerprint=task.fingerprint,
                    block=block,
                    status=status,
                    worker=worker,
                    started=when,
                    finished=finished,
                )
            ]
        )
        for columns in ledger.columns(task.fingerprint, since=when):
            progress.update(columns)
    (seen,) = progress.workers
    assert seen.worker == Worker(host="a", pid=1, device="cuda:0", cpu_seconds=5.0, peak_bytes=500)
    assert (seen.first, seen.last) == (1002.0, 1004.0)


def test_a_task_whose_grid_is_not_known_has_equal_blocks() -> None:
    progress = StageProgress(TaskRecord(fingerprint="a", stage="s", blocks=4, voxels=40, output="/out"))
    assert progress.voxels_of(np.array([True, False, True, False])).tolist() == [10, 10]
