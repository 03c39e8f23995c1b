"""Rows of the study of errors, and where their tables lie."""

from dataclasses import dataclass

from studies.segmentation.parts import ROOT

RESULTS = ROOT / "docs" / "results"
ORDERS, RANDOM, ALL_KNOWING = ("expected gain", "size alone", "likelihood alone"), "random", "all-knowing"
VALIDATION, FIRST, ROWS, CURVES, UNLIKELY = (
    RESULTS / f"errors{part}.csv" for part in ("_validation", "_first", "", "_curves", "_unlikely")
)


@dataclass(frozen=True)
class HeldOutRow:
    """A validation part, ranked by weights from the other volumes: precision of the list, shares of the reachable fall."""

    volume: str
    order: str
    at_20: float
    at_100: float
    share_50: float
    share_100: float


@dataclass(frozen=True)
class PrecisionRow:
    """The share of errors among the first 20 and 100 candidates of a test part in one order.

    Attributes
    ----------
    at_20, at_100
        Of the segmentation as it is before any decision; of random orders, the mean.
    asked_20, asked_100
        Of the first decisions that an oracle makes, each applied before the next.
    candidates, errors
        How many there are in the list.
    share_50, most_50
        Share of the reachable fall of VOI after 50 decisions in this order, and in the all-knowing one.
    """

    volume: str
    order: str
    at_20: float
    at_100: float
    asked_20: float
    asked_100: float
    candidates: int
    errors: int
    share_50: float
    most_50: float


@dataclass(frozen=True)
class CurveRow:
    """VOI (nats) of a test part after so many decisions.

    Attributes
    ----------
    best_voi
        The lowest that decisions can reach: regions of one label that touch are one segment.
    lowest_voi
        All regions of one label are one segment, whether or not they touch.
    """

    volume: str
    order: str
    decision: int
    voi: float
    best_voi: float
    lowest_voi: float


@dataclass(frozen=True)
class UnlikelyRow:
    """The first 50 decisions of the all-knowing order, and those of them that the queue takes to be no errors.

    Attributes
    ----------
    likelihood
        Those below it are counted.
    share, share_unlikely
        Of the reachable fall of VOI: what all of them gain, and what those gain.
    """

    volume: str
    decisions: int
    likelihood: float
    unlikely: int
    share: float
    share_unlikely: float


def share(curve: list[CurveRow], decisions: int) -> float:
    """Return the share of the reachable fall of VOI after so many decisions; 0 where nothing can fall."""
    before, after = curve[0], max((row for row in curve if row.decision <= decisions), key=lambda row: row.decision)
    reachable = before.voi - before.best_voi
    return (before.voi - after.voi) / reachable if reachable > 0 else 0.0
