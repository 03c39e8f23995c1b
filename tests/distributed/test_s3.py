"""A run whose raw and arrays lie in an object store: killed, resumed, and byte for byte the run on a disk."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("s3fs", reason="pip install neuroadda[test]")
pytest.importorskip("moto", reason="pip install neuroadda[test]")
from neuroadda.blockwise.outputs import bind_output, read_tag
from neuroadda.errors import UserError
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan, segment_volume
from neuroadda.segmentation.recovery import rebuild_ledger, verify_ledger
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.storage.locations import to_location
from neuroadda.volumes.storage.urls import Url
from tests.distributed.s3_server import BUCKET, run_s3_server
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise, write_backbone
from tests.waiting import Gate, wait_until

pytestmark = pytest.mark.system

RAW = f"s3://{BUCKET}/raw.zarr/raw"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """Holds uploads of the affinities of ``run.zarr``."""
    return Gate(tmp_path_factory.mktemp("gate"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, gate):
    folder, gated = tmp_path_factory.mktemp("server"), rf"/{BUCKET}/run\.zarr/affs/\d"
    with run_s3_server(folder, gate, gated) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(scope="module")
def inputs(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    np.save(folder / "raw.npy", (smooth_noise((16, 40, 60), (1, 4, 4)) * 255).astype(np.uint8))
    for target in (RAW, folder / "raw.zarr/raw"):
        import_volume(folder / "raw.npy", target, voxel_size_nm=VOXEL_SIZE_NM, chunk_vx=(8, 20, 20))
    write_backbone(folder / "backbone")
    return folder


def configure(inputs: Path, output: Path, **options) -> SegmentConfig:
    known = {
        "raw": RAW,
        "backbone": str(inputs / "backbone"),
        "output": str(output),
        "block_vx": (8, 20, 20),
        "chunk_vx": (8, 10, 20),
        "predict": {"precision": "float32"},  # each process measures for itself what is faster
        "fragments": {"seed_distance_vx": 4, "boundary": 0.5},
        "components": {"threshold": 0.3},
        "execution": {"workers": 2},
    }
    return SegmentConfig.model_validate(known | options)


def files_at(url: str) -> dict[str, bytes]:
    """Return the bytes of every object below a URL but the tags, which name the instance."""
    place = Url(url)
    found = place.files.cat(place.files.find(url))
    root = place.files._strip_protocol(url)
    return {name.removeprefix(root): data for name, data in found.items() if not name.endswith(".zattrs")}


def files_in(folder: Path) -> dict[str, bytes]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.name not in (".zattrs", "task.json"))
    return {f"/{f.relative_to(folder).as_posix()}": f.read_bytes() for f in files}


def test_what_is_imported_there_is_what_is_imported_here(inputs):
    assert files_at(f"s3://{BUCKET}/raw.zarr") == files_in(inputs / "raw.zarr")
    assert Volume.open(RAW).attrs == Volume.open(inputs / "raw.zarr/raw").attrs
    with pytest.raises(UserError, match="it exists already"):
        import_volume(inputs / "raw.npy", RAW, voxel_size_nm=VOXEL_SIZE_NM)


def test_a_killed_run_goes_on_to_the_bytes_of_a_local_one(inputs, tmp_path, gate):
    volumes = f"s3://{BUCKET}/run.zarr"
    local = configure(inputs, tmp_path / "local", execution={"launcher": "serial"})
    segment_volume(local)
    config = configure(inputs, tmp_path / "remote", volumes=volumes)
    file = tmp_path / "remote.json"
    file.write_text(json.dumps({"segment": config.model_dump(mode="json")}))
    gate.allow(8)
    process = subprocess.Popen([sys.executable, "-m", "neuroadda.cli", "segment", "-c", str(file)])
    wait_until(lambda: gate.passed == 8 and gate.held, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gate.allow()
    predict = make_plan(config).task("predict")
    assert not open_ledger(config.ledger_url).done_mask(bind_output(predict).key, len(predict.grid)).all()
    affs = Url(f"{volumes}/affs")
    segment_volume(config)
    assert files_at(volumes) == files_in(tmp_path / "local/volumes.zarr")
    for name in ("edges", "scores", "lut"):
        assert files_in(tmp_path / "remote" / name) == files_in(tmp_path / "local" / name)
    assert not (tmp_path / "remote/volumes.zarr").exists()

    (tmp_path / "remote/ledger.db").unlink()
    affs.files.rm([f"{volumes}/affs/0/1/2/1", f"{volumes}/fragments/.views/000000/000000004.npz"])
    stages = {stage.stage: stage for stage in rebuild_ledger(tmp_path / "remote")}
    assert (
        stages["predict"].blocks - stages["predict"].done,
        stages["fragments"].blocks - stages["fragments"].done,
    ) == (1, 1)
    assert all(stage.done == stage.blocks for name, stage in stages.items() if name not in ("predict", "fragments"))
    assert not verify_ledger(tmp_path / "remote", read=True).findings
    segment_volume(config)
    assert files_at(volumes) == files_in(tmp_path / "local/volumes.zarr")
    affs.files.rm(f"{volumes}/affs/0/1/2/1")
    assert [(found.stage, found.blocks) for found in verify_ledger(tmp_path / "remote", repair=True).findings] == [
        ("predict", [10])
    ]
    segment_volume(config)
    assert files_at(volumes) == files_in(tmp_path / "local/volumes.zarr")

    other = configure(inputs, tmp_path / "remote", volumes=volumes, components={"threshold": 0.2})
    with pytest.raises(UserError, match="made with other parameters"):
        segment_volume(other)
    before = read_tag(to_location(f"{volumes}/fragments"))
    segment_volume(other, overwrite=True)
    assert read_tag(to_location(f"{volumes}/fragments")) == before
    assert (
        read_tag(to_location(f"{volumes}/segmentation"))["fingerprint"] == make_plan(other).task("relabel").fingerprint
    )


def test_half_an_array_is_none(inputs):
    place = to_location(f"s3://{BUCKET}/half.zarr/affs")
    attrs = {"fingerprint": "f", "instance": "i"}
    Volume.create(place, (8, 8, 8), VOXEL_SIZE_NM, np.uint8, attrs=attrs).data[:] = 1
    assert read_tag(place)["instance"] == "i"
    place.files.rm(str(place / ".zarray"))
    assert read_tag(place) is None
    place.files.rm(str(place / ".zattrs"))
    assert read_tag(place) == {}, "something of another's is not taken for nothing"
    with pytest.raises(UserError, match="no array here"):
        Volume.open(place)


def test_a_lost_connection_is_never_read_as_zeros(tmp_path, monkeypatch):
    import fsspec

    with run_s3_server(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.filesystem("s3").clear_instance_cache()
        volume = Volume.create(f"s3://{BUCKET}/v.zarr/v", (8, 8, 8), VOXEL_SIZE_NM, np.uint8)
        volume.data[:] = 1
        assert volume.read().all()
    with pytest.raises(Exception, match="connect"):
        volume.read()
    with pytest.raises(Exception, match="connect"):
        volume.write(volume.roi, np.ones((8, 8, 8), np.uint8))
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize(
    ("raw", "changed", "told"),
    [
        ("s3://no-such-bucket/raw.zarr/raw", {}, "bucket does not exist"),
        (RAW, {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"}, "Forbidden"),
        (RAW, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint"),
        ("s3://key:secret@bucket/raw.zarr/raw", {}, "credentials do not belong into a URL"),
    ],
)
def test_a_wrong_place_is_one_line(inputs, tmp_path, command, monkeypatch, raw, changed, told):
    import fsspec

    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()  # made with the environment it was made in
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"segment": configure(inputs, tmp_path / "run", raw=raw).model_dump(mode="json")}))
    code, _, errors = command("segment", "-c", file)
    fsspec.filesystem("s3").clear_instance_cache()
    assert code == 2
    assert told in errors
    assert len(errors.splitlines()) == 1
    assert "secret" not in errors
    assert not (tmp_path / "run").exists()
