"""The file of a run's edits: nothing that was acknowledged is lost, nothing is misread."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.errors import UserError
from neuroadda.segmentation.conflicts import find_conflicts, refuse_conflicts
from neuroadda.segmentation.edit_journal import JOURNAL, Journal, append
from neuroadda.segmentation.edits import Edit, Edits, Undo
from tests.waiting import wait_until

WHEN = "2026-11-29T03:22:44Z"


def edit(id: int, kind: str = "merge", fragments=(1, 2), who: str = "ann", **more) -> Edit:
    return Edit(id=id, kind=kind, fragments=fragments, made_of="f", who=who, when=WHEN, **more)


def add(run: Path, *fragments, kind: str = "merge", who: str = "ann") -> None:
    append(run, lambda journal: [edit(journal.next_id + n, kind, pair, who) for n, pair in enumerate(fragments)])


def test_what_is_added_is_read_and_an_undo_takes_one_out_of_force(tmp_path):
    point = ((1.5, 2.0, -3.0), (4.0, 5.0, 6.0))
    append(tmp_path, lambda journal: [edit(1, "split", (3, 2**62), points=point)])
    add(tmp_path, (4, 5), (6, 7))
    before = (tmp_path / JOURNAL).read_bytes()
    append(tmp_path, lambda journal: [Undo(undo=2, who="bob", when=WHEN)])
    journal = Journal.read(tmp_path)
    assert journal.edits[1] == edit(1, "split", (3, 2**62), points=point)
    assert [one.id for one in journal.in_force] == [1, 3]
    assert journal.undone[2].who == "bob"
    assert (tmp_path / JOURNAL).read_bytes().startswith(before)


@pytest.mark.parametrize("kept", range(1, 120, 7))
def test_a_part_of_a_line_is_told_left_out_and_gone_with_the_next_line(tmp_path, kept):
    add(tmp_path, (1, 2), (3, 4))
    whole = (tmp_path / JOURNAL).read_bytes()
    torn = whole + whole.splitlines(keepends=True)[0].replace(b'"id": 1', b'"id": 3')[:kept]
    (tmp_path / JOURNAL).write_bytes(torn)
    journal = Journal.read(tmp_path)
    assert journal.torn
    assert list(journal.edits) == [1, 2]
    add(tmp_path, (5, 6))
    assert (tmp_path / JOURNAL).read_bytes().startswith(whole)
    journal = Journal.read(tmp_path)
    assert [one.fragments for one in journal.in_force] == [(1, 2), (3, 4), (5, 6)]
    assert not journal.torn


def test_a_whole_line_that_lacks_its_end_counts(tmp_path):
    add(tmp_path, (1, 2), (3, 4))
    (tmp_path / JOURNAL).write_bytes((tmp_path / JOURNAL).read_bytes()[:-1])
    assert [len(Journal.read(tmp_path).edits), Journal.read(tmp_path).torn] == [2, False]
    add(tmp_path, (5, 6))
    assert [one.fragments for one in Journal.read(tmp_path).in_force] == [(1, 2), (3, 4), (5, 6)]


def line(**other) -> str:
    return json.dumps({"id": 2, "kind": "merge", "fragments": [1, 2], "made_of": "f", "who": "a", "when": "b"} | other)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "line 2: this is no line of edits"),
        ('{"undo": 7, "who": "a", "when": "b"}', "line 2: there is no edit 7 to undo"),
        (line(id=5), "edit 5 stands where 2"),
        (line(kind="merg"), "line 2: kind should be"),
        ("7", "line 2"),
    ],
)  # fmt: skip
def test_a_line_that_is_something_else_is_refused_by_its_number(tmp_path, text, what):
    add(tmp_path, (1, 2))
    with open(tmp_path / JOURNAL, "a") as file:
        file.write(text + "\n")
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(UserError, match=what):
        Journal.read(tmp_path)
    with pytest.raises(UserError, match=what):
        add(tmp_path, (3, 4))
    assert (tmp_path / JOURNAL).read_bytes() == before


WRITER = """
import sys
from pathlib import Path
from tests.segmentation.test_edits import add
run, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(1, count + 1):
    add(run, (number, number + 1), who=who)
    print(number, flush=True)
"""


def start_writer(run: Path, who: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(run), who, str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def start(*writers: subprocess.Popen) -> None:
    for process in writers:
        process.stdin.write("go\n")
        process.stdin.flush()


def test_two_writers_do_not_mix_their_lines(tmp_path):
    writers = [start_writer(tmp_path, who, 60) for who in ("ann", "bob")]
    start(*writers)
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    journal = Journal.read(tmp_path)
    assert list(journal.edits) == list(range(1, 121))
    for who in ("ann", "bob"):
        assert [one.fragments[0] for one in journal.in_force if one.who == who] == list(range(1, 61))


def test_a_killed_writer_loses_nothing_that_it_has_acknowledged(tmp_path):
    process = start_writer(tmp_path, "ann", 10**6)
    start(process)
    wait_until(lambda: (tmp_path / JOURNAL).exists() and (tmp_path / JOURNAL).stat().st_size > 4000, process)
    process.kill()
    acknowledged = process.communicate()[0].split()
    journal = Journal.read(tmp_path)
    assert len(acknowledged) > 10
    assert len(journal.edits) in (len(acknowledged), len(acknowledged) + 1)
    assert [one.fragments[0] for one in journal.in_force] == list(range(1, len(journal.edits) + 1))
    add(tmp_path, (8, 9))  # nor does its lock stay


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.segmentation.test_edits import add
write = os.write
def write_a_part(file, data):
    write(file, bytes(data)[:50])
    os.kill(os.getpid(), signal.SIGKILL)
os.write = write_a_part
add(Path(sys.argv[1]), (5, 6), (7, 8))
"""


def test_a_writer_killed_in_the_middle_of_a_line_leaves_what_was_there(tmp_path):
    add(tmp_path, (1, 2), (3, 4))
    before = (tmp_path / JOURNAL).read_bytes()
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)]).returncode == -signal.SIGKILL
    assert len((tmp_path / JOURNAL).read_bytes()) == len(before) + 50
    assert Journal.read(tmp_path).torn
    add(tmp_path, (5, 6), (7, 8))
    assert [one.fragments for one in Journal.read(tmp_path).in_force] == [(1, 2), (3, 4), (5, 6), (7, 8)]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    add(tmp_path, (1, 2))
    before, write = (tmp_path / JOURNAL).read_bytes(), os.write

    def write_a_part(file, data):
        if len(data) < 60:
            raise OSError(28, "No space left on device")
        return write(file, bytes(data)[:50])

    monkeypatch.setattr(os, "write", write_a_part)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        add(tmp_path, (3, 4))
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_what_decides_is_what_is_in_force_not_who_when_or_in_which_order():
    first = Edits(edits=(edit(1, "merge", (1, 2)), edit(2, "split", (3, 4))))
    other = Edits(edits=(edit(1, "split", (4, 3), "bob"), edit(5, "merge", (2, 1)), edit(6, "merge", (1, 2))))
    assert first.digest("f") == other.digest("f")
    for different in ((edit(1, "split", (1, 2)), edit(2, "split", (3, 4))), (edit(1, "merge", (1, 2)),)):
        assert Edits(edits=different).digest("f") != first.digest("f")


def test_stale_edits_are_known_by_their_points():
    points = ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    stale = [Edits(edits=(edit(1, "merge", ids, points=points),)) for ids in ((1, 2), (8, 9))]
    assert stale[0].digest("others") == stale[1].digest("others") != stale[0].digest("f")
    stale[0].check_fresh("others")
    with pytest.raises(
        UserError, match=r"merge 1 \(ann, 2026.*is stale: its fragments 1 and 2 were made again.*no points"
    ):
        Edits(edits=(edit(1),)).check_fresh("others")


def test_a_conflict_names_the_split_and_the_shortest_chain_of_merges():
    edits = [
        edit(1, "merge", (1, 2)), edit(2, "merge", (2, 3), "bob"), edit(3, "merge", (3, 4)), edit(4, "merge", (1, 3), "eve"),
        edit(5, "split", (4, 1), "zoe"), edit(6, "split", (1, 9)),
    ]  # fmt: skip
    (conflict,) = find_conflicts(edits)
    assert conflict.describe() == f"split 5 (zoe, {WHEN}) contradicts merge 3 (ann, {WHEN}), merge 4 (eve, {WHEN})"
    with pytest.raises(UserError, match=r"split 5 .*contradicts merge 3"):
        refuse_conflicts(edits)
    refuse_conflicts(edits[:4] + edits[5:])


@given(st.lists(st.tuples(st.sampled_from(["merge", "split"]), st.integers(1, 12), st.integers(1, 12)), max_size=40))
def test_a_chain_of_a_conflict_leads_from_one_end_to_the_other(wanted):
    edits = [edit(n, kind, (a, b)) for n, (kind, a, b) in enumerate(wanted, 1) if a != b]
    found = find_conflicts(edits)
    for conflict in found:
        ends = {*conflict.split.fragments}
        for merge in conflict.merges:
            ends ^= {*merge.fragments}
        assert ends == set()  # each fragment between is in two of the merges
    splits_at_fault = {conflict.split.id for conflict in found}
    refuse_conflicts([one for one in edits if one.id not in splits_at_fault])
