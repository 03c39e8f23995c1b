"""Edits that contradict each other: merges, one after another, join what a split keeps apart."""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuroadda.errors import UserError
from neuroadda.segmentation.edits import Edit

Pair = tuple[int, int]


@dataclass(frozen=True)
class Conflict:
    """A split, and the shortest chain of merges between its two fragments."""

    split: Edit
    merges: tuple[Edit, ...]

    def describe(self) -> str:
        """Return one sentence that names them all."""
        merges = ", ".join(edit.describe() for edit in self.merges)
        return f"{self.split.describe()} contradicts {merges}"


def find_conflicts(edits: Sequence[Edit], pairs: Mapping[int, Pair] | None = None) -> list[Conflict]:
    """Return every split that merges contradict.

    Parameters
    ----------
    pairs
        The fragments of every edit, by id; by default as the edits say.
    """
    pair_of = {edit.id: edit.fragments for edit in edits} if pairs is None else pairs
    parent: dict[int, int] = {}

    def find(fragment: int) -> int:
        while (above := parent.setdefault(fragment, fragment)) != fragment:
            parent[fragment] = parent[above]
            fragment = above
        return fragment

    merges = [edit for edit in edits if edit.kind == "merge"]
    for edit in merges:
        first, second = pair_of[edit.id]
        parent[find(first)] = find(second)
    joined = [e for e in edits if e.kind == "split" and find(pair_of[e.id][0]) == find(pair_of[e.id][1])]
    return [Conflict(split, _find_chain(merges, pair_of, pair_of[split.id])) for split in joined]


def refuse_conflicts(edits: Sequence[Edit], pairs: Mapping[int, Pair] | None = None) -> None:
    """Raise UserError, which names the edits, if some contradict each other."""
    if found := find_conflicts(edits, pairs):
        more = f" (and {len(found) - 1} more: `neuroadda edits check RUN`)" if len(found) > 1 else ""
        raise UserError(found[0].describe() + more, "edits", "undo what is wrong: `neuroadda edits undo RUN ID`")


def _find_chain(merges: Sequence[Edit], pair_of: Mapping[int, Pair], ends: Pair) -> tuple[Edit, ...]:
    """Return the fewest merges that lead from one fragment to another; the first of several such chains by id."""
    around = defaultdict[int, list[tuple[int, Edit]]](list)
    for edit in merges:
        first, second = pair_of[edit.id]
        around[first].append((second, edit))
        around[second].append((first, edit))
    start, end = ends
    came: dict[int, tuple[int, Edit] | None] = {start: None}
    waiting = deque([start])
    while waiting and end not in came:
        here = waiting.popleft()
        for there, edit in around[here]:
            if there not in came:
                came[there] = here, edit
                waiting.append(there)
    chain = []
    while (step := came[end]) is not None:
        end, edit = step
        chain.append(edit)
    return tuple(reversed(chain))
