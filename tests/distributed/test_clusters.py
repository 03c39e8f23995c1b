"""Workers as jobs: replaced when they are killed, cancelled when the run stops, gone when it dies."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neuroadda.blockwise.outputs import bind_output
from neuroadda.errors import RunFailed, UserError
from neuroadda.ledger.open import open_ledger
from tests.blockwise.test_engine import BLOCKS, executed, expected, filled, go, make_task
from tests.waiting import PATIENCE_SECONDS, Gate, meanwhile, wait_until

pytestmark = pytest.mark.system


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate that lets four blocks through."""
    gate = Gate(tmp_path / "gate")
    gate.allow(4)
    return gate


def wait_for_four(gate: Gate, folder: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until four blocks are done and another is begun."""
    wait_until(lambda: len(executed(folder)) == 4 and gate.held, process)


def wait_for_log(folder: Path, pattern: str) -> None:
    """Wait until the scheduler says something."""
    log = folder / "logs/scheduler.log"
    wait_until(lambda: log.exists() and re.search(pattern, log.read_text()))


def records(folder: Path, task: Any) -> list[dict[str, Any]]:
    return open_ledger(f"sqlite:///{folder / 'ledger.db'}").blocks(task.key)


def test_jobs_do_every_block_once_and_are_on_record(cluster, tmp_path):
    task = go(make_task(tmp_path), tmp_path, cluster.launcher, workers=4)
    assert (filled(task) == expected()).all()
    assert sorted(executed(tmp_path)) == list(range(BLOCKS))
    jobs = {record["worker"]["job"] for record in records(tmp_path, task)}
    assert 1 <= len(jobs) <= 4
    assert all(job.isdigit() for job in jobs)
    assert not cluster.jobs()
    assert not (tmp_path / "logs/jobs").exists()


def test_jobs_that_are_not_needed_any_more_leave_the_queue(cluster, tmp_path, gate):
    with meanwhile(lambda: wait_until(lambda: len(cluster.jobs()) == BLOCKS and gate.held), gate):
        task = go(make_task(tmp_path, gate=str(gate.folder)), tmp_path, cluster.launcher, workers=BLOCKS)
    assert (filled(task) == expected()).all()
    assert not cluster.jobs()


def test_a_cancelled_job_is_replaced(cluster, tmp_path, gate):
    def cancel_one() -> None:
        wait_for_four(gate, tmp_path)
        cluster.kill(cluster.running()[0])
        wait_for_log(tmp_path, r"worker \d died: .*job \d+")

    with meanwhile(cancel_one, gate):
        task = go(make_task(tmp_path, gate=str(gate.folder)), tmp_path, cluster.launcher, worker_restarts=1)
    assert (filled(task) == expected()).all()
    assert not cluster.jobs()


def test_a_frozen_job_costs_no_more_than_a_blocks_time(cluster, tmp_path):
    task = go(make_task(tmp_path, freeze_once_in=(3,)), tmp_path, cluster.launcher, workers=2, block_timeout=3.0)
    assert (filled(task) == expected()).all()
    assert not cluster.jobs()


def test_workers_that_die_over_and_over_end_the_run(cluster, tmp_path):
    with pytest.raises(RunFailed, match=r"fill: 1 of \d+ blocks are left: WorkerDied"):
        go(make_task(tmp_path, die_in=(5,)), tmp_path, cluster.launcher, retries=1, worker_restarts=4)
    assert not cluster.jobs()


def start(folder: Path, launcher: str, gate: Gate) -> subprocess.Popen[bytes]:
    script = folder / "script.py"
    script.write_text(
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.blockwise.test_engine import go, make_task\n"
        "from neuroadda.errors import RunStopped\n"
        "try: go(make_task(Path(sys.argv[1]), gate=sys.argv[4]), Path(sys.argv[1]), sys.argv[3], workers=4)\n"
        "except RunStopped as error: sys.exit(error.exit_code)\n"
    )
    tests = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, script, folder, tests, launcher, gate.folder])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_no_job_outlives_its_run_and_the_next_run_resumes(cluster, tmp_path, gate, signum):
    process = start(tmp_path, cluster.launcher, gate)
    wait_for_four(gate, tmp_path, process)
    process.send_signal(signum)
    assert process.wait(PATIENCE_SECONDS) == (143 if signum == signal.SIGTERM else -9)
    wait_until(lambda: not cluster.jobs() and not gate.held)
    gate.allow()
    task = make_task(tmp_path, gate=str(gate.folder))
    already = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").done_mask(bind_output(task).key, BLOCKS)
    assert not already.all()
    (tmp_path / "out.zarr" / "executions.log").unlink()
    assert (filled(go(task, tmp_path, cluster.launcher)) == expected()).all()
    assert sorted(executed(tmp_path)) == [block for block in range(BLOCKS) if not already[block]]
    assert not (tmp_path / "logs/jobs").exists()


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"queue": "nowhere"}, r"execution.job: (sbatch|bsub): .*(partition|queue)"),
        ({"setup": ("module load cuda/0.1",)}, r"no worker's job could begin; .*module: command not found"),
    ],
    ids=["queue", "setup"],
)
def test_what_a_user_can_mend_is_said_at_once(cluster, tmp_path, job, message):
    with pytest.raises(UserError, match=message):
        go(make_task(tmp_path), tmp_path, cluster.launcher, job=job)
    assert not cluster.jobs()


def test_a_jobs_file_is_no_business_of_other_users(slurm, tmp_path, gate, monkeypatch):
    """The ledger's URL may hold a password; credentials come from the environment."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-in-the-environment")
    monkeypatch.setenv("SOME_PASSWORD", "planted-in-the-environment")
    url = f"sqlite:///{tmp_path / 'planted-in-the-url.db'}"
    seen: list[str] = []

    def look() -> None:
        wait_for_four(gate, tmp_path)
        first, *_ = (tmp_path / "logs/jobs").glob("*.json")
        seen.append(f"{first.stat().st_mode & 0o777:o} {first.parent.stat().st_mode & 0o777:o}")
        seen.append(first.read_text())
        files = [file for file in slurm.folder.rglob("*") if file.is_file()]
        seen.append("\n".join(file.read_bytes().decode(errors="replace") for file in files))
        told = ["squeue", "--json"], ["ps", "-eo", "args"], ["scontrol", "show", "job", "--details"]
        seen.append("\n".join(subprocess.run(one, capture_output=True, text=True).stdout for one in told))

    from neuroadda.blockwise.engine import run_task
    from neuroadda.blockwise.execution_config import Execution

    execution = Execution(launcher="slurm", workers=2)
    with meanwhile(look, gate):
        task = run_task(make_task(tmp_path, gate=str(gate.folder)), url, execution, tmp_path / "logs")
    assert (filled(task) == expected()).all()
    modes, file, state, told = seen
    assert modes == "600 700"
    assert "planted-in-the-url" in file
    assert "planted-in-the-environment" in file
    assert "SOME_PASSWORD" not in file
    assert "neuroadda.blockwise.worker_job" in state  # the scripts, which are looked at
    for text in (state, told, (tmp_path / "logs/scheduler.log").read_text()):
        assert "planted" not in text


def test_a_preempted_job_is_replaced_at_no_cost(slurm, tmp_path, gate):
    def preempt() -> None:
        wait_for_four(gate, tmp_path)
        urgent = ["sbatch", "--partition=urgent", "--ntasks=4", "--output=/dev/null", "--wait", "--wrap=true"]
        subprocess.run(urgent, check=True, stdout=subprocess.DEVNULL)
        wait_for_log(tmp_path, "is started again: preempted")

    with meanwhile(preempt, gate):
        task = go(make_task(tmp_path, gate=str(gate.folder)), tmp_path, "slurm", worker_restarts=0)
    assert (filled(task) == expected()).all()
    assert not slurm.jobs()


def test_a_ledger_of_one_machine_is_not_for_many(slurm, tmp_path):
    with pytest.raises(UserError, match='an SQLite ledger is for one machine; set ledger = "mongodb'):
        go(make_task(tmp_path), tmp_path, "slurm", host="10.77.0.1")


def test_a_cluster_needs_its_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for launcher, program in (("slurm", "sbatch"), ("lsf", "bsub")):
        with pytest.raises(UserError, match=f"execution.launcher: {program} is not on the PATH"):
            go(make_task(tmp_path), tmp_path, launcher)
    assert os.listdir(tmp_path) == []
