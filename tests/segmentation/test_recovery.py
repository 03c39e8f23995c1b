"""A ledger that is lost, or wrong, is made right from what a run has written; then the run ends in the same bytes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from neuroadda.blockwise.outputs import bind_output
from neuroadda.errors import UserError
from neuroadda.ledger.base import BlockRecord, Worker
from neuroadda.ledger.open import open_ledger
from neuroadda.locks import lock_folder
from neuroadda.runs.status import look_at_run
from neuroadda.segmentation.blockfiles import block_file
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan, segment_volume
from neuroadda.segmentation.recovery import rebuild_ledger, verify_ledger
from neuroadda.segmentation.seams import VIEWS
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import VOXEL_SIZE_NM, write_backbone, write_raw

SHAPE, BLOCK_VX = (8, 44, 60), (4, 20, 20)
BLOCKS = 2 * 3 * 3
WORKER = Worker(host="h", pid=1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_raw(folder / "raw.zarr/raw", shape=SHAPE)
    write_backbone(folder / "backbone")
    tissue = np.ones((8, 44, 60), np.uint8)
    tissue[:, 24:, :24] = 0  # no tissue in four blocks
    mask = Volume.create(folder / "raw.zarr/mask", SHAPE, VOXEL_SIZE_NM, np.uint8, offset_nm=(60, 12, 0))
    mask.write(mask.roi, tissue)
    return folder


@pytest.fixture(scope="module")
def finished(inputs, tmp_path_factory):
    """A finished run, which `run` has a copy of."""
    config = configure(inputs, tmp_path_factory.mktemp("finished") / "run")
    segment_volume(config)
    shutil.copytree(config.output, Path(config.output).with_name("kept"))
    return config


@pytest.fixture
def run(finished):
    shutil.rmtree(finished.output)
    shutil.copytree(Path(finished.output).with_name("kept"), finished.output)
    return finished


def configure(inputs: Path, output: Path, **options) -> SegmentConfig:
    known = {
        "raw": str(inputs / "raw.zarr/raw"),
        "mask": str(inputs / "raw.zarr/mask"),
        "backbone": str(inputs / "backbone"),
        "output": str(output),
        "block_vx": BLOCK_VX,
        "chunk_vx": (2, 10, 20),
        "predict": {"precision": "float32"},
        "fragments": {"seed_distance_vx": 4, "boundary": 0.5},
        "components": {"threshold": 0.3},
        "execution": {"launcher": "serial"},
    }
    return SegmentConfig.model_validate(known | options)


def content(config: SegmentConfig) -> dict[str, bytes]:
    folder = Path(config.output)
    files = (f for name in ("volumes.zarr", "edges", "merges", "lut") for f in sorted((folder / name).rglob("*")))
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if f.is_file()}


def done(config: SegmentConfig) -> dict[str, list[int]]:
    """Return the done blocks of every stage."""
    ledger = open_ledger(config.ledger_url)
    found = {
        task.name: np.flatnonzero(ledger.done_mask(bind_output(task).key, len(task.grid))).tolist()
        for task in make_plan(config).tasks
    }
    ledger.close()
    return found


def all_blocks(config: SegmentConfig) -> dict[str, list[int]]:
    return {task.name: list(task.blocks) for task in make_plan(config).tasks}


def lose_some(config: SegmentConfig) -> dict[str, list[int]]:
    """Delete or cut a file of some blocks; return what must be done again."""
    plan = make_plan(config)
    (plan.output("predict") / "0/3/1/1").unlink()  # block 10: chunks are half a block along z and y
    (plan.output("predict") / "0/0/4/2").write_bytes(b"")  # block 8, at the end of y, as a failing disk leaves it
    (plan.output("fragments") / "2/1/0").unlink()
    block_file(plan.output("fragments") / VIEWS, 5).unlink()
    edges = block_file(plan.folder("edges"), 11)
    edges.write_bytes(edges.read_bytes()[:-7])
    block_file(plan.folder("agglomerate-1"), 0).unlink()
    (plan.folder("components") / "lut.npy").unlink()
    shutil.rmtree(plan.output("relabel") / "1")
    return {
        "predict": [8, 10],
        "fragments": [5, 9],
        "edges": [11],
        "agglomerate-0": [],
        "agglomerate-1": [0],
        "agglomerate-2": [],
        "components": [0],
        "relabel": [b for b in plan.task("relabel").blocks if b < BLOCKS // 2],
    }


@pytest.mark.parametrize("store", ["sqlite", "mongo"])
def test_a_lost_ledger_is_made_of_what_is_written(run, store, request):
    before = content(run)
    if store == "mongo":
        run = run.model_copy(update={"ledger": request.getfixturevalue("own_mongo_url")})
    else:
        Path(run.output, "ledger.db").unlink()
    stages = rebuild_ledger(Path(run.output), run.ledger)
    assert done(run) == all_blocks(run)
    assert all(stage.found == stage.done == stage.blocks for stage in stages)
    assert not verify_ledger(Path(run.output), run.ledger).findings
    segment_volume(run)
    assert content(run) == before
    ledger = open_ledger(run.ledger_url)
    for task in make_plan(run).tasks:
        assert {block["tries"] for block in ledger.blocks(bind_output(task).key)} == {0}, "a block was done again"
        summary = ledger.summary(bind_output(task).key)
        assert (summary.voxels, summary.voxels_per_second) == (task.voxels, None)
    assert not any(stage.found for stage in rebuild_ledger(Path(run.output), run.ledger))


def test_of_a_half_written_run_no_block_is_done_without_its_data(run, finished):
    before = content(run)
    Path(run.output, "ledger.db").unlink()
    lost = lose_some(run)
    rebuild_ledger(Path(run.output))
    assert done(run) == {name: [b for b in blocks if b not in lost[name]] for name, blocks in all_blocks(run).items()}
    # an empty chunk that must be read to be written again is in the way; nothing else is
    (make_plan(run).output("predict") / "0/0/4/2").unlink()
    segment_volume(run)
    assert content(run) == before


def test_lost_and_cut_outputs_are_found_and_done_again(run, command):
    before, lost = content(run), lose_some(run)
    code, out, _ = command("ledger", "verify", run.output, "--json")
    assert code == 1
    findings = json.loads(out)["findings"]
    assert {f["stage"]: f["blocks"] for f in findings} == {name: blocks for name, blocks in lost.items() if blocks}
    assert {f["what"] for f in findings} == {"done, but not all of their output is there"}
    code, out, _ = command("ledger", "verify", run.output)
    assert (code, out.splitlines()[0]) == (
        1,
        "predict: blocks 8, 10: done, but not all of their output is there",
    )
    assert command("ledger", "verify", run.output, "--repair")[0] == 0
    assert done(run) == {name: [b for b in blocks if b not in lost[name]] for name, blocks in all_blocks(run).items()}
    assert command("ledger", "verify", run.output)[0] == 0
    segment_volume(run)
    assert content(run) == before
    assert command("ledger", "verify", run.output)[1].splitlines()[-1] == "ledger and outputs agree"


def test_nothing_is_exported_or_published_of_a_segmentation_that_lost_a_part(run, command, tmp_path):
    segmentation = make_plan(run).output("relabel")
    assert command("export", run.output, tmp_path / "whole.h5")[0] == 0
    assert command("export", segmentation, tmp_path / "same.h5")[0] == 0
    (segmentation / "0/0/0").unlink()
    for arguments in (
        ("export", run.output, tmp_path / "cut.h5"),
        ("export", segmentation, tmp_path / "cut.h5"),
        ("publish", run.output, tmp_path / "published", "--to", "ply"),
    ):
        code, _, error = command(*arguments)
        assert code == 2
        assert "1 blocks of relabel are done, but not all of their output is there" in error
    assert not list(tmp_path.glob("cut*"))
    assert not (tmp_path / "published").exists()
    Path(run.raw).rename(
        tmp_path / "raw"
    )  # what was made of it is exported as it is, since nothing tells what should be there
    try:
        assert command("export", segmentation, tmp_path / "cut.h5")[0] == 0
    finally:
        (tmp_path / "raw").rename(run.raw)


def test_broken_files_are_found_by_reading(run):
    before, plan = content(run), make_plan(run)
    for chunk in ("predict", "0/0/4/2"), ("fragments", "1/2/1"), ("relabel", "0/0/0"):
        path = plan.output(chunk[0]) / chunk[1]
        path.write_bytes(path.read_bytes()[:-3])
    edges = block_file(plan.folder("edges"), 0)
    data = bytearray(edges.read_bytes())
    data[len(data) // 2] ^= 255
    edges.write_bytes(data)
    assert not verify_ledger(Path(run.output)).findings
    found = verify_ledger(Path(run.output), read=True, repair=True).findings
    assert {finding.stage: finding.blocks for finding in found} == {
        "predict": [8],
        "fragments": [4],
        "edges": [0],
        "relabel": [0],
    }
    segment_volume(run)
    assert content(run) == before


@pytest.mark.parametrize("store", ["sqlite", "mongo"])
def test_records_that_no_output_bears_out(run, store, request):
    if store == "mongo":
        run = run.model_copy(update={"ledger": request.getfixturevalue("own_mongo_url")})
        rebuild_ledger(Path(run.output), run.ledger)
    folder, plan = Path(run.output), make_plan(run)
    keys = {task.name: bind_output(task).key for task in plan.tasks}
    ledger = open_ledger(run.ledger_url)

    def write(key: str, block: int, status: str) -> None:
        ledger.write([BlockRecord(fingerprint=key, block=block, status=status, worker=WORKER, started=1.0)])

    write(keys["predict"], BLOCKS, "done")
    write(keys["predict"], 3 * BLOCKS, "failed")
    write(keys["fragments"], 6, "done")  # there is no tissue in it
    ledger.forget(keys["edges"], [1, 2])
    write(keys["edges"], 1, "running")
    write("f" * 64, 0, "done")
    shutil.rmtree(folder / "lut")
    ledger.register(plan.task("relabel").model_copy(update={"instance": "x"}).record)

    def found(**options) -> set[tuple[str, str, tuple[int, ...]]]:
        told = verify_ledger(folder, run.ledger, **options)
        return {(finding.stage, finding.what, tuple(finding.blocks)) for finding in told.findings}

    with lock_folder(folder):
        assert ("edges", "running, but no run is at work here", (1,)) not in found()
        with pytest.raises(UserError, match="another run is at work"):
            found(repair=True)
        with pytest.raises(UserError, match="another run is at work"):
            rebuild_ledger(folder, run.ledger)
    wrong = {
        ("predict", "recorded, but the grid has no such blocks", (BLOCKS, 3 * BLOCKS)),
        ("fragments", "done, but there is no tissue in them", (6,)),
        ("edges", "running, but no run is at work here", (1,)),
        ("unknown", f"blocks of a task that is not known: {'f' * 12}", ()),
        ("components", "the output of this record is gone", ()),
        ("relabel", "the output of this record is gone", ()),
    }
    assert found() == wrong
    stages = {stage.stage: stage for stage in verify_ledger(folder, run.ledger).stages}
    assert stages["edges"].found == 2
    assert found(repair=True) == wrong
    assert found() == set()
    assert {task.fingerprint for task in ledger.tasks()} >= set(keys.values()) - {keys["components"]}
    ledger.close()
    segment_volume(run)
    assert not found()


def test_a_task_that_is_not_on_record(run):
    ledger = open_ledger(run.ledger_url)
    key = bind_output(make_plan(run).task("edges")).key
    records = ledger.blocks(key)
    ledger.reset(key)
    ledger.write(
        [BlockRecord(fingerprint=key, block=r["block"], status="done", worker=WORKER, started=1.0) for r in records]
    )
    found = verify_ledger(Path(run.output), repair=True).findings
    assert [(finding.stage, finding.what) for finding in found] == [("edges", "the task is not on record")]
    assert ledger.task(key).blocks == len(records)
    assert not verify_ledger(Path(run.output)).findings


def test_other_runs_of_the_same_ledger_are_left_alone(run, inputs, tmp_path):
    other = configure(inputs, tmp_path / "other", ledger=run.ledger_url, mask=None)
    segment_volume(other, upto="fragments")
    shutil.rmtree(tmp_path / "other/volumes.zarr/affs")
    assert not verify_ledger(Path(run.output)).findings
    found = verify_ledger(Path(other.output), other.ledger, repair=True).findings
    assert [(finding.stage, finding.what) for finding in found] == [("predict", "the output of this record is gone")]
    assert not verify_ledger(Path(run.output)).findings


def test_bad_input(run, command, tmp_path):
    code, _, err = command("ledger", "rebuild", tmp_path)
    assert (code, "there is no run here" in err, err.count("\n")) == (2, True, 1)
    Path(run.output, "ledger.db").unlink()
    code, _, err = command("ledger", "verify", run.output)
    assert (code, "neuroadda ledger rebuild" in err, err.count("\n")) == (2, True, 1)
    assert not Path(run.output, "ledger.db").exists()
    code, _, err = command(
        "ledger", "verify", run.output, "--ledger", "mongodb://ann:s3cret@127.0.0.1:9/db?serverSelectionTimeoutMS=100"
    )
    assert (code, "s3cret" in err, err.count("\n")) == (2, False, 1)
    Path(run.output, "config.json").write_text('{"train": {}}')
    assert command("ledger", "verify", run.output)[0] == 2


def test_a_ledger_that_knows_nothing_of_the_run_does_not_agree_with_it(run, inputs, tmp_path, command, monkeypatch):
    foreign = f"sqlite:///{tmp_path}/foreign.db"
    open_ledger(foreign).close()
    told = "the ledger knows nothing of this run; give the URL of its own (--ledger, or NEUROADDA_LEDGER), or `neuroadda ledger"
    for options in ((), ("--repair",), ("--read",)):
        code, out, err = command("ledger", "verify", run.output, "--ledger", foreign, *options)
        assert (code, out, told in err, err.count("\n")) == (2, "", True, 1)
    other = configure(inputs, tmp_path / "other", ledger=foreign, mask=None)
    segment_volume(other, upto="predict")
    monkeypatch.setenv("NEUROADDA_LEDGER", foreign)
    assert told in command("ledger", "verify", run.output)[2]
    assert not verify_ledger(Path(other.output)).findings
    assert rebuild_ledger(Path(run.output))
    assert not verify_ledger(Path(run.output)).findings
    # And each sees its own tasks there.
    for each, stages in ((run, 8), (other, 1)):
        told = look_at_run(each.output)
        assert told.health.state == "finished"
        assert len(told.tasks) == stages
        assert all(Path(each.output) in Path(task["output"]).parents for task in told.tasks)
    both = look_at_run(foreign)
    assert (len(both.tasks), both.health.state) == (9, "finished")
    with lock_folder(tmp_path / "other"):
        assert look_at_run(foreign).health.state == look_at_run(other.output).health.state == "running"
        assert look_at_run(run.output).health.state == "finished"
    with pytest.raises(KeyboardInterrupt), lock_folder(tmp_path / "other"):
        raise KeyboardInterrupt
    assert {task["state"] for task in look_at_run(foreign).tasks} == {"finished"}  # each of them is
    assert look_at_run(other.output).health.state == "stopped"
    with pytest.raises(UserError, match="the ledger knows no task of this folder; give a run's folder"):
        look_at_run(tmp_path / "nowhere")
