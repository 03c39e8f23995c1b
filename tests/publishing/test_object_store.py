"""Published to a bucket of S3: the bytes of a folder, killed and resumed, read there; what cannot be written there."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("s3fs", reason="pip install neuroadda[test]")
pytest.importorskip("moto", reason="pip install neuroadda[test]")
pytest.importorskip("tensorstore", reason="pip install neuroadda[publish]")
pytest.importorskip("zmesh", reason="pip install neuroadda[publish]")
pytest.importorskip("trimesh", reason="pip install neuroadda[publish]")
import neuroadda as na
from neuroadda.blockwise.execution_config import Execution
from neuroadda.errors import UserError
from neuroadda.publishing.kvstores import to_kvstore
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.volumes.storage.urls import Url
from tests.distributed.s3_server import BUCKET, run_s3_server
from tests.publishing import shapes
from tests.waiting import Gate, descendants, wait_until, wait_until_gone

ROOT = Path(na.__file__).parents[1]
SMALL = {"chunk_vx": (8, 8, 8), "fit_vx": 32, "shard_above": 40, "skeletons": True, "to": ("precomputed", "ply", "swc")}
CODE = "import sys; from tests.publishing.test_object_store import *; publish_run(PublishConfig.model_validate_json(sys.argv[1]))"


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """Holds uploads to ``killed_1`` and ``killed_2``."""
    return Gate(tmp_path_factory.mktemp("gate"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, gate):
    gated = rf"/{BUCKET}/(killed_1/.*\.shard|killed_2/.*/mesh/\d)"
    with (
        run_s3_server(tmp_path_factory.mktemp("server"), gate, gated) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    ids = np.zeros((30, 44, 41), np.uint64)
    ids[shapes.make_ball((30, 44, 41), (14.2, 20.1, 18.3), 11)] = shapes.BALL
    ids[2:28, 33:38, 5:38] = shapes.TREE
    ids[1:28, 2:7, 3:8] = shapes.RING
    return shapes.write_segmentation(tmp_path_factory.mktemp("v") / "v.zarr/s", ids, (30, 6, 6), (60, 12, 6))


def list_objects(url: str) -> dict[str, bytes]:
    """Return what was published, by name, as `shapes.list_files` does."""
    place = Url(url)
    root = place.files._strip_protocol(url)
    found = place.files.cat(place.files.find(url))
    named = {name.removeprefix(root).strip("/"): data for name, data in found.items()}
    return {name: data for name, data in named.items() if not name.endswith("task.json")}


def test_a_bucket_holds_the_files_of_a_folder(server, volume, tmp_path):
    import tensorstore

    local = shapes.publish(volume, tmp_path / "local", **SMALL)
    url = Url(f"s3://{BUCKET}/plain")
    assert shapes.publish(volume, url, work=str(tmp_path / "work"), **SMALL) == url
    assert list_objects(str(url)) == shapes.list_files(local)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [".run"]
    spec = {"driver": "neuroglancer_precomputed", "kvstore": to_kvstore(url / "precomputed/segmentation")}
    array = tensorstore.open(spec, read=True).result()
    assert np.array_equal(np.asarray(array.read().result())[..., 0].T, volume.read())
    with pytest.raises(UserError, match="something lies here already"):
        shapes.publish(volume, url, work=str(tmp_path / "other"), **SMALL)


@pytest.mark.system
@pytest.mark.parametrize("name", ["killed_1", "killed_2"])
def test_a_killed_publication_goes_on_to_the_same_objects(server, volume, tmp_path, gate, name):
    expected = shapes.list_files(shapes.publish(volume, tmp_path / "whole", **SMALL))
    given = {"run": str(volume.path), "output": f"s3://{BUCKET}/{name}", "work": str(tmp_path / "work"), "min_size": 1}
    config = PublishConfig(execution=Execution(workers=2), **given, **SMALL, block_vx=(16, 16, 16))
    passed = gate.passed
    gate.allow(passed + 1)
    process = subprocess.Popen([sys.executable, "-c", CODE, config.model_dump_json()], cwd=ROOT, start_new_session=True)
    wait_until(lambda: gate.passed == passed + 1 and gate.held, process)
    family = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gate.allow()
    wait_until_gone(family)
    assert not Url(f"{config.output}/precomputed/segmentation/info").exists()
    publish_run(config.model_copy(update={"execution": shapes.SERIAL}))
    assert list_objects(config.output) == expected


def test_what_cannot_be_published_there_is_refused_before_anything_is_written(server, volume, tmp_path):
    work, url = str(tmp_path / "work"), f"s3://{BUCKET}/refused"
    for options, message in (
        ({"output": url}, "need a folder of this machine"),
        ({"output": "gs://bucket/out", "work": work}, "a folder of this machine, or to s3://"),
        ({"output": url, "work": url}, "--work must be a folder"),
        ({"output": str(tmp_path / "out"), "work": work}, "--work"),
        ({"output": "s3://missing/out", "work": work}, "no such place"),
    ):
        with pytest.raises(UserError, match=message):
            shapes.publish(volume, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
    assert not Url(url).exists()
