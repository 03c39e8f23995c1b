"""What `neuroadda report-bug` collects, and what it never passes on."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.checking.bug_report import HEAD, describe_bug
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise, write_backbone

Run = Callable[..., tuple[int, str, str]]
URL = "mongodb://anna:s3cr%40t-word@db.lab:27017/runs?tlsCertificateKeyFilePassword=k3y-phrase"
SECRETS = ("s3cr", "t-word", "k3y-phrase", "anna")


@pytest.fixture
def failed(tmp_path: Path, command: Run) -> Path:
    """A run, four of whose eight blocks cannot be read."""
    noise = (smooth_noise((8, 40, 80), (1, 4, 4)) * 255).astype(np.uint8)
    raw = Volume.create(tmp_path / "v.zarr/raw", noise.shape, VOXEL_SIZE_NM, np.uint8, chunk_vx=(8, 20, 20))
    raw.write(raw.roi, noise)
    (raw.path / "0/1/3").write_bytes(b"not what blosc wrote")
    write_backbone(tmp_path / "backbone")
    sets = ("segment.execution.launcher=serial", "segment.block_vx=[8,20,20]")
    options = [word for key in sets for word in ("--set", key)]
    code, _, _ = command("segment", raw.path, "--backbone", tmp_path / "backbone", "-o", tmp_path / "run", *options)
    assert code == 1
    return tmp_path / "run"


def test_a_report_tells_versions_config_and_errors(failed: Path, command: Run, tmp_path: Path) -> None:
    code, told, err = command("report-bug", failed, "-o", tmp_path / "bug.txt")
    assert (code, told, err) == (0, f"{tmp_path / 'bug.txt'}\n", "")
    text = (tmp_path / "bug.txt").read_text()
    assert text.startswith(HEAD)
    for expected in (
        f"Python: {sys.version.split()[0]}",
        f"numpy: {np.__version__}",
        "torch: 2.",
        "cores: ",
        f"== Run {failed} ==",
        "stage predict, state failed, blocks 8, done 4, running 0, failed 4",
        "RuntimeError",
        '"block_vx"',
        "Traceback (most recent call last)",
    ):
        assert expected in text, expected


def test_no_password_and_no_secret_of_the_environment_gets_in(
    failed: Path, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
        "NEUROADDA_DASHBOARD_TOKEN": "token-of-the-dashboard",
        "MY_PASSWORD": "correct horse",
        "HTTPS_PROXY": "http://bob:proxy-word@proxy.lab:3128",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEUROADDA_LEDGER", URL + "&serverSelectionTimeoutMS=100&connectTimeoutMS=100")
    config = json.loads((failed / "config.json").read_text())
    config["resolved"]["ledger"] = URL
    config["extra"] = {"token": "of-a-config", "url": "https://store.org/a?X-Amz-Signature=abc123&x=1"}
    (failed / "config.json").write_text(json.dumps(config))
    log = next((failed / "logs").rglob("*.log"))
    event = {"time": "2026-01-01T00:00:00.000+00:00", "level": "error", "stage": "predict"}
    said = f"cannot reach {URL}; tried s3cr@t-word, wJalrXUtnFEMI and correct horse by bob:proxy-word"
    log.write_text(log.read_text() + json.dumps(event | {"message": said, "traceback": said}) + "\nbare: k3y-phrase\n")
    for ledger in ((), ("--ledger", URL + "&serverSelectionTimeoutMS=100&connectTimeoutMS=100")):
        code, _, err = command("report-bug", failed, "-o", tmp_path / "bug.txt", *ledger)
        assert code == 0, err
        text = (tmp_path / "bug.txt").read_text()
        for secret in (*SECRETS, "wJalr", "token-of-the", "correct horse", "proxy-word", "of-a-config", "abc123"):
            assert secret not in text, secret
        assert "cannot reach mongodb://***@db.lab:27017/runs" in text
        assert "bare: ***" in text
        assert "NEUROADDA_DASHBOARD_TOKEN: ***" in text


def test_without_a_run_it_tells_of_the_installation() -> None:
    text = describe_bug(None, None, {"NEUROADDA_CACHE": "/c", "HOME": "/home/anna"})
    assert "NEUROADDA_CACHE: /c" in text
    assert "/home/anna" not in text
    assert "== Run" not in text


def test_a_folder_without_a_run_still_gives_a_report(command: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = command("report-bug", tmp_path / "empty", "-o", tmp_path / "bug.txt")
    assert code == 0, err
    assert "no ledger" in (tmp_path / "bug.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere",), "there is no folder here"),
        (("-o", "notes.txt"), "no bug report, and is not written over"),
        (("-o", "no/such/folder.txt"), "the report cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("mine")
    code, _, err = command("report-bug", *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert told in err
    assert Path("notes.txt").read_text() == "mine"
