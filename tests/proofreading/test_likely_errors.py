"""The queue of a run: planted errors come first, wherever blocks lie; places are in the right fragments; all formats read back."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import neuroadda as na
from neuroadda.errors import UserError
from neuroadda.proofreading.decisions import read_decisions
from neuroadda.proofreading.exports import COLUMNS, errors_state, write_skeletons, write_table
from neuroadda.proofreading.likely_errors import Queue, find_likely_errors
from neuroadda.proofreading.places import find_place
from neuroadda.segmentation.pipeline import Plan
from neuroadda.viewing.error_sheet import cut_panel, draw_sides
from neuroadda.volumes.arrays import Volume
from tests.proofreading.planted import MERGE_X, OFFSET_NM, SHAPE, SPLIT_X, VOXEL_NM, WINDOW, plant, segment_planted

LAYOUTS = (SHAPE, (8, 40, 40), (5, 30, 32), (16, 72, 11))


def to_voxels(place_nm) -> np.ndarray:
    return (np.array(place_nm) - OFFSET_NM) / VOXEL_NM


def at(volume: Volume, place_nm) -> int:
    return int(volume.data[tuple(np.floor(to_voxels(place_nm)).astype(int))])


@pytest.fixture(scope="module")
def split_run(tmp_path_factory) -> Plan:
    """A neuron in two segments; not to be written to."""
    return segment_planted(tmp_path_factory.mktemp("split"), plant(split=True, merge=False))


@pytest.fixture(scope="module")
def merge_run(tmp_path_factory) -> Plan:
    """Two neurons in one segment; not to be written to."""
    return segment_planted(tmp_path_factory.mktemp("merge"), plant(split=False, merge=True))


def test_a_neuron_in_two_segments_is_the_first_candidate(split_run):
    first = find_likely_errors(split_run, 5).errors[0]
    z, y, x = to_voxels(first.place_nm)
    assert (first.rank, first.kind, x) == (1, "merge", SPLIT_X)
    assert 0 < z < SHAPE[0]
    assert 0 < y < 35
    segmentation = Volume.open(split_run.output("relabel"))
    assert [at(segmentation, point) for point in first.points_nm] == list(first.segments)
    assert sorted(first.sizes) == [16 * 36 * (80 - SPLIT_X), 16 * 36 * SPLIT_X]


def test_two_neurons_in_one_segment_are_the_first_candidate(merge_run):
    queue = find_likely_errors(merge_run, 5)
    first = queue.errors[0]
    assert (first.rank, first.kind) == (1, "split")
    assert to_voxels(first.place_nm)[2] == pytest.approx(MERGE_X, abs=1)
    assert first.segments[0] == first.segments[1]
    assert sum(first.sizes) == 16 * 36 * 80
    fragments = Volume.open(merge_run.output("fragments"))
    assert [at(fragments, point) for point in first.points_nm] == list(first.fragments)
    sides = queue.find_sides(first, fragments.read())
    assert [int((sides == side).sum()) for side in (1, 2)] == list(first.sizes)
    left, right = (set(np.unique(part).tolist()) for part in (sides[:, 40:, :14], sides[:, 40:, 44:]))
    assert {tuple(left), tuple(right)} == {(1,), (2,)}
    assert not sides[:, :34].any()


@pytest.mark.parametrize("block_vx", LAYOUTS)
def test_planted_errors_come_first_wherever_blocks_end(tmp_path, block_vx):
    found = {}
    for kind in ("split", "merge"):
        plan = segment_planted(tmp_path / kind, plant(split=kind == "split", merge=kind == "merge"), block_vx)
        errors, again = (find_likely_errors(plan, 50).errors for _ in range(2))
        assert errors == again
        found[kind] = (errors[0].kind, pytest.approx(to_voxels(errors[0].place_nm)[2], abs=1))
    assert found == {"split": ("merge", SPLIT_X), "merge": ("split", MERGE_X)}


def test_the_place_lies_where_the_two_fragments_touch(split_run):
    fragments, grid = Volume.open(split_run.output("fragments")), split_run.task("fragments").grid
    for error in find_likely_errors(split_run, 50).errors:
        place = to_voxels(error.place_nm)
        axis = int(np.flatnonzero(place % 1 == 0)[0])  # between two voxels
        beside = [np.floor(place - shift * (np.arange(3) == axis)).astype(int) for shift in (1, 0)]
        assert {int(fragments.data[tuple(voxel)]) for voxel in beside} == set(error.fragments)
    with pytest.raises(UserError, match="do not touch, though the run's edges say so"):
        find_place(fragments, grid, 1, 10_000)


def test_no_more_than_asked_for_and_the_best_of_them(split_run):
    many = find_likely_errors(split_run, 50).errors
    assert find_likely_errors(split_run, 2).errors == many[:2]
    assert [e.gain for e in many] == sorted((e.gain for e in many), reverse=True)
    assert [e.rank for e in many] == list(range(1, len(many) + 1))


def test_one_segment_has_no_error_and_no_fragments_have_none(tmp_path):
    whole = segment_planted(tmp_path / "one", np.full((3, *SHAPE), 255, np.uint8))
    queue = find_likely_errors(whole, 10)
    assert all(error.kind == "split" and error.likelihood < 0.5 for error in queue.errors)
    empty = segment_planted(tmp_path / "none", np.zeros((3, *SHAPE), np.uint8))
    assert [error for error in find_likely_errors(empty, 10).errors if error.likelihood > 0.5] == []


def test_a_run_that_is_not_finished_is_told(tmp_path):
    plan = segment_planted(tmp_path, plant(split=True, merge=False))
    for file in plan.folder("components").glob("*.npy"):
        file.unlink()
    with pytest.raises(UserError, match="run the components stage first"):
        na.likely_errors(tmp_path / "run")
    with pytest.raises(UserError, match="1 or more"):
        na.likely_errors(tmp_path / "run", count=0)
    with pytest.raises(UserError, match="there is no run here"):
        na.likely_errors(tmp_path)


@pytest.fixture(scope="module")
def queue(split_run) -> Queue:
    return find_likely_errors(split_run, 3)


def fill(table: Path, target: Path, **answers: str) -> Path:
    """Write a table with other values in its first row."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= answers
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return target


def test_a_table_that_was_filled_in_reads_back(queue, tmp_path):
    table = write_table(queue.errors, tmp_path / "errors.csv")
    assert read_decisions(table) == []
    (decision,) = read_decisions(fill(table, tmp_path / "filled.csv", decision=" Yes", who="J. Doe"))
    first = queue.errors[0]
    said = (decision.kind, decision.ends, decision.who, decision.where)
    assert said == (first.kind, first.points_nm, "J. Doe", f"{tmp_path / 'filled.csv'}, line 2")
    assert read_decisions(fill(table, tmp_path / "no.csv", decision="no")) == []


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({"decision": "maybe"}, "line 2: the decision is 'maybe'; yes, no, or nothing"),
        ({"kind": "glia"}, "line 2: the kind is 'glia'; merge or split"),
        ({"z1": "12,5"}, "line 2: z1 is '12,5'; a place in nm"),
        ({"x2": ""}, "line 2: x2 is ''"),
        ({"y2": "inf"}, "line 2: y2 is 'inf'"),
    ],
)
def test_a_bad_line_is_named(queue, tmp_path, answers, told):
    table = write_table(queue.errors, tmp_path / "errors.csv")
    with pytest.raises(UserError) as error:
        read_decisions(fill(table, tmp_path / "bad.csv", **({"decision": "yes"} | answers)))
    assert told in str(error.value)


def test_another_table_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("rank,kind\n1,merge\n")
    with pytest.raises(UserError, match="there is no column 'decision'"):
        read_decisions(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read"):
        read_decisions(tmp_path / "b.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_decisions(tmp_path / "missing.csv")


def test_annotations_lie_over_raw(queue, split_run):
    raw = Volume.open(split_run.config.raw)
    state = errors_state(queue.errors, raw, "https://host/raw.zarr/raw")
    assert [layer["name"] for layer in state["layers"]] == ["raw", "likely merges", "likely splits"]
    line = state["layers"][1]["annotations"][0]
    scale_nm = [size * 1e9 for size, _ in state["dimensions"].values()]
    for point, place_nm in zip(("pointA", "pointB"), queue.errors[0].points_nm, strict=True):
        assert np.multiply(line[point], scale_nm) == pytest.approx(place_nm, abs=0.01)
    assert np.multiply(state["position"], scale_nm) == pytest.approx(queue.errors[0].place_nm, abs=0.01)
    assert line["id"] == "merge_1"
    alone = errors_state(queue.errors, raw)
    assert alone["layers"] == state["layers"][1:]
    assert errors_state([], raw)["layers"][0]["annotations"] == []
    with pytest.raises(UserError, match="user name or password"):
        errors_state(queue.errors, raw, "https://a:b@host/raw")


def test_skeletons_join_both_sides(queue, split_run, tmp_path):
    raw = Volume.open(split_run.config.raw)
    root = ElementTree.parse(write_skeletons(queue.errors, raw, tmp_path / "e.nml", dataset="em")).getroot()
    assert root.find("parameters/experiment").get("name") == "em"
    trees = root.findall("thing")
    assert [tree.get("name") for tree in trees] == [error.name for error in queue.errors]
    for tree, error in zip(trees, queue.errors, strict=True):
        nodes = [[int(float(node.get(axis))) for axis in "zyx"] for node in tree.findall("nodes/node")]
        places = (error.points_nm[0], error.place_nm, error.points_nm[1])
        assert nodes == [np.floor(to_voxels(place)).astype(int).tolist() for place in places]
        ids = [int(node.get("id")) for node in tree.findall("nodes/node")]
        edges = [(int(edge.get("source")), int(edge.get("target"))) for edge in tree.findall("edges/edge")]
        assert edges == [(ids[0], ids[1]), (ids[1], ids[2])]
    ids = [int(node.get("id")) for node in root.iter("node")]
    assert len(set(ids)) == len(ids)
    assert [c.get("content") for c in root.findall("comments/comment")] == [e.question for e in queue.errors]


def test_pictures_show_both_sides(queue, split_run):
    raw, fragments = Volume.open(split_run.config.raw), Volume.open(split_run.output("fragments"))
    panel = cut_panel(queue, raw, fragments, queue.errors[0])
    assert [name for name, _, _ in panel.pictures] == ["yx", "zx", "zy"]
    for _, image, _ in panel.pictures[:2]:
        assert {tuple(colour) for colour in ((0, 114, 178), (230, 120, 0))} <= set(
            map(tuple, image.reshape(-1, 3).tolist())
        )
    plain = draw_sides(np.full((300, 300), 9, np.uint8), np.zeros((300, 300), np.uint8), (150, 150))
    assert (plain[:100] == 9).all()


def test_the_command_writes_all_and_does_not_write_over_it(split_run, tmp_path, command: Callable):
    run, out = split_run.config.output, tmp_path / "out"
    code, printed, _ = command("errors", run, "-n", 2, "-o", out, "--json")
    assert code == 0
    told = json.loads(printed)
    assert [error["rank"] for error in told["errors"]] == [1, 2]
    names = {"errors.csv", "errors.html", "neuroglancer.json", "webknossos.nml"}
    assert {path.name for path in out.iterdir()} == names
    page = (out / "errors.html").read_text()
    assert page.count("<article") == 2
    assert "Are segments" in page
    fill(out / "errors.csv", out / "errors.csv", decision="yes")
    code, _, errors = command("errors", run, "-o", out)
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "errors.csv: it exists already" in errors
    assert len(read_decisions(out / "errors.csv")) == 1
    code, printed, _ = command("errors", run, "-o", out, "--overwrite")
    assert code == 0
    assert "merge" in printed
    code, _, errors = command("errors", run, "-o", tmp_path / "other", "--url", "ftp://host")
    assert (code, (tmp_path / "other").exists()) == (2, False)
    assert command("errors", tmp_path / "nothing")[0] == 2
    (tmp_path / "file").write_text("kept")
    code, _, errors = command("errors", run, "-o", tmp_path / "file")
    assert (code, errors) == (
        2,
        f"neuroadda: {tmp_path}/file: this is a file, where a folder is needed; give another place\n",
    )
    assert command("errors", run, "-n", 0)[0] == 2


def test_a_window_of_the_planted_merge_is_a_hole():
    """The planted errors are where the tests say."""
    affs = plant(split=False, merge=True)
    assert affs[(2, *WINDOW)].min() > 0
    assert affs[2, 0, 71, MERGE_X] == 0
