"""The quick start of the README runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuroadda as na

README = Path(__file__).parent.parent / "README.md"


def count_large(labels: np.ndarray) -> int:
    """Return how many ids but 0 have at least 500 voxels."""
    _, sizes = np.unique(labels[labels > 0], return_counts=True)
    return int((sizes >= 500).sum())


@pytest.mark.system
def test_the_quick_start_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"## Quick start in Python\n\n```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(code.splitlines()) <= 25
    (tmp_path / "quickstart.py").write_text(code)
    ended = subprocess.run([sys.executable, "quickstart.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = ended.stdout.splitlines()
    assert re.fullmatch(r"quickstart/run/volumes\.zarr/segmentation: VOI \d\.\d\d nats", told[0])
    assert told[1].startswith("label the box at (")
    assert len(told) == 2
    labels = na.open_volume(tmp_path / "quickstart/volume.zarr/labels").read()
    for run in ("run", "again"):
        segmentation = na.open_volume(tmp_path / f"quickstart/{run}/volumes.zarr/segmentation").read()
        assert count_large(segmentation) >= 0.7 * count_large(labels), "the quick start shows no neurons"
        assert np.unique(segmentation, return_counts=True)[1].max() < 0.5 * segmentation.size
    assert float(re.findall(r"VOI (\S+)", told[0])[0]) < 0.5
    published = na.open_volume(tmp_path / "quickstart/segmentation.ome.zarr/0")
    made = na.open_volume(tmp_path / "quickstart/again/volumes.zarr/segmentation")
    assert (published.read() == made.read()).all()
