import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from neuroadda.volumes.arrays import Volume

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", ROOT / "pipelines" / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_real_data_it_runs_on_a_phantom_and_says_so(demo, tmp_path):
    assert "phantom" in demo.prepare(tmp_path / "demo", tmp_path / "nothing")
    for part in ("train", "test"):
        raw, labels = (Volume.open(tmp_path / "demo" / f"{part}.zarr" / name) for name in ("raw", "labels"))
        assert raw.shape_vx == labels.shape_vx
        assert len(np.unique(labels.read())) > 50
    for part in ("train", "test"):  # data that arrive later do not make it real
        (tmp_path / f"mouse_cortex_sssem_{part}.hdf").touch()
    assert "phantom" in demo.prepare(tmp_path / "demo", tmp_path)


@pytest.mark.skipif(
    not (DATA / "mouse_cortex_sssem_test.hdf").exists(), reason=f"no real EM in {DATA} (NEUROADDA_DATA)"
)
def test_with_real_data_it_runs_on_that(demo, tmp_path):
    assert "real EM" in demo.prepare(tmp_path / "demo", DATA)
    raw = Volume.open(tmp_path / "demo/test.zarr/raw")
    assert tuple(raw.shape_vx) == (24, 512, 512)
    assert raw.voxel_size_nm == (30, 6, 6)
    assert "Mus" in str(raw.attrs["provenance"])
    before = raw.attrs["fingerprint"]
    demo.prepare(tmp_path / "demo", DATA)
    assert Volume.open(tmp_path / "demo/test.zarr/raw").attrs["fingerprint"] == before
