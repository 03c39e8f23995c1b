"""Rows of the study of segmentation: scores at a chosen setting and at the best, and what it cost."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import Scores, score


@dataclass(frozen=True)
class Row:
    """One way on one volume: at the setting chosen on the validation part, and at the best for the test part.

    Attributes
    ----------
    volume, backbone
        What was predicted, by which backbone of the zoo.
    fragments, parameters
        Family (with dimensions) and what is not default.
    fragments_number, edges
        Of the test part.
    chosen_voi_validation
        VOI (nats) on the validation part at the chosen setting.
    tiles
        VOI of each quarter of the test part (by y and x) at the chosen setting.
    cpu_s_fragments, cpu_s_agglomeration
        CPU seconds on the test part, median of three; agglomeration is edges, scores and one lookup table. 0 if not measured.
    peak_mb
        Memory of the process above that before, the greater of the two steps; 0 if not measured.
    """

    volume: str
    backbone: str
    fragments: str
    parameters: str
    agglomeration: str
    fragments_number: int
    edges: int
    chosen: float
    chosen_voi_validation: float
    voi_split: float
    voi_merge: float
    voi: float
    adapted_rand_error: float
    best: float
    best_voi: float
    best_adapted_rand_error: float
    tiles: str
    voxels: int
    cpu_s_fragments: float
    cpu_s_agglomeration: float
    peak_mb: float


@dataclass(frozen=True)
class Cost:
    """CPU seconds and megabytes; 0 where not measured."""

    seconds: float = 0.0
    peak_mb: float = 0.0


def measure(function: Callable[[], Any], times: int) -> Cost:
    """Return the median CPU time of this process and its greatest memory above that before (0 where the system has no say)."""
    seconds, peaks = [], []
    for _ in range(times):
        before = _memory_mb("VmRSS")
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        except OSError:
            before = float("inf")
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
        peaks.append(max(_memory_mb("VmHWM") - before, 0.0))
    return Cost(statistics.median(seconds), max(peaks)) if times else Cost()


def _memory_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines() if Path("/proc/self/status").exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":")), 0.0)


def make_row(
    head: dict[str, Any],
    settings: Sequence[float],
    validation: Sequence[Scores],
    test: Sequence[Scores],
    segment: Callable[[int], np.ndarray],
    labels: np.ndarray,
    **cost: Any,
) -> Row:
    """Choose a setting on the validation part; scores are by setting, and `segment` segments the test part at one of them."""
    chosen, best = (int(np.argmin([s.voi for s in scores])) for scores in (validation, test))
    at, top = test[chosen], test[best]
    return Row(
        **head,
        chosen=settings[chosen],
        chosen_voi_validation=validation[chosen].voi,
        voi_split=at.voi_split,
        voi_merge=at.voi_merge,
        voi=at.voi,
        adapted_rand_error=at.adapted_rand_error,
        best=settings[best],
        best_voi=top.voi,
        best_adapted_rand_error=top.adapted_rand_error,
        tiles=" ".join(f"{s.voi:.4f}" for s in score_tiles(segment(chosen), labels)),
        voxels=labels.size,
        **cost,
    )


def score_tiles(segments: np.ndarray, labels: np.ndarray) -> list[Scores]:
    """Return the scores of each quarter, by y and x, that has labels."""
    halves = [(slice(0, size // 2), slice(size // 2, size)) for size in labels.shape[1:]]
    boxes = [(slice(None), y, x) for y, x in product(*halves)]
    return [score(count_overlaps(segments[box], labels[box])) for box in boxes if labels[box].any()]
