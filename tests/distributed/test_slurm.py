"""A segmentation whose workers are jobs of a real Slurm, on this host and on another one, with a MongoDB ledger."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from neuroadda.config import load_config_file, parse_config
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.finding import open_zoo
from tests.distributed.clusters import TOOLS, skip_without_slurm
from tests.distributed.test_kill import configure, content
from tests.holding import hold_writes
from tests.waiting import Gate, meanwhile, wait_until

pytestmark = pytest.mark.slow

CLONE_NEWNET = 0x40000000
HOSTS = "neuroadda-test"
HEAD = "10.77.0.1"
SLURM = {"launcher": "slurm", "workers": 4}


@pytest.fixture(scope="module")
def here(inputs, tmp_path_factory):
    """The bytes of a run on this machine."""
    config = configure(inputs, tmp_path_factory.mktemp("here"), execution={"launcher": "local", "workers": 2})
    segment_volume(config)
    return content(config)


def find_workers(url: str) -> dict[str, set[tuple[str, str]]]:
    """Return the jobs and hosts that did the blocks of each stage."""
    ledger = open_ledger(url)
    workers = {task.stage: [block["worker"] for block in ledger.blocks(task.fingerprint)] for task in ledger.tasks()}
    ledger.close()
    return {stage: {(worker["job"], worker["host"]) for worker in found} for stage, found in workers.items()}


def two_jobs_at_work(run: Path, monkeypatch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
    """Hold the prediction until two jobs have begun a block: one that starts early could do all."""
    gate = Gate(run.with_name("gate"))
    hold_writes(run / "volumes.zarr/affs", gate)
    monkeypatch.syspath_prepend(gate.folder)  # jobs find what this process finds
    return meanwhile(lambda: wait_until(lambda: len(gate.held) > 1), gate)


def test_four_jobs_and_a_mongodb_ledger_give_the_bytes_of_a_run_here(
    slurm, inputs, tmp_path, here, own_mongo_url, monkeypatch
):
    config = configure(inputs, tmp_path / "run", execution=SLURM, ledger=own_mongo_url)
    with two_jobs_at_work(tmp_path / "run", monkeypatch):
        segment_volume(config)
    assert content(config) == here
    workers = find_workers(own_mongo_url)
    assert all(job is not None for job, _ in workers["predict"])
    assert len(workers["predict"]) > 1
    assert not slurm.jobs()


def test_the_demos_segmentation_by_four_jobs_has_the_bytes_of_a_run_here(slurm, tmp_path, own_mongo_url, monkeypatch):
    """Its volume and its blocks, by the backbone of the zoo that is of that tissue."""
    data = Path(os.environ.get("NEUROADDA_DATA", TOOLS.parent.parent / "shared" / "data"))
    if not (data / "mouse_cortex_sssem_test.hdf").exists():
        pytest.skip(f"no mouse_cortex_sssem_test.hdf in {data}")
    import_volume(data / "mouse_cortex_sssem_test.hdf", tmp_path / "test.zarr")
    demo = load_config_file(TOOLS.parent / "configs/demo.toml")["segment"]
    given = demo | {"raw": str(tmp_path / "test.zarr/raw"), "backbone": str(open_zoo().folder("mouse_cortex_sssem"))}

    def run(name: str, execution: dict[str, object], ledger: str | None) -> dict[str, bytes]:
        options = {"output": str(tmp_path / name), "execution": execution, "ledger": ledger}
        config = parse_config(SegmentConfig, given | options, name)
        segment_volume(config)
        return content(config)

    on_this_machine = run("here", {}, None)
    with two_jobs_at_work(tmp_path / "slurm", monkeypatch):
        assert run("slurm", SLURM, own_mongo_url) == on_this_machine
    assert len(find_workers(own_mongo_url)["predict"]) > 1
    assert not slurm.jobs()


@pytest.fixture
def two_hosts(tmp_path, monkeypatch):
    """Two hosts of one name, joined by a cable; Slurm's controller is on the head, its jobs are on the node."""
    skip_without_slurm("ip", "nsenter")
    tool, folder = TOOLS / "two_hosts.sh", tmp_path / "slurm"
    subprocess.run([tool, "stop", HOSTS], check=True)  # what a killed test has left
    subprocess.run([tool, "start", HOSTS], check=True)
    subprocess.run([TOOLS / "local_slurm.sh", "start", folder, HOSTS], check=True, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    yield
    subprocess.run([TOOLS / "local_slurm.sh", "stop", folder], check=True)
    left = subprocess.run(["ip", "netns", "pids", f"{HOSTS}-node"], capture_output=True, text=True, check=True).stdout
    subprocess.run([tool, "stop", HOSTS], check=True)
    assert not left, "a job outlived its run"


@contextmanager
def on_head() -> Iterator[None]:
    """Have this thread, and what it starts, on the head."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{HOSTS}-head") as head:
        assert libc.setns(head.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(own.fileno(), CLONE_NEWNET) == 0


def test_jobs_on_another_host_give_the_bytes_of_a_run_here(two_hosts, inputs, tmp_path, here, mongo_server):
    (tmp_path / "mongo").mkdir()
    with on_head(), mongo_server(tmp_path / "mongo", "--host", "0.0.0.0") as address:
        url = f"mongodb://{address.replace('127.0.0.1', HEAD).replace('/', '/run')}"
        config = configure(inputs, tmp_path / "run", execution=SLURM | {"host": HEAD}, ledger=url)
        file = tmp_path / "run.json"
        file.write_text(json.dumps({"segment": config.model_dump(mode="json")}))
        subprocess.run([sys.executable, "-m", "neuroadda.cli", "segment", "-c", file, "--json"], check=True)
        workers = find_workers(url)
    assert content(config) == here
    assert all(job is not None for job, _ in workers["predict"])


def test_where_the_nodes_do_not_find_the_scheduler_it_is_said_at_once(two_hosts, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from tests.blockwise.test_engine import go, make_task\n"
        "from neuroadda.errors import UserError\n"
        "try: go(make_task(Path(sys.argv[1])), Path(sys.argv[1]), 'slurm')\n"
        "except UserError as error: sys.exit(str(error))\n"
    )
    tests = Path(__file__).parents[2]
    with on_head():
        told = subprocess.run([sys.executable, script, tmp_path, tests], capture_output=True, text=True).stderr
    assert "finds no scheduler at 127.0.0.1:" in told
    assert "execution.host: " in told
    assert "give an address of its machine that the nodes reach" in told
