"""The way of a correction: an error of the queue is answered, added, applied, and asked no more; an undo asks again."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from neuroadda.proofreading.likely_errors import LikelyError, find_likely_errors
from neuroadda.segmentation.edited_fragments import find_fragment
from neuroadda.segmentation.recovery import read_run
from neuroadda.volumes.arrays import Volume
from tests.proofreading.planted import plant, segment_planted


def answer(table: Path, *answers: str) -> None:
    """Write answers into the first rows of a queue's table."""
    with table.open(newline="") as file:
        header, *rows = csv.reader(file)
    for row, said in zip(rows, answers, strict=False):
        row[header.index("decision")] = said
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def ask(run: str) -> list[LikelyError]:
    return find_likely_errors(read_run(run), 50).errors


@pytest.mark.system
@pytest.mark.parametrize("kind", ["merge", "split"])
def test_an_error_that_is_answered_with_yes_is_corrected_and_asked_no_more(tmp_path, kind, command: Callable):
    plan = segment_planted(tmp_path, plant(split=kind == "merge", merge=kind == "split"))
    run, table = plan.config.output, Path(plan.config.output) / "errors/errors.csv"
    segmentation = Volume.open(plan.output("relabel"))
    before, first = segmentation.read(), ask(run)[0]
    assert first.kind == kind

    def are_one() -> bool:
        ends = [find_fragment(Volume.open(segmentation.path), point, "here") for point in first.points_nm]
        return ends[0] == ends[1]

    code, printed, _ = command("errors", run)
    assert code == 0
    assert printed.splitlines()[-1].endswith(f"neuroadda edits add {run} --csv {table}")
    code, printed, _ = command("edits", "add", run, "--csv", table)
    assert (code, printed.splitlines()) == (0, ["no row says yes", "no edits"])
    answer(table, "yes", "no")
    code, printed, _ = command("edits", "add", run, "--csv", table, "--who", "ann", "--json")
    (edit,) = json.loads(printed)
    assert (edit["kind"], edit["who"]) == (kind, "ann")
    assert {edit["fragment 1"], edit["fragment 2"]} == set(first.fragments)
    assert are_one() == (kind == "split")
    assert command("edits", "apply", run)[0] == 0
    assert are_one() == (kind == "merge")
    assert set(first.fragments) not in [set(error.fragments) for error in ask(run)]
    assert command("edits", "undo", run, 1)[0] == 0
    assert command("edits", "apply", run)[0] == 0
    assert (Volume.open(segmentation.path).read() == before).all()
    assert ask(run)[0] == first
