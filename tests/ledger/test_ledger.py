"""Every promise of the ledger's contract, for both stores."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroadda.ledger.base import STATUSES, BlockRecord, Failure, Ledger, Summary, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.shared import LATEST, group_failures, measure_rate
from neuroadda.ledger.usage import Usage, sum_usage

WORKER = Worker(host="node1", pid=7, device="cuda:0")


@pytest.fixture(params=["sqlite", "mongo"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path}/run/ledger.db" if request.param == "sqlite" else request.getfixturevalue("mongo_url")
    opened = open_ledger(url)
    yield opened
    opened.close()


@pytest.fixture
def task() -> str:
    return secrets.token_hex(32)


def make_task(fingerprint: str, **fields: Any) -> TaskRecord:
    values = {"stage": "predict", "blocks": 8, "voxels": 800, "output": "/data/a.zarr/affs", **fields}
    return TaskRecord(fingerprint=fingerprint, **values)


def make_record(fingerprint: str, block: int, status: str = "done", **fields: Any) -> BlockRecord:
    return BlockRecord(
        fingerprint=fingerprint, block=block, status=status, **{"worker": WORKER, "started": 100.0, **fields}
    )


def make_failure(message: str, traceback: str = "line 1\nline 2") -> Failure:
    return Failure(type="ValueError", message=message, traceback=traceback)


# tasks


def test_a_task_is_read_back_as_it_was_registered(ledger: Ledger, task: str) -> None:
    record = make_task(
        task,
        blocks=10**9,
        voxels=10**15,
        grid={"block_vx": [64, 64, 64], "roi": {"offset": [0, 0, 0]}},
        parameters={"threshold": 0.3, "name": None, "mask.key": "µ \x00 \U0001f9e0"},
        created=123.25,
    )
    ledger.register(record)
    assert ledger.task(task) == record


def test_an_unknown_task_is_nothing(ledger: Ledger, task: str) -> None:
    assert ledger.task(task) is None
    assert ledger.summary(task) == Summary()
    assert ledger.failures(task) == []
    assert ledger.blocks(task) == []
    assert not ledger.done_mask(task, 5).any()


def test_registering_again_replaces_the_task_and_leaves_its_blocks(ledger: Ledger, task: str) -> None:
    ledger.register(make_task(task, voxels=1))
    ledger.write([make_record(task, 3)])
    ledger.register(make_task(task, voxels=2))
    found = ledger.task(task)
    assert found is not None
    assert found.voxels == 2
    assert ledger.done_mask(task, 8).nonzero()[0].tolist() == [3]


def test_tasks_come_oldest_first(ledger: Ledger, task: str) -> None:
    records = [make_task(f"{task}{name}", created=created) for name, created in (("b", 2.0), ("c", 3.0), ("a", 1.0))]
    for record in records:
        ledger.register(record)
    ours = [found for found in ledger.tasks() if found.fingerprint.startswith(task)]
    assert ours == sorted(records, key=lambda record: record.created)


# blocks


def test_a_block_is_read_back_as_plain_data(ledger: Ledger, task: str) -> None:
    ledger.write(
        [
            make_record(task, 2, "failed", attempts=1, failure=make_failure("bad \x00 µ")),
            make_record(task, 0, attempts=2, finished=103.5, seconds=3.5, voxels=64**3, results={"fragments": 120}),
        ]
    )
    worker = {"host": "node1", "pid": 7, "device": "cuda:0", "job": None, "cpu_seconds": None, "peak_bytes": None}
    assert ledger.blocks(task) == [
        {
            "block": 0,
            "status": "done",
            "tries": 2,
            "worker": worker,
            "started": 100.0,
            "finished": 103.5,
            "seconds": 3.5,
            "voxels": 64**3,
            "results": {"fragments": 120},
            "failure": None,
        },
        {
            "block": 2,
            "status": "failed",
            "tries": 1,
            "worker": worker,
            "started": 100.0,
            "finished": None,
            "seconds": None,
            "voxels": 0,
            "results": {},
            "failure": {"type": "ValueError", "message": "bad \x00 µ", "traceback": "line 1\nline 2", "cause": "error"},
        },
    ]


def test_numpy_numbers_become_plain_ones(ledger: Ledger, task: str) -> None:
    results = {
        "largest": np.uint64(2**63 - 1),
        "mean": np.float32(0.5),
        "empty": np.bool_(True),
        "shape": np.array([1, 2], dtype=np.uint8),
        "nested": {"n": [np.int16(-3)]},
    }
    ledger.write([make_record(task, 0, results=results)])
    (found,) = ledger.blocks(task)
    plain = {"largest": 2**63 - 1, "mean": 0.5, "empty": True, "shape": [1, 2], "nested": {"n": [-3]}}
    assert found["results"] == plain
    assert {type(value) for value in found["results"].values()} == {int, float, bool, list, dict}


def test_blocks_of_tasks_do_not_mix(ledger: Ledger, task: str) -> None:
    ledger.write([make_record(task, 1), make_record(task + "2", 1, "running"), make_record(task + "2", 4)])
    assert ledger.done_mask(task, 5).nonzero()[0].tolist() == [1]
    assert ledger.done_mask(task + "2", 5).nonzero()[0].tolist() == [4]


@pytest.mark.parametrize("status", ["running", "failed"])
@pytest.mark.parametrize("together", [True, False])
def test_done_is_never_taken_back(ledger: Ledger, task: str, status: str, together: bool) -> None:
    done = make_record(task, 1, attempts=1, finished=101.0, voxels=8)
    late = make_record(task, 1, status, attempts=1, started=200.0, failure=make_failure("late"))
    other = make_record(task, 2, "running", attempts=1)
    for batch in [[done, late, other]] if together else [[done], [late, other]]:
        ledger.write(batch)
    found, running = ledger.blocks(task)
    assert (found["status"], found["finished"], found["voxels"], found["failure"]) == ("done", 101.0, 8, None)
    assert found["tries"] == 2
    assert running["status"] == "running"


def test_blocks_of_one_status(ledger: Ledger, task: str) -> None:
    given = {1: "running", 2: "done", 4: "failed", 7: "running"}
    ledger.write([make_record(task, block, status) for block, status in given.items()])
    for status in ("running", "done", "failed"):
        assert [row["block"] for row in ledger.blocks(task, status)] == [b for b, s in given.items() if s == status]
    assert [row["block"] for row in ledger.blocks(task)] == list(given)


def test_writing_nothing_is_nothing(ledger: Ledger, task: str) -> None:
    ledger.write([])
    assert ledger.blocks(task) == []


# any sequence of batches, against a model

RECORD = st.fixed_dictionaries(
    {
        "block": st.integers(0, 2),
        "status": st.sampled_from(["running", "done", "failed"]),
        "attempts": st.integers(0, 2),
        "started": st.floats(0, 1e9),
        "finished": st.none() | st.floats(0, 1e9),
        "seconds": st.none() | st.floats(0, 1e6),
        "voxels": st.integers(0, 2**40),
        "results": st.dictionaries(st.sampled_from("ab"), st.integers(-(2**62), 2**62) | st.text("xµ\n", max_size=3)),
        "failure": st.none() | st.sampled_from(["one", "two"]).map(make_failure),
    }
)


def model_of(records: list[BlockRecord]) -> dict[int, dict[str, Any]]:
    state: dict[int, dict[str, Any]] = {}
    for record in records:
        known = state.get(record.block, {"tries": 0, "status": None})
        tries = known["tries"] + record.attempts
        if known["status"] != "done" or record.status == "done":
            known = record.model_dump(exclude={"fingerprint", "attempts"})
        state[record.block] = {**known, "tries": tries}
    return state


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(RECORD, max_size=5), max_size=4))
def test_any_records_in_any_batches_leave_the_state_of_the_model(
    ledger: Ledger, batches: list[list[dict[str, Any]]]
) -> None:
    task = secrets.token_hex(16)
    records = [[make_record(task, **fields) for fields in batch] for batch in batches]
    for batch in records:
        ledger.write(batch)
    state = model_of([record for batch in records for record in batch])
    assert ledger.blocks(task) == [state[block] for block in sorted(state)]

    def of(status: str) -> list[dict[str, Any]]:
        return [block for block in state.values() if block["status"] == status]

    assert ledger.done_mask(task, 3).nonzero()[0].tolist() == sorted(block["block"] for block in of("done"))
    summary = ledger.summary(task)
    assert (summary.running, summary.done, summary.failed) == (len(of("running")), len(of("done")), len(of("failed")))
    assert summary.voxels == sum(block["voxels"] for block in of("done"))
    assert summary.seconds == pytest.approx(sum(block["seconds"] or 0.0 for block in of("done")))
    assert summary.started == min((block["started"] for block in state.values()), default=None)
    finished = [block["finished"] for block in state.values() if block["finished"] is not None]
    assert summary.finished == max(finished, default=None)
    grouped = [block for group in ledger.failures(task) for block in group.blocks]
    assert sorted(grouped) == sorted(block["block"] for block in of("failed"))


# reports


def test_failures_are_grouped_by_error_largest_group_first(ledger: Ledger, task: str) -> None:
    ledger.write(
        [
            make_record(task, 9, "failed", failure=make_failure("rare", "t9")),
            make_record(task, 5, "failed", failure=make_failure("often", "t5")),
            make_record(task, 2, "failed", failure=make_failure("often", "t2")),
            make_record(task, 7, "failed", failure=make_failure("often", "t7")),
            make_record(task, 1, "failed"),
            make_record(task, 0, "done"),
        ]
    )
    groups = [(group.type, group.message, group.traceback, group.blocks) for group in ledger.failures(task)]
    assert groups == [
        ("ValueError", "often", "t2", [2, 5, 7]),
        ("unknown", "", "", [1]),
        ("ValueError", "rare", "t9", [9]),
    ]


def test_an_error_that_names_its_block_is_one_error(ledger: Ledger, task: str) -> None:
    messages = {3: "no chunk 0.1.3 at 0x7f3a", 5: "no chunk 0.1.5 at 0x80ff", 6: "no chunk"}
    ledger.write([make_record(task, block, "failed", failure=make_failure(m)) for block, m in messages.items()])
    assert [(group.message, group.blocks) for group in ledger.failures(task)] == [
        (messages[3], [3, 5]),
        ("no chunk", [6]),
    ]


def test_failures_have_the_cause_that_was_recorded(ledger: Ledger, task: str) -> None:
    lost = make_failure("gone").model_copy(update={"cause": "transient"})
    ledger.write(
        [make_record(task, 1, "failed", failure=lost), make_record(task, 2, "failed", failure=make_failure("bad"))]
    )
    assert {(group.message, group.cause) for group in ledger.failures(task)} == {
        ("gone", "transient"),
        ("bad", "error"),
    }


def test_failures_recorded_before_there_were_causes_are_read() -> None:
    old = {"type": "ValueError", "message": "bad", "traceback": "t"}
    (group,) = group_failures([(4, old)])
    assert (group.cause, group.blocks) == ("error", [4])
    assert Failure.model_validate(old).cause == "error"


# rates: blocks of 10 voxels


def rate(ledger: Ledger, task: str, intervals: list[tuple[float, float]], first: int = 0) -> float | None:
    records = [
        make_record(task, first + number, started=begin, finished=end, seconds=end - begin, voxels=10)
        for number, (begin, end) in enumerate(intervals)
    ]
    ledger.write(records)
    return ledger.summary(task).voxels_per_second


def test_nothing_done_has_no_rate(ledger: Ledger, task: str) -> None:
    ledger.write(
        [make_record(task, 0, "running"), make_record(task, 1, "failed", finished=200.0, failure=make_failure("bad"))]
    )
    assert ledger.summary(task).voxels_per_second is None
    assert rate(ledger, task, [(100.0, 100.0)], first=2) is None


def test_blocks_that_a_worker_has_in_flight_share_its_time(ledger: Ledger, task: str) -> None:
    # One is done every second, each is three seconds in flight.
    assert rate(ledger, task, [(float(i), i + 3.0) for i in range(28)]) == pytest.approx(28 * 10 / 30)


def test_workers_add_up(ledger: Ledger, task: str) -> None:
    assert rate(ledger, task, [(2.0 * i, 2.0 * i + 2) for i in range(10) for _ in range(4)]) == pytest.approx(
        4 * 10 / 2
    )


def test_pauses_and_what_is_left_running_do_not_count(ledger: Ledger, task: str) -> None:
    ledger.write([make_record(task, 90 + i, "running", started=5.0) for i in range(4)])  # of workers that were killed
    rate(ledger, task, [(float(i), i + 1.0) for i in range(10)])
    assert rate(ledger, task, [(1e6 + i, 1e6 + i + 1.0) for i in range(10)], first=10) == pytest.approx(10)


def test_the_rate_is_that_of_the_blocks_done_last(ledger: Ledger, task: str) -> None:
    slow = [(10.0 * i, 10.0 * i + 10) for i in range(20)]
    fast = [(1e6 + i / 8, 1e6 + i / 8 + 0.5) for i in range(LATEST)]  # four at once
    rate(ledger, task, slow)
    assert rate(ledger, task, fast, first=len(slow)) == pytest.approx(80)


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.5, 2.0, 1000.0]), min_size=1, max_size=20),
    lengths=st.randoms(use_true_random=False),
)
def test_the_rate_counts_the_time_in_which_any_block_was_at_work(gaps: list[float], lengths: Any) -> None:
    begin, blocks = 0.0, []
    for gap in gaps:
        begin += gap
        blocks.append((begin, begin + lengths.choice([0.5, 1.0, 3.0]), 10))
    halves = {tick for b, e, _ in blocks for tick in range(int(2 * b), int(2 * e))}
    lengths.shuffle(blocks)
    assert measure_rate(blocks) == pytest.approx(10 * len(blocks) / (len(halves) / 2))


def test_failures_since_a_time(ledger: Ledger, task: str) -> None:
    for block, (started, finished) in enumerate([(1.0, 2.0), (1.0, 5.0), (5.0, None), (4.0, None), (6.0, 9.0)]):
        failure = make_failure("bad")
        ledger.write([make_record(task, block, "failed", started=started, finished=finished, failure=failure)])
    assert [group.blocks for group in ledger.failures(task, since=5.0)] == [[1, 2, 4]]
    assert [group.blocks for group in ledger.failures(task)] == [[0, 1, 2, 3, 4]]
    assert ledger.failures(task, since=10.0) == []


def test_reset_forgets_one_task_and_its_blocks(ledger: Ledger, task: str) -> None:
    other = task + "2"
    for fingerprint in (task, other):
        ledger.register(make_task(fingerprint))
        ledger.write([make_record(fingerprint, 0), make_record(fingerprint, 1, "failed")])
    ledger.reset(task)
    assert ledger.task(task) is None
    assert ledger.blocks(task) == []
    assert ledger.task(other) is not None
    assert [block["block"] for block in ledger.blocks(other)] == [0, 1]
    ledger.write([make_record(task, 0, "running", attempts=1)])
    assert [(block["status"], block["tries"]) for block in ledger.blocks(task)] == [("running", 1)]


def test_some_blocks_are_forgotten(ledger: Ledger, task: str) -> None:
    other = task + "2"
    for fingerprint in (task, other):
        ledger.write([make_record(fingerprint, block, attempts=1) for block in range(4)])
    ledger.forget(task, [1, 3, 7])
    ledger.forget(task, [])
    assert [block["block"] for block in ledger.blocks(task)] == [0, 2]
    assert [block["block"] for block in ledger.blocks(other)] == [0, 1, 2, 3]
    ledger.write([make_record(task, 1, "running", attempts=1)])
    assert [block["tries"] for block in ledger.blocks(task)] == [1, 1, 1]


def test_blocks_that_the_grid_does_not_have(ledger: Ledger, task: str) -> None:
    ledger.write([make_record(task, block, status) for block, status in ((-1, "done"), (0, "done"), (4, "failed"))])
    ledger.write([make_record(task + "2", 9)])
    assert ledger.outsiders(task, 4) == [-1, 4]
    assert ledger.outsiders(task, 5) == [-1]
    assert ledger.outsiders("unknown", 0) == []


def test_the_keys_of_what_is_recorded(ledger: Ledger, task: str) -> None:
    ledger.register(make_task(task + "0"))
    assert not {task, task + "0"} & set(ledger.recorded())
    ledger.write([make_record(task, block) for block in range(3)])
    ledger.write([make_record(task + "2", 0, "failed")])
    assert {key for key in ledger.recorded() if key.startswith(task)} == {task, task + "2"}


def test_the_rate_is_of_blocks_whose_time_is_known(ledger: Ledger, task: str) -> None:
    rebuilt = make_record(task, 0, voxels=100, finished=100.0)
    ledger.write([rebuilt, make_record(task, 1, voxels=10, finished=102.0, seconds=2.0)])
    summary = ledger.summary(task)
    assert (summary.voxels, summary.voxels_per_second) == (110, 5.0)


def test_the_mask_ignores_blocks_beyond_the_grid(ledger: Ledger, task: str) -> None:
    ledger.write([make_record(task, 0), make_record(task, 4), make_record(task, 5)])
    mask = ledger.done_mask(task, 5)
    assert mask.dtype == bool
    assert mask.tolist() == [True, False, False, False, True]


def test_a_closed_ledger_opens_again_by_itself(ledger: Ledger, task: str) -> None:
    ledger.write([make_record(task, 0)])
    ledger.close()
    ledger.close()
    assert ledger.done_mask(task, 1).all()


def test_a_hundred_thousand_done_blocks_in_one_mask(tmp_path: Path, task: str) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    done = np.random.default_rng(0).permutation(100_000)[:60_000]
    template = make_record(task, 0)
    ledger.write([template.model_copy(update={"block": int(block)}) for block in done])
    expected = np.zeros(100_000, dtype=bool)
    expected[done] = True
    np.testing.assert_array_equal(ledger.done_mask(task, 100_000), expected)
    assert ledger.summary(task).done == 60_000


def test_many_threads_write_through_one_ledger(ledger: Ledger, task: str) -> None:
    def write(number: int) -> None:
        for block in range(10):
            ledger.write([make_record(task, block, "running", attempts=1), make_record(task, 10 * number + block)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    found = ledger.blocks(task)
    assert len(found) == 40
    assert all(block["status"] == "done" for block in found)
    assert sum(block["tries"] for block in found) == 40


# columns


def test_columns_tell_of_blocks_that_changed_and_of_who_worked_on_them(ledger: Ledger, task: str) -> None:
    other = WORKER.model_copy(update={"pid": 8, "device": "cpu"})
    told = WORKER.model_copy(update={"cpu_seconds": 5.0, "peak_bytes": 2**40})
    earlier = WORKER.model_copy(update={"cpu_seconds": 3.0, "peak_bytes": 2**30})
    ledger.write(
        [
            make_record(task, 0, worker=told, finished=104.0, seconds=4.0),
            make_record(task, 1, worker=earlier, finished=102.0, seconds=2.0),
            make_record(task, 2, "failed", finished=105.0, seconds=1.0, failure=make_failure("bad")),
            make_record(task, 3, "running", started=103.0, worker=other),
            make_record(task + "2", 4, finished=104.0),
        ]
    )
    (all_,) = ledger.columns(task)
    order = np.argsort(all_.blocks)
    assert all_.blocks[order].tolist() == [0, 1, 2, 3]
    assert [STATUSES[place] for place in all_.statuses[order]] == ["done", "done", "failed", "running"]
    assert all_.when[order].tolist() == [104.0, 102.0, 105.0, 103.0]
    np.testing.assert_array_equal(all_.seconds[order], [4.0, 2.0, 1.0, np.nan])
    assert [all_.workers[place] for place in all_.worker[order]] == [told, told, told, other]
    assert sorted(block for some in ledger.columns(task, since=103.0) for block in some.blocks) == [0, 2, 3]
    assert list(ledger.columns(task, since=106.0)) == []
    assert list(ledger.columns(task + "3")) == []
    assert sum_usage(ledger, task) == Usage(5.0, 2**40)
    ledger.write([make_record(task, 5, worker=other.model_copy(update={"cpu_seconds": 2.0, "peak_bytes": 2**41}))])
    assert sum_usage(ledger, task) == Usage(7.0, 2**41)
    assert sum_usage(ledger, task + "3") == Usage(0.0, None)


def test_columns_of_many_blocks_come_in_parts(tmp_path: Path, task: str) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    template = make_record(task, 0, finished=101.0)
    ledger.write([template.model_copy(update={"block": block}) for block in range(10_500)])
    parts = list(ledger.columns(task))
    assert [len(part.blocks) for part in parts] == [10_000, 500]
    assert sorted(block for part in parts for block in part.blocks) == list(range(10_500))
