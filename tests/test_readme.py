"""The quick start of the README runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import neuroadda as na

README = Path(__file__).parent.parent / "README.md"


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
    published = na.open_volume(tmp_path / "quickstart/segmentation.ome.zarr/0")
    made = na.open_volume(tmp_path / "quickstart/again/volumes.zarr/segmentation")
    assert (published.read() == made.read()).all()
