"""What is asked of a cluster, word by word, and what an execution says of it."""

import os
import shlex
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neuroadda.blockwise.execution_config import Execution, Job
from neuroadda.blockwise.launchers import check_launcher
from neuroadda.blockwise.launchers.base import is_serving
from neuroadda.blockwise.launchers.cluster import submission_environment, write_script
from neuroadda.blockwise.launchers.lsf import bsub_command
from neuroadda.blockwise.launchers.slurm import sbatch_command
from neuroadda.blockwise.worker_job import connect
from neuroadda.config import apply_overrides, parse_config
from neuroadda.errors import UserError

FULL = Job(queue="gpu", account="neuro", cpus=4, gpus=1, memory_gb=32, hours=1.5, options=("-x", "two words"))
LOG = Path("/logs/worker-0.log")


@pytest.mark.parametrize(
    ("job", "asked"),
    [
        (Job(), "--cpus-per-task=1"),
        (
            FULL,
            "--cpus-per-task=4 --partition=gpu --account=neuro --gres=gpu:1 --mem=32768M --time=90 -x 'two words'",
        ),
    ],
)
def test_sbatch_is_asked_for_what_is_said_and_no_more(tmp_path, monkeypatch, job, asked):
    monkeypatch.chdir(tmp_path)
    assert sbatch_command(job, "neuroadda-1", "predict 0", LOG) == shlex.split(
        f"sbatch --parsable --job-name=neuroadda-1 '--comment=predict 0' --chdir={tmp_path} --output=/logs/worker-0.log "
        f"--open-mode=append --requeue --ntasks=1 {asked}"
    )


@pytest.mark.parametrize(
    ("job", "asked"),
    [
        (Job(), "-n 1"),
        (
            FULL,
            "-n 4 -R 'span[hosts=1]' -q gpu -P neuro -gpu num=1 -M 32768MB -R 'rusage[mem=32768MB]' -W 90 "
            "-x 'two words'",
        ),
    ],
)
def test_bsub_is_asked_for_what_is_said_and_no_more(tmp_path, monkeypatch, job, asked):
    monkeypatch.chdir(tmp_path)
    assert bsub_command(job, "neuroadda-1", "predict 0") == shlex.split(
        f"bsub -K -r -J neuroadda-1 -cwd {tmp_path} -Jd 'predict 0' -o /dev/null {asked}"
    )


def test_a_script_sets_up_and_becomes_the_worker():
    job = Job(
        setup=("module load cuda", "source venv/bin/activate"), container="apptainer exec n.sif", python="python3"
    )
    assert write_script(job, Execution(threads=3), Path("/run/logs/jobs/a.json"), Path("/the logs/w.log")) == (
        "#!/bin/bash\n"
        "[ ! -r /etc/profile ] || source /etc/profile\n"
        "exec >> '/the logs/w.log' 2>&1\n"
        "set -e\n"
        "module load cuda\n"
        "source venv/bin/activate\n"
        "export OMP_NUM_THREADS=3\n"
        "exec apptainer exec n.sif python3 -m neuroadda.blockwise.worker_job /run/logs/jobs/a.json\n"
    )


def test_without_a_python_of_its_own_a_job_finds_what_this_process_finds(tmp_path):
    script = write_script(Job(), Execution(), tmp_path / "nothing.json", tmp_path / "log")
    assert sys.executable in script
    assert subprocess.run(["bash", "-c", script.partition("\n")[2]], env={}, check=False).returncode == 1
    assert "the job's file cannot be read: " in (tmp_path / "log").read_text()


def test_a_submitted_job_gets_no_secrets_and_nothing_of_an_outer_job():
    given = {"HOME": "/home/me", "PATH": "/bin", "SLURM_CONF": "/etc/s.conf", "SBATCH_QOS": "low", "LSF_ENVDIR": "/lsf"}
    hidden = {"AWS_SECRET_ACCESS_KEY": "x", "MONGO_PASSWORD": "x", "SLURM_JOB_ID": "7", "LSB_JOBID": "7"}
    assert submission_environment(given | hidden) == given


def test_stages_that_compute_on_a_gpu_may_ask_for_other_jobs():
    common = Execution(job=Job(queue="cpu"))
    assert common.job_for(True) == common.job_for(False) == Job(queue="cpu")
    apart = Execution(job=Job(queue="cpu"), gpu_job=Job(queue="gpu", gpus=1))
    assert (apart.job_for(True), apart.job_for(False)) == (Job(queue="gpu", gpus=1), Job(queue="cpu"))


def test_launchers_are_data():
    given = ["launcher=slurm", "workers=8", "job.queue=cpu", 'job.setup=["module load x"]', "gpu_job.gpus=1"]
    execution = parse_config(Execution, apply_overrides({}, given), "--set")
    assert (execution.launcher, execution.job.setup, execution.gpu_job.gpus) == ("slurm", ("module load x",), 1)
    with pytest.raises(UserError, match=r"unknown key 'job.qeue'; did you mean 'job.queue'"):
        parse_config(Execution, {"job": {"qeue": "cpu"}}, "--set")
    with pytest.raises(UserError, match="launcher should be 'local', 'serial', 'slurm' or 'lsf', not 'pbs'"):
        parse_config(Execution, {"launcher": "pbs"}, "--set")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.1.1", True), ("localhost", True), ("10.0.0.1", False), ("n1", False)],
)
def test_a_loopback_host_is_known(host, loopback):
    assert Execution(host=host).is_loopback == loopback


def test_a_worker_that_finds_no_scheduler_says_where_it_looked():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert connect(f"port={port}:hostname=127.0.0.1:task_id=a:worker_id=-1").getpeername() == ("127.0.0.1", port)
    with pytest.raises(UserError, match=f"execution.host: .* finds no scheduler at 127.0.0.1:{port}"):
        connect(f"port={port}:hostname=127.0.0.1:task_id=a:worker_id=-1")


def test_loopback_is_for_a_slurm_whose_only_node_is_this_machine(tmp_path, monkeypatch):
    """A stand-in for Slurm's own programs says which nodes there are."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name, nodes in (("sbatch", ""), ("sinfo", f"{socket.gethostname()} n7 n12")):
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '%s\\n' {nodes}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(UserError, match=r"execution.host: nodes such as n12 do not reach 127.0.0.1; give an address"):
        check_launcher(Execution(launcher="slurm"), "mongodb://10.0.0.1/runs")
    check_launcher(Execution(launcher="slurm", host="10.0.0.1"), "mongodb://10.0.0.1/runs")
    (tmp_path / "sinfo").write_text("#!/bin/sh\nhostname\n")
    check_launcher(Execution(launcher="slurm"), "sqlite:///runs/ledger.db")


def test_loopback_is_not_for_a_partition_of_gpus_on_other_nodes(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = f'case "$*" in *--partition=gpu*) echo n7;; *) echo {socket.gethostname()};; esac'
    for name, line in (("sbatch", ""), ("sinfo", script)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    check_launcher(Execution(launcher="slurm"), "sqlite:///runs/ledger.db")
    apart = Execution(launcher="slurm", gpu_job=Job(queue="gpu", gpus=1))
    with pytest.raises(UserError, match=r"execution.host: nodes such as n7 do not reach 127.0.0.1"):
        check_launcher(apart, "sqlite:///runs/ledger.db")


def test_a_server_serves_if_it_hangs_up_in_return():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        answers = threading.Thread(target=lambda: server.accept()[0].close())
        answers.start()
        assert is_serving(address)
        answers.join()
        with pytest.raises(TimeoutError):
            is_serving(address, patience=0.1)
    assert not is_serving(address)


@pytest.mark.parametrize("serves", [False, True], ids=["no more", "but does not answer"])
def test_a_scheduler_ends_where_daisy_does_not(tmp_path, serves):
    """Daisy's server hangs, or it waits for ever for workers that were killed: the scheduler's process ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not serves:
            server.close()
        script = f"""
import threading
from pathlib import Path
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.launchers import base, local
base.ANSWER_SECONDS = base.KILLED_SECONDS = 0.1
config = base.LauncherConfig(
    stage="fill", worker="", accelerated=False, logs=Path("{tmp_path}"), preload=(), private=Path("{tmp_path}"), run="r"
)
launcher = local.LocalLauncher(Execution(block_timeout=0.1), config, print)
launcher._end_with_task({{"hostname": "127.0.0.1", "port": "{port}"}})
"""
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "another scheduler goes on" in ended.stderr
