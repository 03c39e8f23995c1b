"""Choose settings on a few labelled boxes of five volumes, and score the choice on the other boxes; write docs/results/tuning.md.

    python -m studies.tuning.study [--folder FOLDER] [--report]

Predictions and tables are kept in the folder, runs/tuning_study by default; `--report` takes only the tables that are there.
The boxes are the test part of a volume, on which no backbone was trained, cut into a lattice.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice, product
from pathlib import Path

import numpy as np

from benchmarks.peers.inputs import predict_part
from neuroadda.backbones.card import load_card
from neuroadda.config import Zyx, dump_config, fingerprint
from neuroadda.evaluation.choosing import GUARD, GUARD_OF_QUARTERS, choose, find_lowest
from neuroadda.evaluation.labelled import WHOLE, Labelled
from neuroadda.evaluation.settings import Setting, list_settings
from neuroadda.evaluation.sweep import THRESHOLDS
from neuroadda.evaluation.tuning import FEWEST_BOXES
from neuroadda.observing import track
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder

BOX_VX: dict[str, Zyx] = {
    "fly_fibsem": (25, 50, 50),
    "fly_medulla_fibsem": (40, 83, 83),
    "fly_larva_l1_sstem": (10, 128, 170),
    "mouse_cortex_sssem": (12, 160, 160),
    "mouse_cortex_ac3": (12, 160, 160),
}
# Affinities of another domain's backbone are worse, as those of a new volume are.
SETS = (
    *((domain, domain) for domain in tuple(BOX_VX)[:4]),
    ("mouse_cortex_ac3", "mouse_cortex_sssem"),
    ("fly_fibsem", "fly_medulla_fibsem"),
)
DEFAULT = Setting(fragments=Fragments(), agglomerate=Agglomerate())
ROOT = Path(__file__).parents[2]
STRICT, STRICT_OF_QUARTERS = 0.9, 0.95  # a guard that is compared with today's
FOUND_ON = (("fly_fibsem", "fly_fibsem"), ("fly_medulla_fibsem", "fly_medulla_fibsem"))
COUNTS, DRAWS, LEAST_VX = (1, 2, 3, 4, 6, 8), 50, 1000
MOST = 40  # boxes of a volume
WORSE = 0.02
REPORT = ROOT / "docs" / "results" / "tuning.md"
HEAD = f"""# What `neuroadda tune` is worth

`python -m studies.tuning.study`: the test part of each volume, on which no backbone was trained, is cut into boxes, at
most {MOST}. The choice is made on some of them, and scored on all others: {DRAWS} draws for each number of boxes.
Fewer than three are cut into quarters. *Change* is that of the mean VOI of the other boxes against the default's, at
the threshold in the card of the backbone: below 0 is better.
*Unguarded* takes the lowest mean, whatever the spread over boxes.

| boxes | change | better | the same | worse | worse by > 2 % | better, of those changed | unguarded: change | worse by > 2 % |
|---|---|---|---|---|---|---|---|---|
"""
GUARDS = f"""
Two guards: today's, by intervals of {GUARD} (of quarters {GUARD_OF_QUARTERS}), and a stricter one, by {STRICT}
({STRICT_OF_QUARTERS}). The stricter one was found on the two FIB-SEM volumes by their own backbones. It is judged on
all others, by a criterion that was written down before (`studies/tuning/__init__.py`): worse by over 2 % at most half
as often, and at least 80 % of the gain. All numbers of boxes together. Most of the gain is that of the foreign
backbone.

| sets | guard | change | better | the same | worse by > 2 % | better, of those changed |
|---|---|---|---|---|---|---|
"""
BY_VOLUME = """
By volume and backbone, with four boxes. *Best* is the lowest mean VOI of any setting and threshold on all boxes.

| volume | backbone | boxes in all | default VOI | best | change | better | worse by more than 2 % |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Draw:
    """One choice: how far the mean VOI of the other boxes is from the default's.

    Attributes
    ----------
    chosen, strict, unguarded
        By today's guard, by a stricter one, and of the lowest mean.
    """

    domain: str
    backbone: str
    count: int
    chosen: float
    strict: float
    unguarded: float


def cut(part: Labelled, shape_vx: Zyx) -> Iterator[Labelled]:
    """Yield the boxes of a lattice, each with its quarters, whose every quarter is labelled."""
    steps = [range(0, side - size + 1, size) for side, size in zip(part.truth.shape, shape_vx, strict=True)]
    for corner in product(*steps):
        place = tuple(slice(c, c + s) for c, s in zip(corner, shape_vx, strict=True))
        box = Labelled(np.ascontiguousarray(part.affs[(slice(None), *place)]), part.truth[place], part.voxel_size_nm)
        parts = box.cut(2).parts
        if min(np.count_nonzero(box.truth[quarter]) for quarter in parts) >= LEAST_VX:
            yield replace(box, parts=(WHOLE, *parts))


def tabulate(domain: str, backbone: str, folder: Path, data: Path, report: bool) -> np.ndarray:
    """Return float[boxes, settings, parts, thresholds], VOI; part 0 is the whole box.

    Parameters
    ----------
    report
        Return the boxes that are in the folder already.
    """
    part = predict_part(data, domain, "test", folder, None if backbone == domain else backbone)
    affs, labels = Volume.open(part.affs), Volume.open(part.labels)
    settings = list_settings(DEFAULT, affs.voxel_size_nm)
    kept = folder / f"{domain}-{backbone}-{fingerprint([dump_config(one) for one in settings])[:12]}"
    kept.mkdir(exist_ok=True)
    if not report:
        whole = Labelled(affs.read(labels.roi)[:3], labels.read(), affs.voxel_size_nm)
        boxes = list(islice(cut(whole, BOX_VX[domain]), MOST))
        for number, box in enumerate(track(f"{domain} by {backbone}", boxes)):
            path = kept / f"{number:03d}.npy"
            if not path.exists():
                np.save(path, np.array(score_settings(box, settings)))
    return np.array([np.load(path) for path in sorted(kept.glob("*.npy"))[:MOST]])


def score_settings(box: Labelled, settings: Sequence[Setting]) -> list[list[list[float]]]:
    """Return the VOI of each setting, part and threshold."""
    table = []
    for _, group in groupby(settings, lambda one: one.fragments):
        members = list(group)
        found = box.find(members[0].fragments)
        sweeps = [box.sweep(found, one.agglomerate) for one in members]
        table += [[[scores.voi for scores in part.scores] for part in parts] for parts in sweeps]
    return table


def draw(domain: str, backbone: str, table: np.ndarray, at: int) -> Iterator[Draw]:
    """Choose on boxes drawn at random, and score on all others, again and again.

    Parameters
    ----------
    at
        Place of the default's threshold.
    """
    rng = np.random.default_rng(0)
    for count, _ in product(COUNTS, range(DRAWS)):
        order = rng.permutation(len(table))
        if count > len(table) - 2:
            continue
        seen, rest = table[order[:count]], table[order[count:], :, 0]
        quartered = count < FEWEST_BOXES
        units = seen[:, :, 1:] if quartered else seen[:, :, :1]
        voi = np.concatenate(list(units), axis=1)  # settings, boxes or quarters, thresholds
        guards = (GUARD_OF_QUARTERS, STRICT_OF_QUARTERS) if quartered else (GUARD, STRICT)
        choices = [choose(voi, at, guard) for guard in guards]
        default = rest[:, 0, at].mean()
        places = (*((choice.setting, choice.threshold) for choice in choices), find_lowest(voi, at))
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
    return HEAD + "\n".join(lines) + "\n" + GUARDS + _compare_guards(draws) + BY_VOLUME + "\n".join(rows) + "\n"


def _compare_guards(draws: list[Draw]) -> str:
    """Return the rows of the guards, on the sets that they were found on, and on the others."""
    text = ""
    for what, is_found in (("FIB-SEM, own backbones: found on", True), ("all others: judged on", False)):
        for guard, name in (("today", "chosen"), ("stricter", "strict")):
            kept = [one for one in draws if ((one.domain, one.backbone) in FOUND_ON) is is_found]
            gains = np.array([getattr(one, name) for one in kept])
            if len(gains):
                parts = (gains < 0, gains == 0, gains > WORSE, gains[gains != 0] < 0)
                shares = " | ".join(f"{100 * part.mean():.1f} %" for part in parts)
                text += f"| {what} | {guard} | {100 * gains.mean():+.1f} % | {shares} |\n"
    return text


def _share(part: np.ndarray) -> str:
    return f"{100 * part.mean():.0f} %" if len(part) else "-"


def main() -> None:
    """Tabulate, draw, report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "tuning_study")
    parser.add_argument("--report", action="store_true", help="take only the tables that are there")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NEUROADDA_DATA", "../shared/data")))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    draws: list[Draw] = []
    defaults = {}
    for domain, backbone in SETS:
        table = tabulate(domain, backbone, options.folder, options.data, options.report)
        if not len(table):
            continue
        at = THRESHOLDS.index(load_card(builtin_folder() / backbone).metrics["threshold"])
        means = table[:, :, 0].mean(axis=0)
        defaults[domain, backbone] = len(table), means[0, at], means.min()
        draws += draw(domain, backbone, table, at)
        REPORT.write_text(report(draws, defaults), encoding="utf-8")


if __name__ == "__main__":
    main()
