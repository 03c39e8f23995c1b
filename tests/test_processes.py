"""When a group of processes has ended."""

import os
import signal
import subprocess
import sys

import pytest

from neuroadda.processes import is_group_alive


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a zombie counts as alive")
def test_a_group_has_ended_though_nobody_collected_it() -> None:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        assert is_group_alive(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert not is_group_alive(process.pid)
    assert not is_group_alive(process.pid)
