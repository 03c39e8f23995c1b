"""Which source is first where that of the target's own domain is among them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from studies.ranking.judgement import DEFAULT, FIFTH, FOURTH, GENERALIST, POOLED, Rows, pick
from studies.ranking.study import ScoreRow
from studies.ranking.targets import TARGETS

WAYS = ("consistency after CRank, 3-D", FOURTH, FIFTH, POOLED)


@dataclass(frozen=True)
class Choice:
    """The source that each of some ways puts first on a target, or its `small` part, by the evidence of a seed."""

    target: str
    small: bool
    seed: int
    room: bool  # for four patches of every source, side by side
    first: dict[str, str]

    @property
    def own(self) -> str | None:
        """The source of the target's domain."""
        return TARGETS[self.target].own


def choose_all(rows: Rows) -> list[Choice]:
    """Return the choices on each target that has a source of its own, whole and `small`, by each seed."""
    return list(_choose(rows))


def _choose(rows: Rows) -> Iterator[Choice]:
    sources = sorted({row.source for row in rows.crops} - {GENERALIST})
    for target in (name for name, told in TARGETS.items() if told.own is not None):
        for small in (False, True):
            for seed in rows.seeds:
                mine = rows.of_seed(seed)
                ways = mine.list_ways(small)
                room = all(row.room for row in mine.crops if row.target == target and row.small == small)
                first = {name: pick(ways[name](target, sources), sources) for name in WAYS}
                yield Choice(target, small, seed, room, first)


def count_right(choices: Sequence[Choice], way: str) -> str:
    """Return how often the own domain's source is first, as text."""
    return f"{sum(choice.first[way] == choice.own for choice in choices)} of {len(choices)}"


def tell_wrong(choices: Sequence[Choice], scores: Sequence[ScoreRow]) -> list[str]:
    """Return a line for each target, whole or small, whose own source is not first by the default rule."""
    voi = {(row.target, row.source): row.voi for row in scores if row.dimensions == "2d"}
    found: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for choice in choices:
        if choice.first[DEFAULT] != choice.own:
            found[choice.target, choice.small].append(choice.first[DEFAULT])
    return [
        f"  - {target}, {'50 x 100 x 200' if small else 'all'} voxels: {', '.join(picks)} (VOI in 2-D of the target's middle: "
        + ", ".join(f"{pick} {voi[target, pick]:.2f}" for pick in dict.fromkeys(picks))
        + f", {TARGETS[target].own} {voi[target, str(TARGETS[target].own)]:.2f})"
        for (target, small), picks in found.items()
    ] or ["  - no target"]


def table_choices(choices: Sequence[Choice]) -> str:
    """Return all choices as a table, with whether patches have room."""
    rows = [f"| target | voxels | seed | {' | '.join(WAYS)} |", "|---|---|---" + "|---" * len(WAYS) + "|"]
    for choice in choices:
        shown = [f"**{name}**" if name == choice.own else name for name in choice.first.values()]
        size = f"{'50 x 100 x 200' if choice.small else 'all'}{'' if choice.room else ', no room for four patches'}"
        rows.append(f"| {choice.target} | {size} | {choice.seed} | {' | '.join(shown)} |")
    return "\n".join(rows)
