"""The pipeline of library calls asks for labels, takes them, and ends with a backbone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from neuroadda.backbones.card import load_card
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.finding import open_zoo

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent


def test_it_asks_for_labels_and_goes_on_with_them(tmp_path: Path) -> None:
    write_phantom(PhantomConfig(shape_vx=(10, 96, 96), seed=3), tmp_path / "p.zarr")
    size = Volume.open(tmp_path / "p.zarr/raw").voxel_size_nm
    adapt = {
        "raw": str(tmp_path / "p.zarr/raw"),
        "output": str(tmp_path / "run"),
        "backbone": str(open_zoo().folder("fly_larva_l1_sstem")),
        "propose": {"shape_nm": [8 * size[0], 48 * size[1], 48 * size[2]], "choose": {"count": 1}},
        "train": {"name": "a", "domain": "p", "iterations": 1, "output_shape_vx": [4, 16, 16], "workers": 0},
        "execution": {"launcher": "serial"},
    }
    (tmp_path / "adapt.json").write_text(json.dumps({"adapt": adapt}))

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, ROOT / "pipelines" / "adapt.py", "--config", tmp_path / "adapt.json", *more]
        return subprocess.run(script, capture_output=True, text=True, check=False)

    waiting = run()
    assert waiting.returncode == 3
    assert waiting.stderr.splitlines()[-1].startswith(f"boxes (1,) of {tmp_path}/run/round_1 wait for labels")
    assert (tmp_path / "run/round_1/crops/roi_1.zarr").is_dir()
    done = run("--labels", str(tmp_path / "p.zarr/labels"))
    assert done.returncode == 0, done.stderr
    assert load_card(tmp_path / "run/round_1/train/backbone").iterations == 1
