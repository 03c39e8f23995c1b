"""A run that cannot be written to, of another user: everything that only reads works, and nothing is written."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroadda.blockwise.execution_config import Execution
from neuroadda.errors import UserError
from neuroadda.ledger.base import BlockRecord, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.sqlite import SqliteLedger
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.volumes.arrays import Volume
from tests.reading import NOBODY, look, open_to_all, reading_only
from tests.segmentation.synthetic import VOXEL_SIZE_NM, write_backbone, write_raw

Command = Callable[..., tuple[int, str, str]]
SERIAL = Execution(launcher="serial")
SHAPE = (8, 40, 80)
AGO = re.compile(r"\d+ \w+ ago")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_to_all() as folder:
        write_raw(folder / "raw.zarr/raw", SHAPE)
        write_backbone(folder / "backbone")
        labels = Volume.create(folder / "labels.zarr/labels", SHAPE, VOXEL_SIZE_NM, np.uint64, offset_nm=(60, 12, 0))
        labels.data[:] = 1
        labels.data[:, 20:] = 2
        segment_volume(
            SegmentConfig.model_validate(
                {
                    "raw": folder / "raw.zarr/raw",
                    "backbone": folder / "backbone",
                    "output": folder / "run",
                    "block_vx": (8, 40, 40),
                    "fragments": {"seed_distance_vx": 4, "boundary": 0.5},
                    "components": {"threshold": 0.15},
                    "execution": SERIAL,
                }
            )
        )
        (folder / "own").mkdir()
        if os.geteuid() == 0:
            os.chown(folder / "own", NOBODY, NOBODY)
        yield folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "run"),
        ("evaluate", "run", "labels.zarr/labels"),
        ("errors", "run", "-o", "own/errors"),
        ("view", "run", "--root", "."),
        ("edits", "list", "run"),
        ("ledger", "verify", "run"),
        ("info", "run/volumes.zarr/segmentation"),
    ],
    ids=" ".join,
)
def test_verbs_that_read(folder, command: Command, monkeypatch, arguments):
    monkeypatch.chdir(folder)
    code, whole, err = command(*arguments)
    assert code == 0, err
    shutil.rmtree(folder / "own/errors", ignore_errors=True)
    with reading_only(folder / "run"):
        monkeypatch.setenv("NEUROADDA_CACHE", str(folder / "own/cache"))
        before = look(folder / "run")
        code, told, err = command(*arguments)
        assert code == 0, err
        assert "warning" not in err
        assert AGO.sub("", told) == AGO.sub("", whole)
        assert look(folder / "run") == before


def publish(folder: Path, out: Path) -> list[Volume]:
    """Publish the run's skeletons and a pyramid of its segmentation; return the levels."""
    publish_run(PublishConfig(run=folder / "run", output=out / "swc", to=("swc",), execution=SERIAL, min_size=1))
    pyramid = PyramidConfig(
        volume=folder / "run/volumes.zarr/segmentation",
        output=out / "segmentation.ome.zarr",
        fit_vx=40,
        copy_finest=True,
        execution=SERIAL,
    )
    return build_pyramid(pyramid)


def test_it_is_published_elsewhere(folder, caplog, tmp_path):
    publish(folder, tmp_path)  # also imports what another user may have no right to import
    with reading_only(folder / "run"):
        before = look(folder / "run")
        levels = publish(folder, folder / "own")
        assert (levels[0].read() == Volume.open(folder / "run/volumes.zarr/segmentation").read()).all()
        assert look(folder / "run") == before
    files = [
        sorted(path.read_bytes() for path in (out / "swc/swc").glob("*.swc")) for out in (tmp_path, folder / "own")
    ]
    assert files[0] == files[1] != []
    assert "it cannot be noted what was made of this array" in caplog.text


def test_what_would_write_is_refused_in_a_line(folder, command):
    for verb in (["retry"], ["ledger", "rebuild"]):
        assert command(*verb, folder / "own")[0] == 2
    with reading_only(folder / "run"):
        before = look(folder / "run")
        for verb in (["retry"], ["ledger", "rebuild"]):
            code, out, err = command(*verb, folder / "run")
            assert (code, out, len(err.splitlines())) == (2, "", 1)
            assert "cannot be" in err
        assert look(folder / "run") == before


# ledgers in every state in which a run may have left them


def write_blocks(ledger: SqliteLedger, blocks: range) -> None:
    worker = Worker(host="node", pid=1)
    known = {"fingerprint": "f", "status": "done", "worker": worker, "started": 0.0, "finished": 1.0, "seconds": 1.0}
    ledger.write([BlockRecord(block=block, **known) for block in blocks])


@pytest.mark.parametrize("state", ["closed", "at work", "killed", "copied without the index", "damaged index"])
def test_a_ledger_that_cannot_be_written_to_is_read_whole(state):
    with open_to_all() as folder:
        run, other = folder / "run", folder / "other"
        run.mkdir()
        ledger = SqliteLedger(run / "ledger.db")
        ledger.register(TaskRecord(fingerprint="f", stage="predict", blocks=9, voxels=9, output="out"))
        write_blocks(ledger, range(3))
        ledger.close()
        expected = 3
        if state != "closed":
            ledger = SqliteLedger(run / "ledger.db")
            write_blocks(ledger, range(3, 7))  # these are in the write-ahead log alone
            expected = 7
        if state in ("killed", "copied without the index", "damaged index"):
            other.mkdir()
            for file in run.iterdir():
                if state == "copied without the index" and file.name.endswith("-shm"):
                    continue
                shutil.copyfile(file, other / file.name)
            if state == "damaged index":
                (other / "ledger.db-shm").write_bytes(b"x" * 32768)
            ledger.close()
            run = other
        with reading_only(run):
            before = look(run)
            reader = open_ledger(f"sqlite:///{run / 'ledger.db'}", reading=True)
            assert reader.summary("f").done == expected
            assert reader.done_mask("f", 9).sum() == expected
            assert sum(len(some.blocks) for some in reader.columns("f")) == expected
            reader.close()
            assert look(run) == before
            with pytest.raises(UserError, match="cannot be opened for writing"):
                write_blocks(SqliteLedger(run / "ledger.db"), range(1))
        ledger.close()


def test_a_reader_sees_what_a_run_writes_later():
    with open_to_all() as folder:
        (folder / "run").mkdir()
        ledger = SqliteLedger(folder / "run/ledger.db")
        ledger.register(TaskRecord(fingerprint="f", stage="predict", blocks=9, voxels=9, output="out"))
        ledger.close()
        with reading_only(folder / "run"):
            reader = open_ledger(f"sqlite:///{folder / 'run/ledger.db'}", reading=True)
            assert reader.summary("f").done == 0
        for path in (folder / "run", *(folder / "run").iterdir()):
            path.chmod(0o755)
        write_blocks(SqliteLedger(folder / "run/ledger.db"), range(4))
        with reading_only(folder / "run"):
            assert reader.summary("f").done == 4


def test_a_ledger_that_cannot_even_be_read_is_said_so():
    with open_to_all() as folder:
        (folder / "run").mkdir()
        SqliteLedger(folder / "run/ledger.db").close()
        with reading_only(folder / "run"):
            os.seteuid(0) if os.getuid() == 0 else None
            (folder / "run/ledger.db").chmod(0)
            os.seteuid(NOBODY) if os.getuid() == 0 else None
            with pytest.raises(UserError, match="the ledger cannot be read"):
                open_ledger(f"sqlite:///{folder / 'run/ledger.db'}", reading=True)
