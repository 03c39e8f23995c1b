"""Rows of the study of errors, and where their tables lie."""

from dataclasses import dataclass

from studies.segmentation.parts import ROOT

RESULTS = ROOT / "docs" / "results"
ORDERS, RANDOM, ALL_KNOWING = ("expected gain", "size alone", "likelihood alone"), "random", "all-knowing"
FITS, ROWS, CURVES = (RESULTS / f"errors{part}.csv" for part in ("_validation", "", "_curves"))


@dataclass(frozen=True)
class FitRow:
    """A validation part, ranked by weights from the other volumes."""

    volume: str
    fit: str
    at_20: float
    at_100: float


@dataclass(frozen=True)
class PrecisionRow:
    """The share of errors among the first 20 and 100 candidates of a test part in one order.

    Attributes
    ----------
    at_20, at_100
        Of the segmentation as it is before any decision; of random orders, the mean.
    asked_20, asked_100
        Of the first decisions that an oracle makes, each applied before the next.
    """

    volume: str
    order: str
    at_20: float
    at_100: float
    asked_20: float
    asked_100: float
    candidates: int


@dataclass(frozen=True)
class CurveRow:
    """VOI (nats) of a test part after so many decisions, and the lowest that decisions can reach."""

    volume: str
    order: str
    decision: int
    voi: float
    best_voi: float
