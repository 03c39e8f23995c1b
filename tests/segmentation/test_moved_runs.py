"""Runs with relative paths, asked from other folders; runs that were moved, alone or with what they are made of; copies."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.adaptation.subject import read_subject
from neuroadda.adaptation.tune_config import list_labelled
from neuroadda.errors import UserError
from neuroadda.runs.config import read_config
from neuroadda.segmentation.recovery import read_run
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import find_stale
from tests.segmentation.synthetic import VOXEL_SIZE_NM, write_backbone, write_raw

pytestmark = pytest.mark.system

Command = Callable[..., tuple[int, str, str]]
SHAPE = (8, 40, 80)
CONFIG = """
[segment]
raw = "data/raw.zarr/raw"
backbone = "data/backbone"
output = "runs/a"
block_vx = [8, 40, 40]
fragments = {seed_distance_vx = 4, boundary = 0.5}
components = {threshold = 0.15}
execution = {launcher = "serial"}
"""
SERIAL = "segment.execution.launcher=serial"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> Path:
    """A folder with data, and a finished run that was given relative paths in it; the current folder is another one."""
    project = tmp_path / "project"
    write_raw(project / "data/raw.zarr/raw", SHAPE)
    write_backbone(project / "data/backbone")
    labels = Volume.create(
        project / "data/labels.zarr/labels", SHAPE, VOXEL_SIZE_NM, np.uint64, offset_nm=(60, 12, 0), attrs={}
    )
    labels.data[:] = 1
    labels.data[:, 20:] = 2
    (project / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(project)
    code, _, err = command("run", "-c", "config.toml")
    assert code == 0, err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return project


def ask(command: Command, run: Path, labels: Path, out: Path) -> None:
    """Ask everything of a finished run that can be asked."""
    segmentation = (run / "volumes.zarr/segmentation").resolve()

    def answer(*arguments: object) -> str:
        code, told, err = command(*arguments)
        assert code == 0, err
        assert "warning" not in err
        return told

    tasks = json.loads(answer("status", run, "--json"))
    assert {task["state"] for task in tasks} == {"finished"}
    assert Path({task["stage"]: task["output"] for task in tasks}["relabel"]) == segmentation
    assert json.loads(answer("evaluate", run, labels, "--json"))["scores"]
    assert [layer["name"] for layer in json.loads(answer("view", run, "--root", out.parent, "--json"))["layers"]]
    answer("publish", run, out / "swc", "--to", "swc", "--set", "execution.launcher=serial")
    answer("errors", run, "-o", out / "errors")
    assert answer("retry", run, "--set", SERIAL).strip() == str(run / "volumes.zarr/segmentation")  # nothing is left
    answer("ledger", "verify", run)


def edit(command: Command, run: Path) -> None:
    """Merge two fragments of a run, and make its segmentation and a pyramid of it anew."""
    fragments = Volume.open(run / "volumes.zarr/fragments").read()
    first, second, *_ = (int(id_) for id_ in np.unique(fragments) if id_)
    assert command("edits", "add", run, "--merge", first, second, "--who", "ann")[0] == 0
    code, _, err = command("edits", "apply", run, "--set", SERIAL)
    assert code == 0, err
    found = Volume.open(run / "volumes.zarr/segmentation").read()
    assert found[fragments == first][0] == found[fragments == second][0]
    assert (Volume.open(run / "volumes.zarr/segmentation.ome.zarr/0").read() == found).all()


def pyramid(command: Command, run: Path) -> None:
    code, _, err = command("pyramid", run / "volumes.zarr/segmentation")
    assert code == 0, err


def test_a_run_with_relative_paths_is_known_everywhere(project, command, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    pyramid(command, Path("runs/a"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    ask(command, project / "runs/a", project / "data/labels.zarr/labels", tmp_path / "out")
    told = command("edits", "check", "../project/runs/a")
    assert told[:2] == (0, "no conflicts\n")
    code, out, _ = command("ledger", "verify", "../project/runs/a")
    assert (code, out.splitlines()[-1]) == (0, "ledger and outputs agree")
    code, _, err = command("check", "../project/runs/a")
    assert (code, "this is the folder of a run" in err) == (2, True)
    edit(command, project / "runs/a")


def test_what_earlier_versions_noted_with_relative_paths_is_found(project, command, tmp_path, monkeypatch):
    file = project / "runs/a/config.json"
    noted = json.loads(file.read_text())
    for key in ("raw", "backbone", "output"):
        noted["resolved"][key] = str(Path(noted["resolved"][key]).relative_to(project))
    file.write_text(json.dumps(noted))
    assert command("evaluate", project / "runs/a", project / "data/labels.zarr/labels")[0] == 0
    assert read_config(project / "runs/a")["raw"] == str(project / "data/raw.zarr/raw")
    monkeypatch.chdir(project)
    assert command("evaluate", "runs/a", "data/labels.zarr/labels")[0] == 0
    moved = shutil.move(project / "runs/a", tmp_path / "b")
    code, _, err = command("retry", moved)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "this run was to be in runs/a" in err
    assert command("status", moved)[0] == 0


@pytest.mark.parametrize("how", ["alone", "with its inputs", "renamed"])
def test_a_run_that_was_moved(project, command, tmp_path, how):
    before = [task.fingerprint for task in read_run(project / "runs/a").tasks]
    pyramid(command, project / "runs/a")
    if how == "with its inputs":
        project = Path(shutil.move(project, tmp_path / "moved"))
        run = project / "runs/a"
    else:
        run = project / ("runs/b" if how == "renamed" else "b/c/d")
        run.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(project / "runs/a", run)
    assert [task.fingerprint for task in read_run(run).tasks] == before
    ask(command, run, project / "data/labels.zarr/labels", tmp_path / "out")
    assert command("ledger", "verify", run, "--repair")[0] == 0
    edit(command, run)
    stale = find_stale(run / "volumes.zarr/segmentation")
    assert set(stale) == {str(tmp_path / "out/swc/swc")}
    assert f"stale: {tmp_path / 'out/swc'}" in command("status", run)[1]


def test_of_a_run_that_was_moved_what_is_missing_is_said_in_a_line(project, command, tmp_path):
    run = shutil.move(project / "runs/a", tmp_path / "b")
    shutil.rmtree(project / "data/raw.zarr")
    for verb in ("evaluate", "view", "publish", "errors", "retry"):
        more = [project / "data/labels.zarr/labels"] if verb == "evaluate" else []
        more = [tmp_path / "out"] if verb == "publish" else more
        code, _, err = command(verb, run, *more)
        assert (code, len(err.splitlines())) == (2, 1)
        assert f"{project / 'data/raw.zarr/raw'}: the raw of the run {run} is neither here nor at " in err
    assert not (tmp_path / "out").exists()
    assert command("status", run)[0] == 0


def test_another_raw_is_not_taken_for_one_that_was_moved(project, command, tmp_path):
    moved = Path(shutil.move(project, tmp_path / "moved"))
    raw = Volume.open(moved / "data/raw.zarr/raw", "r+")
    raw.data[4, 20, 20] = 255 - raw.data[4, 20, 20]
    code, _, err = command("evaluate", moved / "runs/a", moved / "data/labels.zarr/labels")
    assert code == 2
    assert "predict is not finished with these parameters" in err


def test_a_copy_is_read_and_leaves_the_original_as_it_is(project, command, tmp_path):
    run, copy = project / "runs/a", tmp_path / "copy"
    pyramid(command, run)
    page = run / "report.html"
    assert page.is_file()
    shutil.copytree(run, copy, symlinks=True)
    assert command("evaluate", copy, project / "data/labels.zarr/labels")[0] == 0
    merge = ["edits", "add", copy, "--merge", 1, 2]
    for arguments in (["retry", copy], ["ledger", "rebuild", copy], merge, ["edits", "undo", copy, 1]):
        code, _, err = command(*arguments)
        assert (code, len(err.splitlines())) == (2, 1)
        assert f"this run was to be in {run}, and is there; this is a copy" in err
    replace = ["--overwrite", "--set", f"segment.output={copy}", "--set", "segment.components.threshold=0.3"]
    absolute = [
        f"segment.{key}={project / 'data' / name}" for key, name in (("raw", "raw.zarr/raw"), ("backbone",) * 2)
    ]
    code, _, err = command("run", "-c", project / "config.toml", *replace, "--set", absolute[0], "--set", absolute[1])
    assert code == 0, err
    assert page.is_file()
    assert (run / "volumes.zarr/segmentation.ome.zarr/1").exists()
    assert (copy / "report_stale.html").is_file()
    assert not (copy / "volumes.zarr/segmentation.ome.zarr").exists()
    assert json.loads((copy / "config.json").read_text())["resolved"]["output"] == str(copy)
    assert command("retry", copy, "--set", SERIAL)[0] == 0  # it is a run of its own now


def test_a_copy_that_shares_arrays_or_ledger_with_the_original_is_not_segmented(
    project, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(project)
    run, copy = project / "runs/a", tmp_path / "copy"
    shutil.copytree(run, copy)
    into = ["segment", "-c", "config.toml", "--set", f"segment.output={copy}"]
    ledger = ["--ledger", f"sqlite:///{tmp_path / 'shared.db'}"]
    for verb in ("segment", "predict"):
        code, _, err = command(verb, *into[1:], *ledger)
        assert (code, len(err.splitlines())) == (2, 1)
        assert f"this run was to be in {run}, and is there; this is a copy" in err
    assert not (tmp_path / "shared.db").exists()
    assert command(*into)[0] == 0
    outside = ["--set", f"segment.volumes={tmp_path / 'arrays.zarr'}"]
    assert command("segment", "-c", "config.toml", "-o", tmp_path / "b", *outside)[0] == 0
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    code, _, err = command("segment", "-c", "config.toml", "-o", tmp_path / "c", *outside)
    assert (code, f"this run was to be in {tmp_path / 'b'}" in err) == (2, True)


def test_a_run_whose_ledger_is_lost_says_what_keeps_its_outputs(project, command, monkeypatch):
    monkeypatch.chdir(project)
    run = Path("runs/a")
    (run / "ledger.db").unlink()
    before = Volume.open(run / "volumes.zarr/segmentation").read()
    code, _, err = command("segment", "-c", "config.toml")
    assert code == 0
    assert [line for line in err.splitlines() if "the ledger does not know" in line] == [
        line for line in err.splitlines() if f"`neuroadda ledger rebuild {run}`" in line
    ]
    assert err.count("the ledger does not know") == 1
    assert (Volume.open(run / "volumes.zarr/segmentation").read() == before).all()
    assert "ledger does not know" not in command("segment", "-c", "config.toml")[2]
    (run / "ledger.db").unlink()
    assert command("ledger", "rebuild", run)[0] == 0
    assert "ledger does not know" not in command("segment", "-c", "config.toml")[2]


def test_a_moved_run_is_found_in_a_ledger_that_it_shares(project, command, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    shutil.move(project / "runs/a/ledger.db", tmp_path / "shared.db")
    run = Path(shutil.move(project / "runs/a", tmp_path / "b"))
    tasks = json.loads(command("status", run, "--ledger", url, "--json")[1])
    assert {task["state"] for task in tasks} == {"finished"}
    assert {Path(task["output"]).is_relative_to(run) for task in tasks} == {True}
    assert command("evaluate", run, project / "data/labels.zarr/labels", "--ledger", url)[0] == 0


def test_an_adaptation_that_was_moved_with_its_raw_is_known(tmp_path):
    write_raw(tmp_path / "old/raw.zarr/raw", SHAPE)
    folder = tmp_path / "old/adapt"
    (folder / "backbone").mkdir(parents=True)
    (folder / "adaptation.json").write_text(json.dumps({"rounds": [{"proposals": str(folder / "round_1")}]}))
    known = {"output": str(folder), "raw": str(tmp_path / "old/raw.zarr/raw"), "labels": {"linked": True}}
    (folder / "config.json").write_text(json.dumps(known))
    shutil.move(tmp_path / "old", tmp_path / "new")
    subject = read_subject(str(tmp_path / "new/adapt"))
    assert subject["raw"] == str(tmp_path / "new/raw.zarr/raw")
    assert subject["backbone"] == str(tmp_path / "new/adapt/backbone")
    with pytest.raises(UserError, match=str(tmp_path / "new/adapt/round_1")):
        list_labelled(tmp_path / "new/adapt", Volume.open(subject["raw"]))
