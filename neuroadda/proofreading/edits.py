"""Corrections of a run's segmentation: added by points or fragment ids, undone, checked, and applied."""

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.errors import UserError, warn
from neuroadda.proofreading.decisions import Decision, End
from neuroadda.runs.config import refuse_copy
from neuroadda.segmentation.conflicts import Conflict, Pair, find_conflicts
from neuroadda.segmentation.edges import read_sizes
from neuroadda.segmentation.edit_journal import JOURNAL, Journal, append
from neuroadda.segmentation.edited_fragments import describe_whole, find_fragment, find_pair
from neuroadda.segmentation.edits import SPLIT, Edit, Undo
from neuroadda.segmentation.finished import check_finished
from neuroadda.segmentation.ids import capacity_of, to_local
from neuroadda.segmentation.pipeline import Plan, is_run
from neuroadda.segmentation.recovery import read_run
from neuroadda.volumes.arrays import Volume


@dataclass(frozen=True)
class Added:
    """What became of edits that were to be added.

    Attributes
    ----------
    edits
        One for each, in order; where the same was in force already, that one.
    new
        Ids of those that were added.
    """

    edits: list[Edit]
    new: list[int]


@dataclass(frozen=True)
class Checked:
    """What `check` found.

    Attributes
    ----------
    conflicts
        Splits that merges contradict.
    stale
        Edits whose fragments were made again, and were looked up again.
    lost
        Stale edits whose fragments are not found, and why.
    """

    conflicts: list[Conflict]
    stale: list[Edit]
    lost: list[tuple[Edit, str]]


class _Fragments:
    """The finished fragments of a run."""

    def __init__(self, plan: Plan) -> None:
        check_finished(plan, ("fragments", "edges"))
        task = plan.task("fragments")
        self.volume, self.fingerprint = Volume.open(task.output), task.fingerprint
        self._grid, self._blocks, self._edges = task.grid, task.blocks, plan.folder("edges")

    def find(self, end: End, where: str) -> int:
        """Return the id of a fragment."""
        if not isinstance(end, int):
            return find_fragment(self.volume, end, where)
        capacity = capacity_of(self._grid)
        if 0 < end <= len(self._grid) * capacity:
            block, local = (int(part[0]) for part in to_local(np.array([end], np.uint64), capacity))
            if block in self._blocks and local < len(read_sizes(self._edges, block)):
                return end
        raise UserError(
            f"there is no fragment {end}", where, "give an id of the run's fragments, or a point z,y,x in nm"
        )


def add(run: str | Path, decisions: Sequence[Decision], ledger: str | None = None) -> Added:
    """Add edits to a run, all or none; on return they are on the disk. A warning names those that contradict each other.

    Raises
    ------
    UserError
        If the run's fragments are not finished, the folder is a copy of a run that is still there, or an edit is wrong: no
        fragment is at a point or has an id, or both ends are one.
    """
    refuse_copy(Path(run))
    plan = read_run(run, ledger, trust_inputs=True)
    fragments, when = _Fragments(plan), _now()
    pairs = [_find_ends(one, fragments) for one in decisions]
    users = [_find_user(one.who, one.where) for one in decisions]
    edits, new = list[Edit](), list[int]()

    def make(journal: Journal) -> list[Edit]:
        known = {
            _key(edit.kind, edit.fragments): edit for edit in journal.in_force if edit.is_of(fragments.fingerprint)
        }
        added = list[Edit]()
        for one, pair, who in zip(decisions, pairs, users, strict=True):
            key = _key(one.kind, pair)
            if key not in known:
                known[key] = Edit(
                    id=journal.next_id + len(added),
                    kind=one.kind,
                    fragments=pair,
                    made_of=fragments.fingerprint,
                    points=None if isinstance(one.ends[0], int) else one.ends,  # type: ignore[arg-type] # both are points
                    who=who,
                    when=when,
                )
                added.append(known[key])
            edits.append(known[key])
        new.extend(edit.id for edit in added)
        return added

    append(Path(run), make)
    of_these = [edit for edit in read_journal(run).in_force if edit.is_of(fragments.fingerprint)]
    for conflict in find_conflicts(of_these):
        if {conflict.split.id, *(edit.id for edit in conflict.merges)} & set(new):
            warn(f"{conflict.describe()}: nothing is applied until one is undone", str(Path(run) / JOURNAL))
    return Added(edits, new)


def undo(run: str | Path, id: int, who: str | None = None) -> Edit:
    """Undo an edit and return it; on return that is on the disk.

    Raises
    ------
    UserError
        If there is no such edit, it is undone already, or the folder is a copy of a run that is still there.
    """
    refuse_copy(Path(run))
    found = list[Edit]()

    def make(journal: Journal) -> list[Undo]:
        if id not in journal.edits:
            what = f"there is no edit {id}"
            raise UserError(what, str(Path(run) / JOURNAL), f"`neuroadda edits list {run}` shows {len(journal.edits)}")
        if (before := journal.undone.get(id)) is not None:
            raise UserError(f"edit {id} is undone already ({before.who}, {before.when})", str(Path(run) / JOURNAL))
        found.append(journal.edits[id])
        return [Undo(undo=id, who=_find_user(who, "--who"), when=_now())]

    _check_run(run)
    append(Path(run), make)
    return found[0]


def read_journal(run: str | Path) -> Journal:
    """Return all edits of a run; a line that a killed writer has cut short is left out with a warning."""
    _check_run(run)
    journal = Journal.read(Path(run))
    if journal.torn:
        warn("the last line is cut short, as by a kill while it was added: it is left out", str(Path(run) / JOURNAL))
    return journal


def check(run: str | Path, ledger: str | None = None) -> Checked:
    """Find edits that contradict each other, and those whose fragments were made again.

    Raises
    ------
    UserError
        If the run's fragments are not finished.
    """
    edits = read_journal(run).in_force
    fragments = _Fragments(read_run(run, ledger, trust_inputs=True))
    pairs, stale, lost = dict[int, Pair](), list[Edit](), list[tuple[Edit, str]]()
    for edit in edits:
        try:
            pairs[edit.id] = find_pair(edit, fragments.volume, fragments.fingerprint)
        except UserError as error:
            lost.append((edit, error.what))
            continue
        if not edit.is_of(fragments.fingerprint):
            stale.append(edit)
    return Checked(find_conflicts([edit for edit in edits if edit.id in pairs], pairs), stale, lost)


def _find_ends(one: Decision, fragments: _Fragments) -> Pair:
    first, second = (fragments.find(end, one.where) for end in one.ends)
    if one.named is not None and {first, second} != set(one.named):
        told = "its points lie in fragments {} and {}, and it names {} and {}".format(first, second, *one.named)
        raise UserError(
            told, one.where, "give z, y, x in nm; or leave out the fragments, if they were made again since"
        )
    if first == second and one.kind == SPLIT:
        raise UserError(describe_whole(first), one.where, "make smaller fragments, and segment again")
    if first == second:
        raise UserError(f"both ends are fragment {first}, which is one already", one.where, "give two fragments")
    return first, second


def _key(kind: str, pair: Pair) -> tuple[Any, ...]:
    return kind, *sorted(pair)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _check_run(run: str | Path) -> None:
    if not is_run(run):
        raise UserError("there is no run here", str(run), "give the folder of a run of `neuroadda segment`")


def _find_user(given: str | None, where: str) -> str:
    """Return who decides; a name is printed in tables, so that it has no control characters."""
    try:
        who = given or getpass.getuser()
    except (OSError, KeyError) as error:
        raise UserError("it is not known who decides", "--who", "give a name") from error
    if not who.isprintable():
        raise UserError(f"the name {who!r} holds control characters", where, "give a name of letters")
    return who
