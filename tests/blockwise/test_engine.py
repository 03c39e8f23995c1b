import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.engine import Engine, run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid, BlockSet
from neuroadda.blockwise.outputs import bind_output, read_tag
from neuroadda.blockwise.task import Task
from neuroadda.errors import RunFailed, UserError
from neuroadda.ledger.base import Summary
from neuroadda.ledger.open import open_ledger
from neuroadda.runs.events import read_events
from neuroadda.volumes.arrays import Volume
from tests.blockwise.toy_stages import Fill, FillOnDevice, FillTogether
from tests.waiting import PATIENCE_SECONDS, Gate, children, meanwhile, wait_until, wait_until_gone

GRID = BlockGrid.make(Roi((0, 0, 0), (6, 6, 5)), Coordinate(1, 1, 1), (2, 2, 2))
BLOCKS = len(GRID)
BLOCK_TIMEOUT = 60.0


def make_task(folder: Path, kind: type[Fill] = Fill, **parameters) -> Task:
    return Task.make(kind(**parameters), {}, folder / "out.zarr" / "filled", GRID)


def go(task: Task, folder: Path, launcher: str = "serial", *, overwrite: bool = False, **options) -> Task:
    url = f"sqlite:///{folder / 'ledger.db'}"
    execution = Execution.model_validate({"launcher": launcher, "workers": 2} | options)
    return run_task(task, url, execution, folder / "logs", overwrite=overwrite)


def filled(task: Task) -> np.ndarray:
    return Volume.open(task.output).read()


def executed(folder: Path) -> list[int]:
    log = folder / "out.zarr" / "executions.log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def expected(add: int = 1) -> np.ndarray:
    result = np.zeros((6, 6, 5), np.uint32)
    for block in GRID.blocks():
        result[block.write_roi.to_slices()] = block.index + add
    return result


@pytest.mark.parametrize("launcher", ["serial", "local"])
def test_every_block_is_done_once_and_a_rerun_does_nothing(tmp_path, launcher):
    task = go(make_task(tmp_path), tmp_path, launcher)
    assert (filled(task) == expected()).all()
    assert sorted(executed(tmp_path)) == list(range(BLOCKS))
    go(make_task(tmp_path), tmp_path, launcher)
    assert len(executed(tmp_path)) == BLOCKS
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    rows = ledger.blocks(task.key)
    assert [row["results"]["index"] for row in rows] == list(range(BLOCKS))
    assert {row["tries"] for row in rows} == {1}
    assert ledger.summary(task.key).voxels == 6 * 6 * 5


@pytest.mark.parametrize("launcher", ["serial", "local"])
def test_only_the_blocks_with_tissue_are_done(tmp_path, launcher):
    tissue = np.zeros(BLOCKS, bool)
    tissue[[2, 3, 11, 26]] = True
    whole = make_task(tmp_path, raise_in=(11,))
    task = Task.make(whole.bound, {}, Path(whole.output), GRID, blocks=BlockSet.of(tissue))
    assert task.fingerprint != whole.fingerprint
    with pytest.raises(RunFailed, match="fill: 1 of 4 blocks are left"):
        go(task, tmp_path, launcher, retries=0)
    done, right = filled(task), expected()
    for block in GRID.blocks():
        inside = block.write_roi.to_slices()
        assert (done[inside] == (right[inside] if tissue[block.index] and block.index != 11 else 0)).all()
    assert sorted(set(executed(tmp_path))) == [2, 3, 11, 26]
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert {row["block"]: row["status"] == "done" for row in ledger.blocks(bind_output(task).key)} == {
        2: True,
        3: True,
        11: False,
        26: True,
    }
    assert ledger.tasks()[0].blocks == 4
    assert ledger.tasks()[0].voxels == task.voxels == sum(GRID.voxels(GRID[i].write_roi) for i in (2, 3, 11, 26))


def test_a_worker_has_as_many_blocks_in_flight_as_the_stage_says(tmp_path):
    task = go(make_task(tmp_path, FillTogether, meet=True), tmp_path, "local", workers=1)  # in turn, none would be done
    assert (filled(task) == expected()).all()
    rows = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").blocks(task.key)
    assert [row["results"]["index"] for row in rows] == list(range(BLOCKS))
    assert {(row["tries"], row["status"]) for row in rows} == {(1, "done")}
    assert len({row["worker"]["pid"] for row in rows}) == 1


def test_a_stage_runs_on_the_device_that_its_worker_took_which_is_on_record(tmp_path):
    task = go(make_task(tmp_path, FillOnDevice), tmp_path)
    assert (filled(task) == expected(2)).all()
    rows = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").blocks(task.key)
    assert {row["worker"]["device"] for row in rows} == {"made-up:1"}


@pytest.mark.parametrize("kind", [Fill, FillTogether])
def test_a_worker_that_dies_costs_nothing_but_its_blocks_done_again(tmp_path, kind):
    task = go(make_task(tmp_path, kind, die_once_in=(0, 7)), tmp_path, "local")
    assert (filled(task) == expected()).all()


@pytest.mark.system
def test_a_worker_that_is_frozen_costs_no_more_than_a_blocks_time(tmp_path):
    task = go(make_task(tmp_path, freeze_once_in=(3,)), tmp_path, "local", block_timeout=2.0)
    assert (filled(task) == expected()).all()


@pytest.mark.system
def test_a_frozen_worker_does_not_hold_a_run_that_is_given_up(tmp_path):
    task = make_task(tmp_path, freeze_once_in=(3,), die_in=(5, 6, 7))
    with pytest.raises(RunFailed, match=r"fill: .* blocks are left"):
        go(task, tmp_path, "local", block_timeout=2.0, worker_restarts=0)
    assert processes_about(tmp_path) == []


@pytest.mark.system
@pytest.mark.parametrize("kind", [Fill, FillTogether])
@pytest.mark.parametrize("hang_in", ["python", "c"])
def test_an_only_worker_that_hangs_costs_no_more_than_a_blocks_time(tmp_path, kind, hang_in):
    task = make_task(tmp_path, kind, hang_once_in=(3,), hang_in=hang_in)
    task = go(task, tmp_path, "local", workers=1, block_timeout=2.0)
    assert (filled(task) == expected()).all()


@pytest.mark.parametrize("kind", [Fill, FillTogether])
def test_poison_blocks_are_on_record_and_the_rest_completes(tmp_path, kind):
    task = make_task(tmp_path, kind, raise_in=(3,), die_in=(5,))
    with pytest.raises(RunFailed, match=f"fill: 2 of {BLOCKS} blocks are left"):
        go(task, tmp_path, "local", retries=1)
    task = bind_output(task)
    done = filled(task)
    for block in GRID.blocks():
        assert (done[block.write_roi.to_slices()] == (0 if block.index in (3, 5) else block.index + 1)).all()
    groups = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").failures(task.key)
    assert {(group.type, tuple(group.blocks)) for group in groups} == {("RuntimeError", (3,)), ("WorkerDied", (5,))}
    assert {group.type: group.cause for group in groups} == {"RuntimeError": "error", "WorkerDied": "died"}


def test_a_bug_stops_the_run_early_with_one_error(tmp_path):
    task = make_task(tmp_path, raise_in=tuple(range(BLOCKS)))
    with pytest.raises(RunFailed, match="stopped early") as caught:
        go(task, tmp_path, "serial", same_error_limit=4)
    assert len(executed(tmp_path)) == 4
    assert str(caught.value).count("Traceback") == 1


def test_a_full_disk_is_the_users_to_mend(tmp_path):
    with pytest.raises(UserError, match="No space left on device"):
        go(make_task(tmp_path, raise_in=(1,), message="[Errno 28] No space left on device"), tmp_path)


@pytest.mark.parametrize("launcher", ["serial", "local"])
def test_a_lost_connection_costs_a_pause_and_no_block(tmp_path, launcher):
    lost = {"raise_once_in": (3, 5), "error": "ConnectionResetError", "message": "gone"}
    task = go(make_task(tmp_path, **lost), tmp_path, launcher, retries=0)
    assert (filled(task) == expected()).all()
    tries = {row["block"]: row["tries"] for row in open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").blocks(task.key)}
    assert {block for block, count in tries.items() if count > 1} == {3, 5}
    events = list(read_events(tmp_path / "logs", failed=True))
    assert [event["block"] for event in sorted(events, key=lambda event: event["block"])] == [3, 5]
    assert {(event["cause"], event["level"]) for event in events} == {("transient", "warning")}


@pytest.mark.parametrize(
    ("message", "cause"),
    [("CUDA error: unspecified launch failure", "transient"), ("could not create a primitive", "memory")],
)
def test_a_spoiled_process_costs_its_worker_and_no_block(tmp_path, message, cause):
    lost = {"raise_once_in": (3,), "message": message}
    task = go(make_task(tmp_path, **lost), tmp_path, "local", workers=1)
    assert (filled(task) == expected()).all()
    rows = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").blocks(task.key)
    (failure,) = read_events(tmp_path / "logs", failed=True)
    assert (failure["block"], failure["cause"]) == (3, cause)
    assert failure["pid"] not in {row["worker"]["pid"] for row in rows if row["block"] >= 3}


def test_some_blocks_alone(tmp_path):
    task = make_task(tmp_path, raise_once_in=(2, 7))
    with pytest.raises(RunFailed, match="fill: 2 of"):
        go(task, tmp_path)
    (tmp_path / "out.zarr" / "executions.log").unlink()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Engine(url, Execution(launcher="serial"), tmp_path / "logs") as engine:
        engine.run(task, blocks=[7, 11])
    assert executed(tmp_path) == [7]
    done = open_ledger(url).done_mask(bind_output(task).key, BLOCKS)
    assert np.flatnonzero(~done).tolist() == [2]


def test_another_parameter_needs_overwrite_and_then_forgets_the_old_blocks(tmp_path):
    first = go(make_task(tmp_path, add=1), tmp_path)
    other = make_task(tmp_path, add=2)
    assert other.fingerprint != first.fingerprint
    with pytest.raises(UserError, match="--overwrite"):
        go(other, tmp_path)
    assert (filled(first) == expected(1)).all()
    assert (filled(go(other, tmp_path, overwrite=True)) == expected(2)).all()
    assert read_tag(Path(other.output))["fingerprint"] == other.fingerprint
    # Back again: what the ledger once knew of the first must not be believed.
    assert (filled(go(make_task(tmp_path, add=1), tmp_path, overwrite=True)) == expected(1)).all()


def test_two_outputs_of_one_ledger_do_not_vouch_for_each_other(tmp_path):
    first = make_task(tmp_path)
    other = first.model_copy(update={"output": str(tmp_path / "out.zarr" / "other")})
    assert first.fingerprint == other.fingerprint
    assert (filled(go(first, tmp_path)) == expected()).all()
    assert (filled(go(other, tmp_path)) == expected()).all()
    go(first, tmp_path)
    assert len(executed(tmp_path)) == 2 * BLOCKS


def test_what_is_removed_is_never_taken_for_whole(tmp_path):
    task = go(make_task(tmp_path), tmp_path)
    output = Path(task.output)
    output.rename(output.with_name(f".{output.name}.removed"))  # killed after the first step of its removal
    assert (filled(go(make_task(tmp_path), tmp_path)) == expected()).all()


@pytest.mark.parametrize(
    ("side", "chunk"), [(251, 251), (131, 131), (128, 64), (24, 24), (512, 64), (250, 50), (13, 13)]
)
def test_chunks_divide_blocks_and_are_neither_dust_nor_rocks(side, chunk):
    grid = BlockGrid.make(Roi((0, 0, 0), (side, side, side)), Coordinate(1, 1, 1), (side, side, side))
    assert Task.make(Fill(), {}, Path("x"), grid).chunk_vx == (chunk, chunk, chunk)


def test_an_output_that_vanished_is_computed_again(tmp_path):
    task = go(make_task(tmp_path), tmp_path)
    Volume.open(task.output).delete()
    assert (filled(go(make_task(tmp_path), tmp_path)) == expected()).all()


def test_a_ledger_does_not_vouch_for_an_output_made_by_another_run(tmp_path):
    task = go(make_task(tmp_path), tmp_path)
    Volume.open(task.output).delete()
    # Another run, with another ledger, began the same output anew and was given up half way.
    again = make_task(tmp_path).model_copy(update={"instance": "another"})
    again.bound.create_output(again)
    function = again.bound.open(again)
    for index in range(BLOCKS // 2):
        function(GRID[index])
    assert (filled(go(make_task(tmp_path), tmp_path)) == expected()).all()


@pytest.mark.parametrize(
    ("signum", "launcher"), [(signal.SIGINT, "local"), (signal.SIGTERM, "local"), (signal.SIGTERM, "serial")]
)
def test_a_signal_stops_everything_and_the_next_run_resumes(tmp_path, signum, launcher):
    script, gate = tmp_path / "script.py", Gate(tmp_path / "gate")
    script.write_text(
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.blockwise.test_engine import go, make_task\n"
        "from neuroadda.errors import RunStopped\n"
        "try: go(make_task(Path(sys.argv[1]), gate=sys.argv[4]), Path(sys.argv[1]), sys.argv[3])\n"
        "except RunStopped as error: sys.exit(error.exit_code)\n"
    )
    gate.allow(4)
    process = subprocess.Popen([sys.executable, script, tmp_path, Path(__file__).parents[2], launcher, gate.folder])
    wait_until(lambda: len(executed(tmp_path)) == 4 and gate.held, process)
    process.send_signal(signum)
    assert process.wait(PATIENCE_SECONDS) == 128 + signum
    assert processes_about(tmp_path) == []
    gate.allow()
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    task = make_task(tmp_path, gate=str(gate.folder))
    already = ledger.done_mask(bind_output(task).key, BLOCKS)
    assert not already.all()
    (tmp_path / "out.zarr" / "executions.log").unlink()
    assert (filled(go(task, tmp_path)) == expected()).all()
    assert sorted(executed(tmp_path)) == np.flatnonzero(~already).tolist()


@pytest.mark.parametrize("state", ["at work", "frozen"])
def test_no_worker_outlives_a_killed_run(tmp_path, state):
    script, gate = tmp_path / "script.py", Gate(tmp_path / "gate")
    script.write_text(
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.blockwise.test_engine import go, make_task\n"
        "go(make_task(Path(sys.argv[1]), gate=sys.argv[3]), Path(sys.argv[1]), 'local')\n"
    )
    process = subprocess.Popen([sys.executable, script, tmp_path, Path(__file__).parents[2], gate.folder])
    wait_until(lambda: len(gate.held) == 2, process)
    if state == "frozen":
        for worker in gate.held:
            os.kill(worker, signal.SIGSTOP)
    process.kill()
    process.wait()
    wait_until(lambda: processes_about(tmp_path) == [])


@pytest.mark.system
@pytest.mark.parametrize("victim", ["scheduler", "forkserver"])
def test_a_run_survives_the_death_of_any_of_its_helpers(tmp_path, victim):
    gate = Gate(tmp_path / "gate")
    gate.allow(4)

    def kill() -> None:
        wait_until(lambda: len(executed(tmp_path)) == 4 and gate.held)
        os.kill(helper(victim), signal.SIGKILL)

    with meanwhile(kill, gate):
        task = go(make_task(tmp_path, gate=str(gate.folder)), tmp_path, "local")
    assert (filled(task) == expected()).all()
    assert processes_about(tmp_path) == []


def test_a_scheduler_that_hangs_costs_time_and_no_block(tmp_path, monkeypatch):
    gate = Gate(tmp_path / "gate")
    gate.allow(4)

    def freeze() -> None:
        wait_until(lambda: len(executed(tmp_path)) == 4 and gate.held)
        frozen = helper("scheduler")
        os.kill(frozen, signal.SIGSTOP)
        with monkeypatch.context() as patch:  # no longer: the next one may take its time to start
            patch.setattr("neuroadda.blockwise.engine.STUCK_SECONDS", -2 * BLOCK_TIMEOUT)
            wait_until_gone([frozen])

    with meanwhile(freeze, gate):
        task = go(make_task(tmp_path, gate=str(gate.folder)), tmp_path, "local", block_timeout=BLOCK_TIMEOUT)
    assert (filled(task) == expected()).all()
    assert processes_about(tmp_path) == []


def helper(name: str) -> int:
    """Return the scheduler that this process started, or the process that forks its workers."""
    (scheduler,) = (pid for pid in children(os.getpid()) if "neuroadda.blockwise.scheduler" in command(pid))
    if name == "scheduler":
        return scheduler
    (found,) = (pid for pid in children(scheduler) if "multiprocessing.forkserver" in command(pid))
    return found


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_tasks_of_one_engine_have_one_scheduler_and_one_forkserver(tmp_path):
    url, seen = f"sqlite:///{tmp_path / 'ledger.db'}", []

    def observe(task: Task, summary: Summary) -> None:
        if summary.done == BLOCKS:
            seen.append((helper("scheduler"), helper("forkserver")))

    with Engine(url, Execution(), tmp_path / "logs", observe=observe) as engine:
        for add in (1, 2):
            task = make_task(tmp_path / str(add), add=add)
            assert (filled(engine.run(task)) == expected(add)).all()
    assert len(seen) >= 2  # progress may be told once more at the end
    assert len(set(seen)) == 1
    assert processes_about(tmp_path) == []


def processes_about(folder: Path) -> list[int]:
    """Return live processes that hold a file of the folder open (scheduler and workers log into it)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                files = [os.readlink(link) for link in (entry / "fd").iterdir()]
            except OSError:
                continue
            if any(file.startswith(str(folder)) for file in files):
                found.append(int(entry.name))
    return found
