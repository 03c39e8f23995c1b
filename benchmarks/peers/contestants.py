"""Who is measured, and how each is run: a script by an interpreter, told by a job file, in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.inputs import Inputs
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.evaluation.sweep import evaluate_volume
from neuroadda.segmentation.fragments import Fragments, context_vx
from neuroadda.segmentation.resolving import default_block_vx
from neuroadda.volumes.arrays import Volume

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
VOLARA = "volara==1.0.5"
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 19))
Settings = dict[str, Any]


@dataclass(frozen=True)
class Contestant:
    """A tool: its script, who runs it, and the settings among which its best are chosen.

    Attributes
    ----------
    grid
        Settings to try, each at all thresholds; empty where the tool has its own way.
    chooser
        How: the lowest of what each setting is worth (``sweep``), or a choice of neuroadda (``tune``, ``lowest``); None runs the
        tool's defaults.
    recipe
        Tools of one recipe share a choice.
    verbs
        What is done before the measured run (untimed), and after it.
    """

    name: str
    python: Path
    script: str
    grid: tuple[Settings, ...] = ()
    chooser: str | None = "sweep"
    recipe: str = ""
    verbs: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    thresholds: tuple[float, ...] = THRESHOLDS
    extra: Mapping[str, Any] = field(default_factory=dict)
    segmentation: str = "segmentation.npy"


@dataclass(frozen=True)
class Cost:
    """What a measured run cost, and where its output lies."""

    wall: float
    cpu: float
    peak_bytes: int
    stages: dict[str, float]
    segmentation: Path


_own = partial(
    Contestant,
    python=Path(sys.executable),
    script="neuroadda_segment.py",
    verbs=(("prepare",), ()),
    recipe="neuroadda",
    segmentation="run/volumes.zarr/segmentation",
)
TUNED = _own("neuroadda", chooser="tune")
DEFAULT = _own("neuroadda, default", chooser=None)
LOWEST = _own("neuroadda, lowest", chooser="lowest")


def segmenters(venvs: Path) -> list[Contestant]:
    """Return neuroadda tuned and as it is, volara and the classic recipe; volara's environment is made unless it is there."""
    classic = tuple(
        {"seed_distance": d, "scorer": s} for d, s in product((6, 10), ("mean", "quantile 50", "quantile 75"))
    )
    volara = tuple(
        {"bias": -bias, "noise": 0.0, "seed_distance": seeds, "voronoi": None, "bulk": True}
        for bias, seeds in ((0.5, 10), (0.7, 10))
    )
    recipe = partial(
        Contestant, python=Path(sys.executable), script="classic_segment.py", grid=classic, recipe="classic"
    )
    return [
        TUNED,
        DEFAULT,
        Contestant(
            "volara",
            make_venv(venvs / "volara", VOLARA),
            "volara_segment.py",
            volara,
            verbs=((), ("export",)),
            thresholds=(*THRESHOLDS, 0.92, 0.94, 0.96, 0.98),
        ),
        recipe(
            "classic, blockwise, database",
            extra={"blockwise": True, "database": True},
            segmentation="volumes.zarr/segmentation",
        ),
        recipe("classic, blockwise", extra={"blockwise": True}, segmentation="volumes.zarr/segmentation"),
        recipe("classic, in memory", extra={"blockwise": False}),
    ]


def make_venv(folder: Path, *packages: str) -> Path:
    """Return the interpreter of a virtual environment with these packages, made unless it is there."""
    python, ready = folder / "bin/python", folder / "installed"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        ready.touch()
    return python


def measure(
    contestant: Contestant, inputs: Inputs, backbone: Path, settings: Settings, workers: int, folder: Path
) -> Cost:
    """Run a contestant once and tell what it cost."""
    job = _write_job(contestant, inputs, backbone, folder, settings=settings, workers=workers)
    before, after = contestant.verbs
    for verb in before:
        _call(contestant, verb, job)
    report = folder / "report.json"
    _call(contestant, "run", job, [sys.executable, "-S", str(HERE / "measure.py"), str(report)])
    for verb in after:
        _call(contestant, verb, job)
    output = folder / "output"
    stages = json.loads((output / "stages.json").read_text())
    return Cost(**json.loads(report.read_text()), stages=stages, segmentation=output / contestant.segmentation)


def score_output(segmentation: Path, inputs: Inputs) -> Scores:
    """Score what a contestant wrote."""
    if segmentation.suffix == ".npy":
        return score(count_overlaps(np.load(segmentation).astype(np.uint64), Volume.open(inputs.labels).read()))
    return evaluate_volume(segmentation, inputs.labels)


def choose_settings(contestant: Contestant, inputs: Inputs, backbone: Path, folder: Path) -> Settings:
    """Return the settings of a contestant that are best on a labelled volume; they are kept in the folder."""
    if contestant.chooser is None:
        return {}
    place = folder / f"{contestant.recipe or contestant.name}-{inputs.name}"
    done = place / f"{contestant.chooser}.json"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        lists = {"grid": contestant.grid, "thresholds": contestant.thresholds, "choices": str(place.absolute())}
        job = _write_job(contestant, inputs, backbone, place, settings={}, workers=1, **lists)
        if contestant.chooser == "sweep":
            _call(contestant, "sweep", job)
            best = min(_score_swept(contestant, inputs, place / "output"), key=lambda pair: pair[1])
            done.write_text(json.dumps(best[0]))
            shutil.rmtree(place / "output")
        else:
            _call(contestant, "tune", job)
    return dict(json.loads(done.read_text()))


def _score_swept(contestant: Contestant, inputs: Inputs, output: Path) -> Iterator[tuple[Settings, float]]:
    """Yield each setting and threshold with its VOI."""
    labels = Volume.open(inputs.labels).read()
    for number, settings in enumerate(contestant.grid):
        found = np.load(output / f"{number}.npz")
        overlaps = count_overlaps(found["fragments"].astype(np.uint64), labels)
        ids = found["ids"].astype(np.uint64)
        for threshold, segments in zip(contestant.thresholds, found["segments"].astype(np.uint64), strict=True):
            yield settings | {"threshold": threshold}, score(overlaps.relabel((ids, segments))).voi


def _write_job(contestant: Contestant, inputs: Inputs, backbone: Path, folder: Path, **more: Any) -> Path:
    affs = Volume.open(inputs.affs)
    job = {
        "affs": str(inputs.affs.absolute()),
        "labels": str(inputs.labels.absolute()),
        "output": str((folder / "output").absolute()),
        "backbone": str(backbone.absolute()),
        "block_vx": default_block_vx(affs, affs.roi),
        "context_vx": context_vx(Fragments(method="seeds"), affs.voxel_size_nm),
        **contestant.extra,
        **more,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def _call(contestant: Contestant, verb: str, job: Path, prefix: list[str] | None = None) -> None:
    command = [*(prefix or []), str(contestant.python), str(HERE / contestant.script), verb, str(job)]
    log = job.with_suffix(f".{verb}.log")
    with log.open("w") as file:
        if subprocess.run(command, stdout=file, stderr=file, env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode:
            raise SystemExit(f"{contestant.name} failed ({verb}): {log}\n{log.read_text()[-2000:]}")
