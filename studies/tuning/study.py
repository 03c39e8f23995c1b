"""Choose settings on a few labelled boxes of four volumes, and score the choice on the other boxes; write docs/results/tuning.md.

    python -m studies.tuning.study        predictions and tables are kept in runs/segmentation_study and runs/tuning_study

The boxes are the test part of a volume, on which no backbone was trained, cut into a lattice.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, product
from pathlib import Path

import numpy as np

from neuroadda.config import Zyx, fingerprint
from neuroadda.evaluation.choosing import GUARD, GUARD_OF_QUARTERS, choose, find_lowest
from neuroadda.evaluation.labelled import WHOLE, Labelled
from neuroadda.evaluation.settings import Setting, list_settings
from neuroadda.evaluation.sweep import THRESHOLDS
from neuroadda.evaluation.tuning import FEWEST_BOXES
from neuroadda.observing import track
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.settings import DEFAULT_THRESHOLD
from studies.segmentation.parts import ROOT, predict_parts
from studies.segmentation.study import SETS

BOX_VX: dict[str, Zyx] = {
    "fly_fibsem": (25, 50, 50),
    "fly_medulla_fibsem": (40, 83, 83),
    "fly_larva_l1_sstem": (10, 128, 170),
    "mouse_cortex_sssem": (12, 160, 160),
}
DEFAULT = Setting(fragments=Fragments(), agglomerate=Agglomerate())
AT = THRESHOLDS.index(DEFAULT_THRESHOLD)
COUNTS, DRAWS, LEAST_VX = (1, 2, 3, 4, 6, 8), 100, 1000
WORSE = 0.02
REPORT = ROOT / "docs" / "results" / "tuning.md"
HEAD = f"""# What `neuroadda tune` is worth

`python -m studies.tuning.study`: the test part of each volume, on which no backbone was trained, is cut into boxes. The choice is
made on some of them, and scored on all others: {DRAWS} draws for each number of boxes. Fewer than three are cut into quarters.
*Change* is that of the mean VOI of the other boxes against the default's (threshold {DEFAULT_THRESHOLD}): below 0 is better.
*Unguarded* takes the lowest mean, whatever the spread over boxes.

| boxes | change | better | the same | worse | worse by > 2 % | better, of those changed | unguarded: change | worse by > 2 % |
|---|---|---|---|---|---|---|---|---|
"""
BY_VOLUME = """
By volume and backbone, with four boxes. *Best* is the lowest mean VOI of any setting and threshold on all boxes.

| volume | backbone | boxes in all | default VOI | best | change | better | worse by more than 2 % |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Draw:
    """One choice: how far the mean VOI of the other boxes is from the default's, of what was chosen, and of the lowest mean."""

    domain: str
    backbone: str
    count: int
    chosen: float
    unguarded: float


def cut(part: Labelled, shape_vx: Zyx) -> Iterator[Labelled]:
    """Yield the boxes of a lattice, each with its quarters, whose every quarter is labelled."""
    steps = [range(0, side - size + 1, size) for side, size in zip(part.truth.shape, shape_vx, strict=True)]
    for corner in product(*steps):
        place = tuple(slice(c, c + s) for c, s in zip(corner, shape_vx, strict=True))
        box = Labelled(np.ascontiguousarray(part.affs[(slice(None), *place)]), part.truth[place], part.voxel_size_nm)
        parts = box.quarter().parts
        if min(np.count_nonzero(box.truth[quarter]) for quarter in parts) >= LEAST_VX:
            yield replace(box, parts=(WHOLE, *parts))


def tabulate(domain: str, backbone: str, folder: Path) -> np.ndarray:
    """Return float[boxes, settings, parts, thresholds], VOI; part 0 is the whole box."""
    part = predict_parts(domain, ROOT / "runs" / "segmentation_study", backbone)[1]
    settings = list_settings(DEFAULT, part.voxel_size_nm)
    names = [one.model_dump(mode="json") for one in settings]
    kept = folder / f"{domain}-{backbone}-{fingerprint(names)[:12]}.npy"
    if not kept.exists():
        boxes = list(cut(Labelled(part.affs, part.labels, part.voxel_size_nm), BOX_VX[domain]))
        rows = [_score(box, settings) for box in track(f"{domain} by {backbone}", boxes)]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.array(rows))
    return np.asarray(np.load(kept))


def _score(box: Labelled, settings: Sequence[Setting]) -> list[list[list[float]]]:
    """Return the VOI of each setting, part and threshold."""
    table = []
    for _, group in groupby(settings, lambda one: one.fragments):
        members = list(group)
        found = box.find(members[0].fragments)
        sweeps = [box.sweep(found, one.agglomerate) for one in members]
        table += [[[scores.voi for scores in part.scores] for part in parts] for parts in sweeps]
    return table


def draw(domain: str, backbone: str, table: np.ndarray) -> Iterator[Draw]:
    """Choose on boxes drawn at random, and score on all others, again and again."""
    rng = np.random.default_rng(0)
    for count, _ in product(COUNTS, range(DRAWS)):
        order = rng.permutation(len(table))
        if count > len(table) - 2:
            continue
        seen, rest = table[order[:count]], table[order[count:], :, 0]
        quartered = count < FEWEST_BOXES
        units = seen[:, :, 1:] if quartered else seen[:, :, :1]
        voi = np.concatenate(list(units), axis=1)  # settings, boxes or quarters, thresholds
        choice = choose(voi, AT, GUARD_OF_QUARTERS if quartered else GUARD)
        default = rest[:, 0, AT].mean()
        places = ((choice.setting, choice.threshold), find_lowest(voi, AT))
        gains = [rest[:, setting, threshold].mean() / default - 1 for setting, threshold in places]
        yield Draw(domain, backbone, count, *gains)


def report(draws: list[Draw], defaults: dict[tuple[str, str], tuple[int, float, float]]) -> str:
    """Return the page."""
    lines = []
    for count in COUNTS:
        chosen, unguarded = (
            np.array([getattr(one, name) for one in draws if one.count == count]) for name in ("chosen", "unguarded")
        )
        changed = chosen[chosen != 0]
        cells = [
            f"{100 * chosen.mean():+.1f} %",
            *(_share(part) for part in (chosen < 0, chosen == 0, chosen > 0, chosen > WORSE, changed < 0)),
            f"{100 * unguarded.mean():+.1f} %",
            _share(unguarded > WORSE),
        ]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    rows = []
    for (domain, backbone), (count, default, best) in defaults.items():
        chosen = np.array([d.chosen for d in draws if (d.domain, d.backbone, d.count) == (domain, backbone, 4)])
        cells = (
            [f"{100 * chosen.mean():+.1f} %", _share(chosen < 0), _share(chosen > WORSE)] if len(chosen) else ["-"] * 3
        )
        rows.append(f"| {domain} | {backbone} | {count} | {default:.3f} | {best:.3f} | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n" + BY_VOLUME + "\n".join(rows) + "\n"


def _share(part: np.ndarray) -> str:
    return f"{100 * part.mean():.0f} %" if len(part) else "-"


def main() -> None:
    """Tabulate, draw, report."""
    os.chdir(ROOT)
    draws: list[Draw] = []
    defaults = {}
    for domain, backbone in SETS:
        table = tabulate(domain, backbone, ROOT / "runs" / "tuning_study")
        means = table[:, :, 0].mean(axis=0)
        defaults[domain, backbone] = len(table), means[0, AT], means.min()
        draws += draw(domain, backbone, table)
        REPORT.write_text(report(draws, defaults), encoding="utf-8")


if __name__ == "__main__":
    main()
