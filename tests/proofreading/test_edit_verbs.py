"""`neuroadda edits`: tables, what is printed, and exit codes."""

import json
from pathlib import Path

import numpy as np
import pytest

from neuroadda.config import dump_config
from neuroadda.errors import UserError
from neuroadda.evaluation.measure import measure_plan
from neuroadda.proofreading.decisions import read_decisions
from neuroadda.quality.change import KeyNumbers
from neuroadda.quality.measure import inspect_plan
from neuroadda.segmentation.edit_journal import JOURNAL
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.segmentation.recovery import read_run
from neuroadda.segmentation.taken_edits import count_edits
from neuroadda.viewing.run_report import report_plan
from neuroadda.volumes.arrays import Volume
from tests.proofreading.test_edited_runs import SHAPE, Run, configure
from tests.segmentation.synthetic import write_backbone, write_raw

POINTS = "decision,kind,z1,y1,x1,z2,y2,x2"
FRAGMENTS = "decision,kind,fragment_1,fragment_2"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("verbs")
    write_raw(folder / "raw.zarr/raw", SHAPE)
    write_backbone(folder / "backbone")
    return Run(configure(folder, folder / "run"))


@pytest.fixture(autouse=True)
def clean(request) -> None:
    if "run" in request.fixturenames:
        (request.getfixturevalue("run").folder / JOURNAL).unlink(missing_ok=True)


def text(point) -> str:
    return ",".join(map(str, point))


def table(folder: Path, *lines: str) -> Path:
    path = folder / "edits.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_person_decides_looks_and_applies(run, command):
    a, b = run.pair(together=False)
    c, d = run.pair(together=True)
    add = ("edits", "add", run.folder)
    code, out, err = command(*add, "--merge", text(run.point(a)), text(run.point(b)), "--who", "ann")
    assert (code, err) == (0, "")
    assert f"1\tmerge\t{a}\t{b}\t" in out
    assert "\tann\t" in out
    advice = f"not applied yet: `neuroadda edits apply {run.folder}` makes the segmentation"
    *_, row, last = out.splitlines()
    assert row.endswith("added")
    assert last == f"1 edit, 0 undone, {advice}"
    code, out, _ = command(*add, "--split", c, d, "--json")
    assert (code, json.loads(out)[0]["fragment 1"], json.loads(out)[0]["state"]) == (0, c, "added")
    assert command(*add, "--split", d, c)[1].splitlines()[-2].endswith("known")
    code, out, _ = command("edits", "list", run.folder)
    assert (code, out.splitlines()[-1]) == (0, f"2 edits, 0 undone, {advice}")
    assert f"proofreading: 2 edits, 0 undone, {advice}" in command("status", run.folder)[1]
    assert command("edits", "check", run.folder)[:2] == (0, "no conflicts\n")
    code, out, _ = command("edits", "apply", run.folder)
    assert (code, out.rstrip()) == (0, str(run.plan.output("relabel")))
    assert run.segment_of(a) == run.segment_of(b)
    assert run.segment_of(c) != run.segment_of(d)
    assert "proofreading: 2 edits, 0 undone, applied\n" in command("status", run.folder)[1]
    tasks = json.loads(command("status", run.folder, "--json")[1])
    assert {task["stage"]: task["edits"] for task in tasks if task["edits"]} == {
        "components": {"edits": 2, "undone": 0, "applied": True}
    }
    code, out, _ = command("edits", "undo", run.folder, 1, "--who", "bob")
    assert (code, out[:19]) == (0, "undone: merge 1 (an")
    assert out.splitlines()[-1] == f"2 edits, 1 undone, {advice}"
    assert command("edits", "list", run.folder)[1].splitlines()[-1] == f"2 edits, 1 undone, {advice}"
    page = write_report(run)
    assert "Proofreading: 2 edits, 1 undone, not applied yet" in page.read_text()


def write_report(run: Run) -> Path:
    measured, inspected = measure_plan(read_run(run.folder), None), inspect_plan(run.plan)
    summary = {"fingerprint": "f", **measured.to_data(), "quality": dump_config(inspected.quality)}
    now = KeyNumbers.of(summary)
    return report_plan(run.folder / "r.html", "t", run.plan, measured, inspected=inspected, before=None, now=now)


def test_contradictions_end_with_exit_code_2_and_name_both(run, command):
    a, b = run.pair(together=False)
    command("edits", "add", run.folder, "--merge", a, b, "--who", "ann")
    code, _, err = command("edits", "add", run.folder, "--split", a, b, "--who", "bob")
    assert code == 0
    assert "neuroadda: warning:" in err
    assert "split 2 (bob, " in err
    assert "contradicts merge 1 (ann, " in err
    for verb in ("check", "apply"):
        code, out, err = command("edits", verb, run.folder)
        assert code == 2
        assert "split 2 (bob, " in out + err
        assert "contradicts merge 1 (ann, " in out + err
        assert len((out + err).splitlines()) == 1
    found = json.loads(command("edits", "check", run.folder, "--json")[1])
    assert [(c["split"]["id"], [m["who"] for m in c["merges"]]) for c in found["conflicts"]] == [(2, ["ann"])]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--merge", "1,2,x", "3,4,5"], "--merge: '1,2,x' is neither a point nor an id"),
        (["--merge", "1,2", "3,4,5"], "--merge: '1,2' is neither"),
        (["--split", "1,2,3", "7"], "--split: one end is a point, and the other an id"),
        (["--split", "-1,2,3", "1,2,3"], "--split: the point -1,2,3 is outside"),
        ([], "one thing is added at a time"),
        (["--merge", "1", "2", "--split", "1", "2"], "one thing is added at a time"),
        (["--csv", "nowhere.csv"], "nowhere.csv: the table cannot be read"),
    ],
)
def test_wrong_arguments_are_one_line(run, arguments, told, command):
    code, out, err = command("edits", "add", run.folder, *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1
    assert not (run.folder / JOURNAL).exists()


def test_a_table_is_added_as_a_whole_or_not_at_all(run, tmp_path, command):
    a, b = run.pair(together=False)
    c, d = run.pair(together=True)
    good = f"yes,merge,{text(run.point(a))},{text(run.point(b))},ann"
    split = f"yes,split,{text(run.point(c))},{text(run.point(d))},"
    path = table(tmp_path, POINTS + ",who", good, split, f"yes,merge,{text(run.point(a))},0,0,0,")
    code, _, err = command("edits", "add", run.folder, "--csv", path)
    assert (code, count_edits(run.folder)) == (2, None)
    assert f"{path}, line 4: the point 0,0,0 is outside" in err
    path = table(tmp_path, POINTS + ",who", good, split)
    code, out, err = command("edits", "add", run.folder, "--csv", path, "--who", "bob", "--json")
    assert (code, err) == (0, "")
    assert [(e["kind"], e["who"], e["state"]) for e in json.loads(out)] == [
        ("merge", "ann", "added"), ("split", "bob", "added"),
    ]  # fmt: skip
    again = json.loads(command("edits", "add", run.folder, "--csv", path, "--json")[1])  # such as after a kill
    assert [e["state"] for e in again] == ["known", "known"]


def test_points_in_other_fragments_than_the_row_names_are_refused(run, tmp_path, command):
    a, b = run.pair(together=False)
    points, turned = (",".join(text(run.point(id_)[::step]) for id_ in (a, b)) for step in (1, -1))
    header = f"{POINTS},fragment_1,fragment_2"
    path = table(tmp_path, header, f"yes,merge,{turned},{a},{b}")
    assert command("edits", "add", run.folder, "--csv", path)[0] == 2
    path = table(tmp_path, header, f"yes,merge,{points},{a},{b + 1}")
    code, _, err = command("edits", "add", run.folder, "--csv", path)
    assert (code, count_edits(run.folder)) == (2, None)
    told = f"line 2: its points lie in fragments {a} and {b}, and it names {a} and {b + 1}; give z, y, x in nm"
    assert told in err
    path = table(tmp_path, header, f"yes,merge,{points},{b},{a}")
    assert command("edits", "add", run.folder, "--csv", path)[0] == 0


def test_a_queue_with_decisions_is_a_table(tmp_path):
    header = "rank,decision,kind,z1,y1,x1,z2,y2,x2,who,score,fragment_1,fragment_2"
    path = table(
        tmp_path,
        header,
        "1,yes,merge,1,2,3,4,5,6,ann,0.4,7,8",
        "2,,split,1,2,3,4,5,6,,0.1,7,8",
        "3,No,split,1,2,3,4,5,6,,0.1,7,8",
    )
    (edit,) = read_decisions(path)
    assert (edit.kind, edit.ends, edit.who, edit.where) == ("merge", ((1, 2, 3), (4, 5, 6)), "ann", f"{path}, line 2")
    assert edit.named == (7, 8)


def test_tables_by_fragments_with_spaces_quotes_crlf_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "edits.csv"
    lines = (
        "fragment_2, kind ,who,fragment_1,decision",
        ' 9,Merge,"Ann, of the lab",7,Yes',
        "",
        "4294967297, split,,8,yes",
    )
    path.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    found = read_decisions(path)
    assert [(e.kind, e.ends, e.who, e.where[-6:]) for e in found] == [
        ("merge", (7, 9), "Ann, of the lab", "line 2"), ("split", (8, 2**32 + 1), None, "line 4"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["decision,kind,z1,y1,x1,z2,y2", "yes,merge,1,2,3,4,5"], "line 1: there is no column 'x2'"),
        (["decision,what,fragment_1,fragment_2"], "line 1: there is no column 'kind'"),
        (["decision,kind,fragment_1"], "line 1: there is no column 'fragment_2'"),
        (["kind,fragment_1,fragment_2", "merge,7,8"], "line 1: there is no column 'decision'"),
        ([POINTS.replace(",", ";")], "line 1: there is no column 'decision'; columns decision, kind"),
        ([""], "line 1: there is no column 'decision'"),
        ([FRAGMENTS + ",kind"], "line 1: there are two columns 'kind'"),
        ([FRAGMENTS + ",who,who"], "line 1: there are two columns 'who'"),
        ([POINTS, "yes,merge,1,2,3,4,5,6", "yes,join,1,2,3,4,5,6"], "line 3: the kind is 'join'; merge or split"),
        ([POINTS, "yes,merge,1,2,3,4,5,six"], "line 2: x2 is 'six'; a place in nm"),
        ([POINTS, ",merge,1,,3,4,5,6"], "line 2: y1 is ''; a place in nm"),
        ([POINTS, "yes,merge,1,2,3,4,5"], "line 2: there are 7 values, and 8 columns"),
        ([POINTS, 'yes,"merge,1,2,3,4,5,6'], "this is no CSV"),
        ([FRAGMENTS, "yes,merge,7,-8"], "line 2: fragment_2 is '-8'; the id of a fragment"),
        ([FRAGMENTS, "yes,merge,7.0,8"], "line 2: fragment_1 is '7.0'; the id of a fragment"),
        ([FRAGMENTS, "maybe,merge,7,8"], "line 2: the decision is 'maybe'; yes, no, or nothing"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_by_its_line(tmp_path, lines, told):
    path = table(tmp_path, *lines)
    with pytest.raises(UserError) as error:
        read_decisions(path)
    assert str(error.value).startswith(str(path))
    assert told in str(error.value)


def test_a_report_without_edits_says_nothing_of_them(run, command):
    segment_volume(run.config)
    page = write_report(run)
    assert "Proofreading" not in page.read_text()
    assert "proofreading" not in command("status", run.folder)[1]
    assert command("edits", "list", run.folder)[:2] == (0, "no edits\n")


def test_a_line_that_was_cut_short_is_told(run, command):
    a, b = run.pair(together=False)
    command("edits", "add", run.folder, "--merge", a, b)
    with open(run.folder / JOURNAL, "a") as file:
        file.write('{"id": 2, "kind": "mer')
    code, out, err = command("edits", "list", run.folder)
    assert code == 0
    assert out.splitlines()[-1].startswith("1 edit, 0 undone, not applied yet: `neuroadda edits apply ")
    assert "the last line is cut short" in err


def test_points_of_a_volume_are_those_of_its_voxels(run):
    """Every voxel of a block's corner finds its own fragment."""
    from neuroadda.segmentation.edited_fragments import find_fragment

    fragments = Volume.open(run.plan.output("fragments"))
    size, offset = np.array(fragments.voxel_size_nm), np.array(fragments.offset_nm)
    for place in ((0, 0, 0), (3, 19, 31), (4, 20, 32), (11, 59, 63)):
        for within in (0.0, 0.4999, 0.9999):
            point = tuple(((np.array(place) + within) * size + offset).tolist())
            assert find_fragment(fragments, point, "here") == run.ids[place]
