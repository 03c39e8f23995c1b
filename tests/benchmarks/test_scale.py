"""The model of docs/scale.md: its tables are what the script prints, and today's design is what the package does."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import TODAY
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.scale", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_the_tables_of_the_page_are_what_the_script_prints():
    assert run().strip() in (ROOT / "docs/scale.md").read_text()


@pytest.mark.parametrize(
    ("figure", "resource"),
    [
        ("gpu_vx_s=1e3", "GPUs"),
        ("block_s=1e3", "scheduler"),
        ("bandwidth=1e3", "bandwidth"),
        ("start_s=1e9", "start-up"),
        ("union_s=1e3", "global step"),
        ("fragments_vx_s=1e-2", "CPU cores"),
    ],
)
def test_a_resource_that_is_slow_enough_is_the_bottleneck(figure, resource):
    row = next(line for line in run("--set", figure).splitlines() if line.startswith("| 10^12"))
    assert f"**{resource}**" in row.split(" | ")[5]


def test_the_design_of_today_is_the_packages_default(tmp_path):
    Volume.create(tmp_path / "raw", (64, 512, 512), (30, 6, 6), np.uint8)
    backbone = str(builtin_folder() / "mouse_cortex_sssem")
    plan = make_plan(SegmentConfig(raw=str(tmp_path / "raw"), backbone=backbone, output=str(tmp_path / "run")))
    assert plan.config.block_vx == TODAY.block_vx
    assert plan.task("predict").chunk_vx == TODAY.chunk_vx == TODAY.file_vx
