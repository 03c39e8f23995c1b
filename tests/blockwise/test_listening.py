"""The scheduler has no password: nobody but this machine reaches it, or it is said loudly."""

import logging
import os
from pathlib import Path

import pytest

from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.launchers import check_launcher
from neuroadda.blockwise.task import Task
from neuroadda.ledger.base import Summary
from tests.blockwise.test_engine import make_task
from tests.waiting import Gate, descendants

pytestmark = pytest.mark.system

LISTEN = "0A"


def listening(pid: int) -> set[tuple[str, str]]:
    """Addresses and ports, in hexadecimal as Linux tells them, on which a process or one below it listens."""
    sockets = set()
    for process in (pid, *descendants(pid)):
        try:
            sockets |= {os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir()}
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTEN and f"socket:[{words[9]}]" in sockets:
                address, _, port = words[1].partition(":")
                found.add((address, port))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells who listens")
def test_by_default_nobody_else_reaches_a_run(tmp_path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    before, gate = listening(os.getpid()), Gate(tmp_path / "gate")

    def observe(task: Task, summary: Summary) -> None:
        if gate.held:  # a worker is at work, so everything that listens does
            seen.update(listening(os.getpid()) - before)
            gate.allow()

    task, url = make_task(tmp_path, gate=str(gate.folder)), f"sqlite:///{tmp_path / 'ledger.db'}"
    run_task(task, url, Execution(workers=2), tmp_path / "logs", observe=observe)
    assert {address for address, _ in seen} == {"0100007F"}  # 127.0.0.1


@pytest.mark.parametrize(
    ("launcher", "host", "told"),
    [("local", "0.0.0.0", True), ("local", "127.0.0.1", False), ("serial", "0.0.0.0", False)],
)
def test_an_open_scheduler_is_told_loudly(
    launcher: str, host: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        check_launcher(Execution(launcher=launcher, host=host), "mongodb://host/database")
    assert ("listens on 0.0.0.0, without password" in caplog.text) == told
