"""Scorings: how likely it is, by the affinities between two regions, that they are one.

An agglomeration adds up two whole numbers of edges that become parallel, and scores an edge by their ratio, a weighted mean (see
`rag`). A scoring says what both are in the contact of two fragments:

| scoring | the score of an edge is 1 minus | weight of a contact |
|---|---|---|
| ``mean`` | the mean affinity | its number of affinities |
| ``contraharmonic`` | the mean of affinities weighted by themselves: the sum of squares over the sum | its sum of affinities |
| ``quantile_<q>`` | the mean, over contacts of fragments, of the quantile of q percent (1 to 100) | its number of affinities |
| ``quantile_<q>_root`` | the same | the root of that number |
| ``waterz:<function>`` | what that function of waterz gives, block by block (see `by_waterz`) | |

All but the last are exact over blocks: a contact belongs to one block, and a weighted mean of two edges lies between theirs.
"""

import re
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from neuroadda.segmentation.contacts import Contacts

MEAN, CONTRAHARMONIC, WATERZ = "mean", "contraharmonic", "waterz:"
MEAN_AFFINITY = "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>"  # waterz' name of it
ROOT_UNIT = 256  # weights are whole numbers: roots in units of 1 / 256
QUANTILE = re.compile(r"quantile_(100|[1-9]\d?)(_root)?")
QUANTILE_FUNCTION = re.compile(r"hist_quant_([1-9][05])(_initmax)?")  # those that waterz brings compiled


def weigh(contacts: Contacts, scoring: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two int64 columns of contacts: what they score times their weight, in units of 1 / 255, and the weight."""
    if scoring == MEAN:
        return contacts.sum, contacts.count
    if scoring == CONTRAHARMONIC:
        return contacts.squares, contacts.sum
    found = QUANTILE.fullmatch(scoring)
    assert found, scoring
    weight = contacts.count
    if found[2]:
        weight = np.rint(ROOT_UNIT * np.sqrt(contacts.count)).astype(np.int64)
    return contacts.quantiles[int(found[1])] * weight, weight


def list_quantiles(scoring: str) -> tuple[int, ...]:
    """Return the percents of the quantiles that contacts need for a scoring."""
    found = QUANTILE.fullmatch(scoring)
    return (int(found[1]),) if found else ()


def is_by_waterz(scoring: str) -> bool:
    """Tell whether a scoring is one of waterz'."""
    return scoring.startswith(WATERZ)


def choose_edges(scoring: str) -> str:
    """Return the scoring that edges are collected for: waterz, which collects its own, needs only to know which there are."""
    return MEAN if is_by_waterz(scoring) else scoring


def name_waterz_function(scoring: str) -> str:
    """Return the C++ type by which waterz knows the function of a scoring; raise ValueError if it does not bring it compiled."""
    name = scoring.removeprefix(WATERZ)
    if name == MEAN:
        return MEAN_AFFINITY
    found = QUANTILE_FUNCTION.fullmatch(name)
    if found is None:
        known = f"{MEAN}, hist_quant_<q> and hist_quant_<q>_initmax, q of 10, 15, ... 95"
        raise ValueError(f"{name!r} is no function that waterz brings compiled: {known}")
    start = "true" if found[2] else "false"
    return f"OneMinus<HistogramQuantileAffinity<RegionGraphType, {found[1]}, ScoreValue, 256, {start}>>"


def _check(scoring: str) -> str:
    if is_by_waterz(scoring):
        name_waterz_function(scoring)
    elif scoring not in (MEAN, CONTRAHARMONIC) and not QUANTILE.fullmatch(scoring):
        choices = f"{MEAN}, {CONTRAHARMONIC}, quantile_<q>, quantile_<q>_root (q of 1 to 100), {WATERZ}<function>"
        raise ValueError(f"{scoring!r} is no scoring; choose one of: {choices}")
    return scoring


Scoring = Annotated[str, AfterValidator(_check)]
"""The name of a scoring, in configs."""
