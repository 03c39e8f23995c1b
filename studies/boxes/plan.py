"""The runs of the boxes study: which there are, which are left, and how long those take."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.backbones.card import load_card
from studies.rows import read_table
from studies.transfer.study import pretrained_folder

ROWS = Path("docs/results/boxes.csv")
RANDOM = "random"
ARMS = (RANDOM, "median+diverse", "coverage", "TypiClust")
COUNTS = (4, 1, 16)
DRAWS = 14
DIGITS = 16
RUN_MINUTES, SOURCE_MINUTES = 0.4, 3.4  # of a CPU that others used, too: 3 runs and 100 iterations were timed


@dataclass(frozen=True)
class Target:
    """A volume whose boxes are labelled.

    Attributes
    ----------
    source
        The domain whose network is fine-tuned: fixed, so that every machine trains the same few networks.
    domain
        Targets of one domain count as one when strategies are judged.
    most
        The most boxes that fit, of `COUNTS`.
    """

    source: str
    domain: str
    most: int = 16


TARGETS = {
    "fly_fibsem": Target("fly_larva_l1_sstem", "fly_fibsem"),
    "fly_medulla_fibsem": Target("mouse_cortex_sssem", "fly_medulla_fibsem"),
    "fly_larva_l1_sstem": Target("fly_medulla_fibsem", "fly_larva_l1_sstem"),
    "fly_larva_l3_sstem": Target("fly_larva_l1_sstem", "fly_larva_l3_sstem"),
    "fly_brain_sstem": Target("mouse_cortex_sssem", "fly_brain_sstem", most=4),
    "mouse_cortex_sssem": Target("fly_larva_l1_sstem", "mouse_cortex"),
    "mouse_cortex_ac3": Target("fly_larva_l1_sstem", "mouse_cortex"),
    "mouse_cerebellum_sbem": Target("mouse_cortex_sssem", "mouse_cerebellum"),
}
"""Sources are those nearest in the first study; those of the two targets that it lacks were fixed before any run."""


@dataclass(frozen=True)
class Case:
    """What strategies are compared on: a target, a number of boxes and a draw.

    Attributes
    ----------
    draw
        Seed of the source's training, of what is random in a strategy, and of the fine-tuning's batches.
    """

    target: str
    n: int
    draw: int


@dataclass(frozen=True)
class Run(Case):
    """One fine-tuning."""

    strategy: str

    @property
    def case(self) -> Case:
        """The case that it belongs to."""
        return Case(self.target, self.n, self.draw)


@dataclass(frozen=True)
class Row(Run):
    """What came of it; VOI as in `studies.transfer.study.Row`.

    Attributes
    ----------
    digest
        First `DIGITS` of the sha256 of the source's weights: rows of one case are compared only if it is the same.
    cpu_minutes
        Of the choice, the training and the scoring together.
    """

    source: str
    digest: str
    labelled_px: int
    voi: float
    voi_split: float
    voi_merge: float
    threshold: float
    best_voi: float
    best_threshold: float
    cpu_minutes: float


def plan(targets: Sequence[str], strategies: Sequence[str], draws: int) -> list[Run]:
    """Return all runs, draw by draw, so that every whole number of draws is worth reading."""
    return [
        Run(target, n, draw, strategy)
        for draw in range(draws)
        for target in targets
        for n in COUNTS
        if n <= TARGETS[target].most
        for strategy in strategies
    ]


def read_rows(path: Path = ROWS) -> list[Row]:
    """Return the rows that are there."""
    return read_table(path, Row)


def group_rows(rows: Iterable[Row]) -> dict[Case, dict[str, dict[str, Row]]]:
    """Return rows by case, digest of the source, and strategy."""
    grouped: dict[Case, dict[str, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        grouped[row.case][row.digest][row.strategy] = row
    return grouped


def find_missing(runs: Sequence[Run], rows: Iterable[Row], digest_of: Callable[[str, int], str | None]) -> list[Run]:
    """Return the runs that are left, in their order.

    A case is done where all its strategies have rows of one digest, whichever machine trained that source. Otherwise those
    are left that have no row of the source's digest here.

    Parameters
    ----------
    digest_of
        Digest of the source of a target and draw on this machine; None if it is not trained yet.
    """
    wanted: dict[Case, set[str]] = defaultdict(set)
    for run in runs:
        wanted[run.case].add(run.strategy)
    grouped, left = group_rows(rows), []
    for run in runs:
        by_digest = grouped.get(run.case, {})
        if any(wanted[run.case] <= set(done) for done in by_digest.values()):
            continue
        if run.strategy not in by_digest.get(digest_of(run.target, run.draw) or "", {}):
            left.append(run)
    return left


def source_folder(target: str, draw: int) -> Path:
    """Return the backbone that a target is fine-tuned from."""
    return pretrained_folder(TARGETS[target].source, target, draw)


def read_digest(target: str, draw: int) -> str | None:
    """Return the digest of a target's source, as rows have it; None if it is not trained here."""
    folder = source_folder(target, draw)
    return load_card(folder).digest[:DIGITS] if (folder / "card.json").exists() else None


def list_sources(runs: Iterable[Run]) -> dict[Path, Run]:
    """Return the backbones that runs begin with, each with the first of its runs."""
    sources: dict[Path, Run] = {}
    for run in runs:
        sources.setdefault(source_folder(run.target, run.draw), run)
    return sources


def estimate_minutes(left: Sequence[Run], rows: Sequence[Row], untrained: int) -> float:
    """Return about how many CPU minutes runs take, and the trainings of so many sources.

    A run takes the mean of the finished ones of its target and n, else of its n, else of all, else `RUN_MINUTES`.
    """

    def mean_of(kept: list[float], otherwise: float) -> float:
        return float(np.mean(kept)) if kept else otherwise

    overall = mean_of([row.cpu_minutes for row in rows], RUN_MINUTES)
    total = untrained * SOURCE_MINUTES
    for run in left:
        alike = [row for row in rows if row.n == run.n]
        by_n = mean_of([row.cpu_minutes for row in alike], overall)
        total += mean_of([row.cpu_minutes for row in alike if row.target == run.target], by_n)
    return total


def describe(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    """Return how many runs are done and left, and about how long those take."""
    left = find_missing(runs, rows, read_digest)
    untrained = sum(not (folder / "card.json").exists() for folder in list_sources(left))
    minutes = estimate_minutes(left, rows, untrained)
    by = f"{len(rows)} finished runs" if rows else "the times in `studies.boxes.plan`"
    return (
        f"{len(runs) - len(left)} of {len(runs)} runs are done; {len(left)} are left, and {untrained} trainings of sources: "
        f"about {minutes:.0f} CPU minutes, by {by}"
    )
