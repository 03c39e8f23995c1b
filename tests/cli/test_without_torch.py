"""Where torch is not installed, what needs it says so in one line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from neuroadda.volumes.arrays import Volume

HIDE_TORCH = """
import sys


class NoTorch:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NoTorch)
"""


@pytest.mark.parametrize("verb", [("domains", "rank"), ("check",)])
def test_the_missing_package_is_named_in_one_line(verb: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "hide").mkdir()
    (tmp_path / "hide/sitecustomize.py").write_text(HIDE_TORCH)
    voxels = np.random.default_rng(0).integers(1, 255, (8, 64, 64), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", voxels)
    Volume.create(tmp_path / "a.zarr/raw", voxels.shape, (30, 6, 6), np.uint8).data[:] = voxels
    given = tmp_path / ("a.tif" if verb == ("check",) else "a.zarr/raw")
    path = os.pathsep.join([str(tmp_path / "hide"), *filter(None, sys.path)])
    ended = subprocess.run(
        [sys.executable, "-m", "neuroadda.cli", *verb, given],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("neuroadda: ")
    assert "the package torch is missing; pip install torch" in line
