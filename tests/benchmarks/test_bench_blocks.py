"""The bench of empty blocks proves what it measures: killed and resumed, every block is done, and the ledger knows."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.system
def test_thousands_of_blocks_are_killed_and_resumed(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_blocks", "--blocks", "6000"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    rows = [line.split("\t") for line in made.stdout.splitlines() if line.startswith("SQLite")]
    done = {row[2]: int(row[3].replace(",", "")) for row in rows}
    twice = int(rows[-1][4].replace(",", ""))
    assert done["a run"] == 6000
    assert done["again, all done"] == 0
    assert 3000 <= done["killed at half"] < 6000
    assert done["killed at half"] + done["resumed"] == 6000 + twice
