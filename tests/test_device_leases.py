"""Devices are shared evenly, whoever takes them and however the takers die."""

import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from neuroadda.device_leases import lease_device
from neuroadda.errors import UserError

DEVICES = {"made-up:0": "uuid-a", "made-up:1": "uuid-b", "made-up:2": "uuid-c"}
HOLD = """
import sys
from pathlib import Path
from neuroadda.device_leases import lease_device
lease = lease_device(dict(pair.split("=") for pair in sys.argv[2:]), Path(sys.argv[1]))
print(lease.device, flush=True)
sys.stdin.read()
"""


@contextmanager
def holders(folder, count, devices=DEVICES):
    """Run `count` processes that lease a device each, all at once."""
    command = [sys.executable, "-c", HOLD, folder, *(f"{name}={identity}" for name, identity in devices.items())]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(count)]
    try:
        yield {process: process.stdout.readline().strip() for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_processes_spread_over_the_devices_and_the_dead_make_room(tmp_path):
    with holders(tmp_path, 7) as held:
        assert sorted(Counter(held.values()).values()) == [2, 2, 3]
        full = Counter(held.values()).most_common(1)[0][0]
        for process in [process for process, device in held.items() if device == full]:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with holders(tmp_path, 2) as later:
            assert set(later.values()) == {full}


def test_two_runs_that_name_the_devices_otherwise_share_them(tmp_path):
    with holders(tmp_path, 1, {"made-up:0": "uuid-b"}), holders(tmp_path, 2) as held:
        assert sorted(held.values()) == ["made-up:0", "made-up:2"]


def test_a_lease_lasts_as_long_as_it_is_kept(tmp_path):
    first = lease_device(DEVICES, tmp_path)
    second = lease_device(DEVICES, tmp_path)
    assert (first.device, second.device) == ("made-up:0", "made-up:1")
    del first
    assert lease_device(DEVICES, tmp_path).device == "made-up:0"


def test_what_cannot_be_leased_is_said(tmp_path):
    with pytest.raises(UserError, match="no device"):
        lease_device({}, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="devices cannot be leased"):
        lease_device(DEVICES, tmp_path / "file")
