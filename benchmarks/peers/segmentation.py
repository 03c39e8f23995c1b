"""Affinities to segmentation: voxels per CPU second and quality, neuroadda beside its peers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.contestants import Contestant, Cost, Settings, measure, score_output, try_settings
from benchmarks.peers.inputs import predict_part, tile_inputs
from neuroadda.config import Zyx
from neuroadda.evaluation.metrics import Scores


@dataclass(frozen=True)
class Result:
    """One measured run.

    Attributes
    ----------
    settings, scores
        The best on the very volume, and what they gave in the measured run.
    transferred
        The scores with the settings that are best on the train part of the volume, where that was tried.
    """

    contestant: str
    volume: str
    voxels: int
    workers: int
    cost: Cost
    settings: Settings
    scores: Scores | None = None
    transferred: Scores | None = None

    @property
    def rate(self) -> float:
        """Voxels per CPU second, start-up included."""
        return self.voxels / self.cost.cpu


@dataclass(frozen=True)
class Line:
    """CPU seconds as a line over voxels: start-up, and voxels per CPU second without it."""

    contestant: str
    workers: int
    start: float
    rate: float


def compare_volumes(
    contestants: Sequence[Contestant], domains: Sequence[str], workers: Sequence[int], data: Path, folder: Path
) -> list[Result]:
    """Measure all contestants on the test part of each volume, each at its best settings there."""
    results = []
    for domain in domains:
        test, train = (predict_part(data, domain, part, folder / "data") for part in ("test", "train"))
        for contestant in contestants:
            place = folder / "runs" / contestant.name.replace(", ", "-")
            tried = try_settings(contestant, test, domain, place / f"{test.name}-sweep")
            best, _ = min(tried, key=lambda pair: pair[1].voi)
            transferred = None
            if contestant.is_transferred:
                before = try_settings(contestant, train, domain, place / f"{train.name}-sweep")
                chosen, _ = min(before, key=lambda pair: pair[1].voi)
                transferred = next(scores for settings, scores in tried if settings == chosen)
            for n in workers:
                cost = measure(contestant, test, domain, best, n, place / f"{test.name}-{n}")
                scores = score_output(cost.segmentation, test)
                results.append(Result(contestant.name, domain, test.voxels, n, cost, best, scores, transferred))
                _tell(results[-1])
    return results


def compare_sizes(
    contestants: Sequence[Contestant],
    domain: str,
    sizes: Sequence[Zyx],
    workers: Sequence[int],
    data: Path,
    folder: Path,
) -> list[Result]:
    """Measure all contestants on a volume mirrored to several sizes, each at its best settings for the volume itself."""
    test = predict_part(data, domain, "test", folder / "data")
    tiled = [tile_inputs(test, size, folder / "data") for size in sizes]
    results = []
    for contestant in contestants:
        place = folder / "runs" / contestant.name.replace(", ", "-")
        tried = try_settings(contestant, test, domain, place / f"{test.name}-sweep")
        best, _ = min(tried, key=lambda pair: pair[1].voi)
        for inputs in tiled:
            for n in workers:
                cost = measure(contestant, inputs, domain, best, n, place / "size")
                results.append(Result(contestant.name, inputs.name, inputs.voxels, n, cost, best))
                _tell(results[-1])
    return results


def fit_lines(results: Sequence[Result]) -> list[Line]:
    """Return the line of each contestant and number of workers, through runs of several sizes."""
    lines = []
    for contestant, workers in dict.fromkeys((r.contestant, r.workers) for r in results):
        chosen = [r for r in results if (r.contestant, r.workers) == (contestant, workers)]
        if len({r.voxels for r in chosen}) > 1:
            slope, start = np.polyfit([r.voxels for r in chosen], [r.cost.cpu for r in chosen], 1)
            lines.append(Line(contestant, workers, float(start), float(1 / slope)))
    return lines


def _tell(result: Result) -> None:
    voi = "" if result.scores is None else f", VOI {result.scores.voi:.3f}"
    what = f"{result.contestant}, {result.volume}, {result.workers} workers"
    print(
        f"{what}: {result.cost.cpu:.1f} CPU s, {result.rate / 1e6:.3f} Mvx/CPU s{voi} at {result.settings}", flush=True
    )
