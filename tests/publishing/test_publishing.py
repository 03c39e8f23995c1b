"""Whole runs: every format, killed and resumed, by any number of workers, stale outputs, the command, the public function."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuroadda as na
from neuroadda.blockwise.execution_config import Execution
from neuroadda.errors import UserError, collect_warnings
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, segment_volume
from neuroadda.segmentation.settings import Threshold
from neuroadda.viewing.viewer.view import find_view
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import find_stale
from tests.holding import hold_writes
from tests.publishing import shapes
from tests.publishing.killing import publish_until_killed
from tests.publishing.test_precomputed import read_scale
from tests.segmentation.synthetic import write_backbone, write_raw
from tests.waiting import Gate, descendants, wait_until, wait_until_gone

for package in ("tensorstore", "zmesh", "pyarrow", "trimesh"):
    pytest.importorskip(package, reason=f"{package} is not installed (pip install neuroadda[publish])")
SHAPE = (16, 72, 80)
EVERYTHING = {"to": ("precomputed", "parquet", "ply", "swc"), "affs": True, "skeletons": True}
SMALL = {"min_size": 200, "chunk_vx": (8, 16, 16), "block_vx": (8, 32, 32), "fit_vx": 32, "shard_above": 40}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    write_backbone(tmp_path / "backbone")
    write_raw(tmp_path / "raw.zarr/raw", SHAPE)
    return segment_volume(make_config(tmp_path))


def make_config(tmp_path: Path, **options) -> SegmentConfig:
    return SegmentConfig(
        raw=str(tmp_path / "raw.zarr/raw"),
        backbone=str(tmp_path / "backbone"),
        output=str(tmp_path / "run"),
        block_vx=(8, 40, 40),
        fragments=Fragments(seed_distance_vx=4, boundary=0.5),
        components=Threshold(threshold=options.pop("threshold", 0.15)),
        execution=shapes.SERIAL,
        **options,
    )


def publish(plan: Plan, output: Path, overwrite=False, **options) -> Path:
    given = {"run": plan.config.output, "output": str(output), "execution": shapes.SERIAL} | EVERYTHING | SMALL
    return publish_run(PublishConfig(**(given | options)), overwrite=overwrite)


def test_a_run_in_every_format(plan, tmp_path):
    import pyarrow.parquet as parquet

    out = publish(plan, tmp_path / "out")
    segmentation, raw, affs = (
        Volume.open(place) for place in (plan.output("relabel"), plan.config.raw, plan.output("predict"))
    )
    for name, volume in (("segmentation", segmentation), ("raw", raw), ("affs", affs)):
        found, begin = read_scale(out / "precomputed" / name)
        assert np.array_equal(found if volume.channels else found[0], volume.read())
        assert np.allclose(np.array(begin) * volume.voxel_size_nm, volume.offset_nm)
    ids, voxels = np.unique(segmentation.read(), return_counts=True)
    large = {int(i) for i, n in zip(ids, voxels, strict=True) if i and n >= 200}
    assert large
    assert {int(p.stem) for p in (out / "ply").glob("*.ply")} == large
    assert {int(p.stem) for p in (out / "swc").glob("*.swc")} == large
    assert {int(p.name[:-2]) for p in (out / "precomputed/segmentation/mesh").glob("*:0")} == large
    info = json.loads((out / "precomputed/segmentation/info").read_text())
    assert (info["mesh"], info["skeletons"], info["segment_properties"]) == ("mesh", "skeletons", "segment_properties")
    fragments = parquet.read_table(out / "parquet/fragments").to_pydict()
    edges = parquet.read_table(out / "parquet/edges").to_pydict()
    of_fragments = Volume.open(plan.output("fragments")).read()
    known, counts = np.unique(of_fragments[of_fragments > 0], return_counts=True)
    assert dict(zip(fragments["fragment"], fragments["voxels"], strict=True)) == dict(
        zip(known.tolist(), counts.tolist(), strict=True)
    )
    segment_of = dict(zip(fragments["fragment"], fragments["segment"], strict=True))
    table = np.array([segment_of.get(int(i), 0) for i in (0, *known.tolist())], np.uint64)
    assert np.array_equal(table[np.searchsorted(np.r_[0, known], of_fragments)], segmentation.read())
    assert len(edges["score"]) > 0
    assert all(0 <= score <= 1 for score in edges["score"])
    for side in "ab":
        pairs = zip(edges[f"fragment_{side}"], edges[f"segment_{side}"], strict=True)
        assert all(segment_of[fragment] == segment for fragment, segment in pairs)


@pytest.mark.system
def test_any_number_of_workers_and_a_second_time_give_the_same_files(plan, tmp_path):
    first = shapes.list_files(publish(plan, tmp_path / "a"))
    second = shapes.list_files(publish(plan, tmp_path / "b", execution=Execution(workers=3)))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.mesh")}
    publish(plan, tmp_path / "a")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.mesh")}


@pytest.mark.system
@pytest.mark.parametrize(
    ("module", "function", "limit"),
    [
        ("scale_stage", "downsample", 30),
        ("meshes", "mesh_voxels", 5),
        ("meshes", "simplify_part", 5),
        ("meshes", "simplify_near", 2),
        ("skeletons", "trace", 2),
    ],
)
def test_a_killed_publication_goes_on_to_the_same_files(plan, tmp_path, module, function, limit):
    expected = shapes.list_files(publish(plan, tmp_path / "whole"))
    given = (
        {"run": plan.config.output, "output": str(tmp_path / "out"), "execution": shapes.SERIAL} | EVERYTHING | SMALL
    )
    config = PublishConfig(**given)
    publish_until_killed(config, module, function, limit)
    started = tmp_path / "out/precomputed/segmentation"
    assert not (started / "info").exists()  # nothing is taken for whole
    publish_run(config)
    found = shapes.list_files(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.system
@pytest.mark.parametrize("held", [".run/mesh_pieces", "precomputed/segmentation/mesh"])
def test_a_publication_that_is_killed_while_its_workers_write_goes_on_to_the_same_files(plan, tmp_path, held):
    expected = shapes.list_files(publish(plan, tmp_path / "whole"))
    out, gate = tmp_path / "out", Gate(tmp_path / "gate")
    given = {"run": plan.config.output, "output": str(out), **EVERYTHING, **SMALL}
    config = PublishConfig(execution=Execution(workers=2), **given)
    code = "import sys; from tests.publishing.test_publishing import *; publish_run(PublishConfig.model_validate_json(sys.argv[1]))"
    gate.allow(2)
    process = subprocess.Popen(
        [sys.executable, "-c", code, config.model_dump_json()],
        cwd=Path(na.__file__).parents[1],
        env=hold_writes(out / held, gate),
        start_new_session=True,
    )
    wait_until(lambda: gate.passed == 2 and gate.held, process)
    family = descendants(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_until_gone(family)
    assert not (out / "precomputed/segmentation/info").exists()  # no reader takes an unfinished volume for whole
    publish(plan, out)
    found = shapes.list_files(out)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def test_deleted_files_are_written_again(plan, tmp_path):
    out = publish(plan, tmp_path / "out")
    expected = shapes.list_files(out)
    for pattern in (
        "precomputed/segmentation/*_*_*/*-*",
        "precomputed/segmentation/mesh/*.mesh",
        "precomputed/segmentation/mesh/info",
        "precomputed/segmentation/skeletons/info",
        "swc/*.swc",
        "parquet/edges/*",
    ):
        sorted(out.glob(pattern))[0].unlink()
    for path in (out / "precomputed").rglob("*.shard"):
        path.unlink()
    publish(plan, out)
    assert shapes.list_files(out) == expected


def test_another_segmentation_is_refused_and_named_as_stale(plan, tmp_path):
    out = publish(plan, tmp_path / "out", to=("parquet",))
    publish(plan, out, to=("precomputed",))
    assert not find_stale(plan.output("relabel"))
    again = segment_volume(make_config(tmp_path, threshold=0.6), overwrite=True)
    assert set(find_stale(again.output("relabel"))) == {str(out / "parquet"), str(out / "precomputed")}
    with collect_warnings() as warnings:
        find_view([out])
    assert any("what is shown was published before that" in what for what, _ in warnings)
    with pytest.raises(UserError, match="made with other parameters or inputs"):
        publish(again, out, to=("precomputed",))
    publish(again, out, to=("precomputed",), overwrite=True)
    found, _ = read_scale(out / "precomputed/segmentation")
    assert np.array_equal(found[0], Volume.open(again.output("relabel")).read())
    (where, told), *others = find_stale(again.output("relabel")).items()  # a format that was not made again stays stale
    assert (where, others) == (str(out / "parquet"), [])
    assert f"{out} --to parquet " in told
    publish(again, out, to=("parquet",), overwrite=True)
    assert not find_stale(again.output("relabel"))
    with collect_warnings() as warnings:
        find_view([out])
    assert not warnings
    fresh = publish(again, tmp_path / "fresh", to=("precomputed", "parquet"))
    assert shapes.list_files(out) == shapes.list_files(fresh)


def test_two_runs_are_not_published_into_one_folder(plan, tmp_path):
    out = publish(plan, tmp_path / "out", to=("ply",))
    write_raw(tmp_path / "other.zarr/raw", SHAPE, seed=5)
    config = make_config(tmp_path).model_copy(
        update={"raw": str(tmp_path / "other.zarr/raw"), "output": str(tmp_path / "other")}
    )
    other = segment_volume(config)
    before = shapes.list_files(out)
    with pytest.raises(UserError, match=f"ply in it is of another segmentation, {plan.output('relabel')}"):
        publish(other, out, to=("parquet",))
    assert shapes.list_files(out) == before
    publish(other, out, to=("ply",), overwrite=True)
    publish(other, out, to=("parquet",))


def test_the_command_that_is_advised_makes_a_stale_format_again(plan, tmp_path, command):
    largest = int(np.bincount(Volume.open(plan.output("relabel")).read().ravel())[1:].argmax()) + 1
    out = publish(plan, tmp_path / "out", to=("ply", "parquet"), ids=(largest,))
    again = segment_volume(make_config(tmp_path, threshold=0.6), overwrite=True)
    stale = find_stale(again.output("relabel"))
    of_ply, of_parquet = (stale[str(out / name)].split("`")[1] for name in ("ply", "parquet"))
    assert f"--ids {largest} " in of_ply
    assert "--set chunk_vx=[8,16,16] " in of_ply
    assert "--skeletons" not in of_ply
    code, _, told = command(*shlex.split(of_parquet)[1:])
    assert code == 0, told
    assert list(find_stale(again.output("relabel"))) == [str(out / "ply")]


def test_a_run_that_is_made_again_while_it_is_published_is_told(plan, tmp_path):
    out, again, given = tmp_path / "out", [], {"run": plan.config.output, "output": str(tmp_path / "out")}

    def segment_again(task, _) -> None:
        if task.name == "measure_segments" and not again:
            again.append(segment_volume(make_config(tmp_path, threshold=0.6), overwrite=True))

    config = PublishConfig(**given, execution=shapes.SERIAL, to=("precomputed",), **SMALL)
    with pytest.raises(UserError, match="made again while it was published"):
        publish_run(config, observe=segment_again)
    assert not (out / "precomputed/segmentation/info").exists()
    assert not (out / ".run/parts").exists()  # made of either
    segment_volume(make_config(tmp_path), overwrite=True)
    publish_run(config)  # the segmentation is as it was first
    fresh = publish_run(config.model_copy(update={"output": str(tmp_path / "fresh")}))
    assert shapes.list_files(out) == shapes.list_files(fresh)


def test_an_unfinished_run_is_refused(tmp_path):
    write_backbone(tmp_path / "backbone")
    write_raw(tmp_path / "raw.zarr/raw", SHAPE)
    begun = segment_volume(make_config(tmp_path), upto="fragments")
    with pytest.raises(UserError):
        publish(begun, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_public_function_and_the_command(plan, tmp_path, command):
    out = na.publish(plan.config.output, tmp_path / "api", to=["parquet", "swc"], min_size=200, workers=1)
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == ["parquet", "swc"]
    with pytest.raises(UserError, match=r"publish\.to"):
        na.publish(plan.config.output, tmp_path / "none.h5", ids=[1])
    largest = max(out.glob("swc/*.swc"), key=lambda path: path.stat().st_size).stem
    code, printed, told = command("publish", plan.config.output, tmp_path / "cli", "--to", "ply", "--ids", largest)
    assert (code, printed.strip()) == (0, str(tmp_path / "cli")), told
    assert [path.name for path in (tmp_path / "cli/ply").glob("*.ply")] == [f"{largest}.ply"]
    for arguments, message in (
        (("--to", "webp"), "'webp' is no format"),
        (("--ids", "1,x"), "no list of ids"),
        (("--min-size", "0"), "min-size"),
        (("--set", "chunk_vx=[0,8,8]"), "chunk_vx"),
    ):
        code, _, told = command("publish", plan.config.output, tmp_path / "no", *arguments)
        assert code == 2
        assert message in told
        assert not (tmp_path / "no").exists()
    code, _, told = command("publish", plan.config.output, tmp_path / "no", "--ids", f"{largest},987654321")
    assert code == 2
    assert "no segment 987654321" in told
    assert not (tmp_path / "no/precomputed").exists()


@pytest.mark.parametrize(("package", "to"), [("zmesh", "ply"), ("pyarrow", "parquet"), ("tensorstore", "precomputed")])
def test_a_missing_package_is_named(plan, tmp_path, monkeypatch, package, to):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else real(name, *more))
    with pytest.raises(UserError, match=rf"{package} is missing; pip install neuroadda\[publish\]"):
        publish(plan, tmp_path / "out", to=(to,))
    assert not (tmp_path / "out").exists()
