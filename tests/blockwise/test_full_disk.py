"""Runs whose disk is full: they end soon and say so, and continue when there is space."""

import subprocess
import sys
from pathlib import Path

import pytest

from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import bind_output
from neuroadda.errors import RIGHT_SPACE, RunFailed, UserError
from neuroadda.ledger.open import open_ledger
from tests.blockwise.test_engine import BLOCKS, expected, filled, go, make_task, processes_about
from tests.small_disk import BALLAST, fill_disk, small_disk
from tests.waiting import Gate, meanwhile, wait_until

FULL = Path("/dev/full")  # every write to it fails as on a full disk

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


@pytest.mark.parametrize("log", [FULL, Path("/dev/null/log")])
def test_a_process_goes_on_without_the_log_that_it_cannot_write(log):
    lines = (
        "import logging, os, sys; from pathlib import Path",
        "from neuroadda.blockwise.logs import log_events; from neuroadda.processes import print_to",
        f"print_to(Path({str(log)!r}))",
        "print('x' * 100_000); sys.stderr.write('x')",
        "with log_events('fill'): logging.getLogger('neuroadda').info('an event')",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.system
def test_logs_that_cannot_be_written_change_nothing(tmp_path):
    (tmp_path / "logs/fill").mkdir(parents=True)
    for name in ("scheduler", "fill/worker-0", "fill/worker-1"):
        (tmp_path / f"logs/{name}.log").symlink_to(FULL)
    task = make_task(tmp_path, raise_in=(3,), die_once_in=(7,))
    with pytest.raises(RunFailed, match=f"fill: 1 of {BLOCKS} blocks are left"):
        go(task, tmp_path, "local", retries=1)
    groups = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}").failures(bind_output(task).key)
    assert [(group.type, group.blocks) for group in groups] == [("RuntimeError", [3])]


@pytest.mark.system
@pytest.mark.parametrize("ledger_on_it", [True, False])
def test_a_run_on_a_full_disk_ends_and_continues_when_there_is_space(tmp_path, ledger_on_it):
    gate = Gate(tmp_path / "gate")
    gate.allow(5)
    with small_disk(tmp_path / "disk", "1m") as disk:
        url = f"sqlite:///{(disk if ledger_on_it else tmp_path) / 'ledger.db'}"
        task = make_task(disk, gate=str(gate.folder))

        def run():
            return run_task(task, url, Execution(worker_restarts=2), disk / "logs")

        def fill():
            wait_until(lambda: len(gate.held) == 2)
            fill_disk(disk)

        with meanwhile(fill, gate), pytest.raises(UserError, match=RIGHT_SPACE) as caught:
            run()
        assert str(disk) in str(caught.value)
        assert processes_about(disk) == []
        (disk / BALLAST).unlink()
        assert (filled(run()) == expected()).all()
