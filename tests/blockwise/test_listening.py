"""The scheduler has no password: nobody but this machine reaches it, or it is said loudly."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.launchers import check_launcher
from tests.blockwise.test_engine import make_task

LISTEN = "0A"


def descendants(pid: int) -> Iterator[int]:
    yield pid
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            yield from descendants(int(stat.parent.name))


def listening(pid: int) -> set[tuple[str, str]]:
    """Addresses and ports, in hexadecimal as Linux tells them, on which a process or one below it listens."""
    sockets = set()
    for process in descendants(pid):
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
    before = listening(os.getpid())
    run_task(
        make_task(tmp_path, seconds=0.2),
        f"sqlite:///{tmp_path / 'ledger.db'}",
        Execution(workers=2),
        tmp_path / "logs",
        observe=lambda task, summary: seen.update(listening(os.getpid()) - before),
    )
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
