"""Affinities to segmentation: voxels per CPU second and quality, neuroadda beside its peers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.contestants import Contestant, Cost, Settings, choose_settings, measure, score_output
from benchmarks.peers.inputs import predict_part, tile_inputs
from neuroadda.config import Zyx
from neuroadda.evaluation.metrics import Scores
from neuroadda.zoo.finding import builtin_folder


@dataclass(frozen=True)
class Result:
    """One measured run.

    Attributes
    ----------
    settings, scores
        Those that were chosen on the train part, and what they gave in the measured run.
    """

    contestant: str
    volume: str
    voxels: int
    workers: int
    cost: Cost
    settings: Settings
    scores: Scores | None = None

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
    contestants: Sequence[Contestant],
    domains: Sequence[str],
    workers: Sequence[int],
    data: Path,
    folder: Path,
    zoo: Path | None = None,
) -> list[Result]:
    """Measure all contestants on the test part of each volume, with the settings that each chose on its train part.

    Parameters
    ----------
    zoo
        Of the backbones; by default the one that comes with neuroadda.
    """
    results = []
    for domain in domains:
        test, train = (predict_part(data, domain, part, folder / "data", zoo=zoo) for part in ("test", "train"))
        backbone = (zoo or builtin_folder()) / domain
        for contestant in contestants:
            chosen = choose_settings(contestant, train, backbone, folder / "chosen")
            for n in workers:
                cost = measure(contestant, test, backbone, chosen, n, _place(folder, contestant) / f"{test.name}-{n}")
                scores = score_output(cost.segmentation, test)
                results.append(Result(contestant.name, domain, test.voxels, n, cost, chosen, scores))
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
    """Measure all contestants on a volume mirrored to several sizes, with the settings that each chose on its train part."""
    test, train = (predict_part(data, domain, part, folder / "data") for part in ("test", "train"))
    tiled = [tile_inputs(test, size, folder / "data") for size in sizes]
    backbone = builtin_folder() / domain
    results = []
    for contestant in contestants:
        chosen = choose_settings(contestant, train, backbone, folder / "chosen")
        for inputs in tiled:
            for n in workers:
                cost = measure(contestant, inputs, backbone, chosen, n, _place(folder, contestant) / "size")
                results.append(Result(contestant.name, inputs.name, inputs.voxels, n, cost, chosen))
                _tell(results[-1])
    return results


def _place(folder: Path, contestant: Contestant) -> Path:
    return folder / "runs" / contestant.name.replace(", ", "-")


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
