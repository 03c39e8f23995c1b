"""The harness itself, for a few faults; `make chaos` does hundreds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_a_run_in_chaos_ends_as_it_should() -> None:
    command = [sys.executable, "-m", "tests.chaos.chaos", "--seeds", "7", "--faults", "12"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("as it should be") >= 1
