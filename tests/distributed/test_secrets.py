"""What a run must know and must not tell: passwords planted in its config and environment, and looked for everywhere."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("s3fs", reason="pip install neuroadda[test]")
pytest.importorskip("moto", reason="pip install neuroadda[test]")
from pymongo import MongoClient

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.urls import Url
from tests.distributed.s3_server import BUCKET, run_s3_server
from tests.holding import hold_writes
from tests.ledger.certificates import make_authority
from tests.segmentation.synthetic import VOXEL_SIZE_NM, write_backbone, write_raw
from tests.waiting import PATIENCE_SECONDS, Gate, descendants, wait_until, wait_until_gone

pytestmark = pytest.mark.system

VOLUMES = f"s3://{BUCKET}/run.zarr"


@dataclass(frozen=True)
class Setting:
    """A run that knows two secrets: the password of its ledger, and the key of the store that its arrays are in."""

    folder: Path
    inputs: Path
    url: str
    planted: tuple[bytes, ...]
    environment: dict[str, str]

    def write_config(self, url: str | None = None) -> Path:
        """Write the config as a user does: where the run is not, for nobody else to read."""
        config = {
            "segment": {
                "raw": str(self.inputs / "raw.zarr/raw"),
                "backbone": str(self.inputs / "backbone"),
                "output": str(self.folder),
                "volumes": VOLUMES,
                "ledger": url or self.url,
                "block_vx": [4, 20, 20],
                "predict": {"precision": "float32"},
                "fragments": {"seed_distance_vx": 4, "boundary": 0.5},
                "components": {"threshold": 0.3},
                "execution": {"workers": 2, "retries": 0},
            },
            "evaluate": {"labels": str(self.inputs / "raw.zarr/labels")},
        }
        file = self.inputs / "config.json"
        file.touch(0o600)
        file.write_text(json.dumps(config))
        return file

    def call(self, *arguments: object, code: int = 0, **variables: str) -> bytes:
        """Run a command while somebody watches the processes; return what it said."""
        command = [sys.executable, "-m", "neuroadda.cli", *map(str, arguments)]
        environment = os.environ | self.environment | variables
        with watch_processes(self.planted if not variables else ()) as seen:
            told = subprocess.run(command, capture_output=True, env=environment, timeout=PATIENCE_SECONDS, check=False)
        assert told.returncode == code, told.stderr.decode()
        assert not seen, seen
        said = told.stdout + told.stderr
        assert said
        assert not any(secret in said for secret in self.planted)
        return said

    def find_secrets(self) -> list[str]:
        """Return the files of the run, on disk and in the store, that hold a secret."""
        files = {str(f): f.read_bytes() for f in self.folder.rglob("*") if f.is_file()}
        store = Url(VOLUMES)
        if store.exists():
            files |= store.files.cat(store.files.find(VOLUMES))
        assert len(files) > 50
        return [name for name, data in files.items() if any(secret in data for secret in self.planted)]


@contextmanager
def watch_processes(planted: tuple[bytes, ...]) -> Iterator[list[str]]:
    """Look at all processes until the end: yield what shows a secret, in a command line or, but for the store's, an environment."""
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
                except OSError:
                    continue
                if any(s in line for s in planted) or any(s in environment for s in planted[:2]):
                    seen.append(f"{process.name}: {line!r}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


@pytest.fixture(scope="module")
def setting(tmp_path_factory, mongo_server) -> Iterator[Setting]:
    """A run's inputs, a store, and a ledger that wants a login over TLS."""
    root = tmp_path_factory.mktemp("secrets")
    inputs, authority = root / "inputs", make_authority(root / "authority")
    raw = write_raw(inputs / "raw.zarr/raw", shape=(8, 40, 40))
    labels = Volume.create(inputs / "raw.zarr/labels", (8, 40, 40), VOXEL_SIZE_NM, np.uint64, offset_nm=raw.offset_nm)
    labels.write(labels.roi, np.arange(8 * 40 * 40, dtype=np.uint64).reshape(8, 40, 40) // 1600 + 1)
    write_backbone(inputs / "backbone")
    password = f"{secrets.token_hex(8)}/ö@{secrets.token_hex(8)}"
    (root / "mongo").mkdir()
    (root / "store").mkdir()
    with (
        mongo_server(root / "mongo", *authority.options, ca=authority.ca) as address,
        MongoClient(f"mongodb://{address}") as client,
    ):
        client.admin.command("createUser", "ann", pwd=password, roles=["root"])
    with (
        run_s3_server(root / "store") as store,
        mongo_server(root / "mongo", *authority.options, "--auth", ca=authority.ca) as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in store.items():
            patch.setenv(name, value)
        options = address.replace("/?", "/secret_test?") + "&authSource=admin"
        url = f"mongodb://ann:{quote(password, safe='')}@{options}"
        halves = [half.encode() for half in password.split("/ö@")]
        yield Setting(root / "run", inputs, url, (*halves, store["AWS_SECRET_ACCESS_KEY"].encode()), store)


def test_a_run_tells_nobody_what_it_knows(setting: Setting) -> None:
    config = setting.write_config()
    chunk = setting.inputs / "raw.zarr/raw/0/0/0"
    intact = chunk.read_bytes()
    chunk.write_bytes(intact[:-5])  # every block fails, with tracebacks in the logs and in the ledger
    setting.call("segment", "-c", config, code=1)
    chunk.write_bytes(intact)
    setting.call("run", "-c", config)
    assert (setting.folder / "report.html").is_file()
    setting.call("ledger", "verify", setting.folder, NEUROADDA_LEDGER=setting.url)
    setting.call("ledger", "rebuild", setting.folder, NEUROADDA_LEDGER=setting.url)
    assert not setting.find_secrets()
    with MongoClient(setting.url) as client:
        database = client.get_default_database()
        told = [repr(document) for name in database.list_collection_names() for document in database[name].find()]
    assert len(told) > 40
    assert not [document for document in told for secret in setting.planted if secret.decode() in document]


def test_errors_tell_nobody_either(setting: Setting) -> None:
    wrong = setting.url.replace(setting.planted[1].decode(), "")
    said = setting.call("segment", "-c", setting.write_config(wrong), code=2)
    assert b"refuses the login" in said
    said = setting.call("segment", "-c", setting.write_config(setting.url.replace("tls=true", "tls=false")), code=2)
    assert b"options do not fit" in said
    away = setting.url.replace("@127.0.0.1:", "@127.0.0.2:")
    said = setting.call("segment", "-c", setting.write_config(away), code=2)
    assert said.count(b"\n") == 1
    malformed = setting.url.replace("mongodb://", "mongo://")
    setting.call("segment", "-c", setting.write_config(malformed), code=2)


def test_a_killed_run_leaves_no_secret(setting: Setting, tmp_path: Path) -> None:
    config, gate = setting.write_config(), Gate(tmp_path / "gate")
    setting.call("segment", "-c", config)
    environment = hold_writes(setting.folder / "edges", gate) | setting.environment
    gate.allow(1)
    command = [sys.executable, "-m", "neuroadda.cli", "segment", "-c", str(config), "--overwrite"]
    command += ["--set", "segment.fragments.boundary=0.4"]
    with watch_processes(setting.planted) as seen:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
        wait_until(lambda: gate.passed == 1 and gate.held, process)
        family = descendants(process.pid)
        process.kill()
        said = process.communicate()[1]
        wait_until_gone(family)  # or a file that is looked at could vanish
    assert process.returncode == -signal.SIGKILL
    assert not seen, seen
    assert not any(secret in said for secret in setting.planted)
    assert not setting.find_secrets()
