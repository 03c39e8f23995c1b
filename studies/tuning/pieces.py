"""Choose settings on one large labelled part, cut into quarters or into smaller pieces; score them on another part of the volume.

    python -m studies.tuning.pieces [--folder FOLDER]

Rows go to docs/results/tuning_pieces.csv, a table to docs/results/tuning_pieces.md; the rule is in `studies/tuning/__init__.py`.
"""

import argparse
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import describe_run
from benchmarks.peers.inputs import predict_part
from benchmarks.tables import to_markdown
from neuroadda.backbones.card import load_card
from neuroadda.evaluation.choosing import GUARD_OF_QUARTERS, choose, find_lowest
from neuroadda.evaluation.labelled import WHOLE, Labelled, Part
from neuroadda.evaluation.settings import list_settings
from neuroadda.evaluation.sweep import THRESHOLDS
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder
from studies.rows import append_row, read_table
from studies.tuning.study import DEFAULT, ROOT, WORSE, score_settings

RESULTS = ROOT / "docs" / "results"
PIECE_VX, MOST_SIDES = 100_000, 4  # pieces have this many voxels, and are 9 or 16; else quarters
ROWS, PAGE = RESULTS / "tuning_pieces.csv", RESULTS / "tuning_pieces.md"


@dataclass(frozen=True)
class Set:
    """A volume, the backbone that predicts it, and the parts to choose on and to score; halves of sections where there is one."""

    domain: str
    backbone: str
    chosen_on: str = "train"
    linked: bool = True


SETS = (
    *(Set(one, one) for one in ("fly_fibsem", "fly_medulla_fibsem", "fly_larva_l1_sstem", "mouse_cortex_sssem")),
    Set("fly_larva_l3_sstem", "fly_larva_l3_sstem", linked=False),
    Set("mouse_cortex_ac3", "mouse_cortex_sssem", chosen_on="half"),
    Set("fly_fibsem", "fly_medulla_fibsem"),
    Set("mouse_cerebellum_sbem", "mouse_cortex_sssem", chosen_on="half", linked=False),
)


Measure = Callable[[Set, Path, Path], Sequence[Any]]


@dataclass(frozen=True)
class Row:
    """What a choice is worth on the part that took no part in it; VOI in nats."""

    volume: str
    backbone: str
    pieces: int
    default_voi: float
    voi: float
    setting: str
    threshold: float
    lowest_voi: float  # of the lowest mean on the pieces, whatever the spread

    @property
    def change(self) -> float:
        """Relative to the default."""
        return self.voi / self.default_voi - 1


def count_sides(shape_vx: Sequence[int]) -> int:
    """Return how many pieces a box (zyx) is cut into along y, and along x: 2 to 4, the most whose pieces are large enough."""
    return next((n for n in range(MOST_SIDES, 2, -1) if math.prod(shape_vx) >= n * n * PIECE_VX), 2)


def measure(one: Set, folder: Path, data: Path) -> list[Row]:
    """Return a row for quarters and one for smaller pieces."""
    chosen_on, scored = read_parts(one, folder, data)
    settings = list_settings(DEFAULT, scored.voxel_size_nm, scored.offsets)
    at = THRESHOLDS.index(load_card(builtin_folder() / one.backbone).metrics["threshold"])
    sides = sorted({2, count_sides(chosen_on.truth.shape)})
    parts = [chosen_on.cut(n).parts for n in sides]
    all_parts: Sequence[Part] = [part for some in parts for part in some]
    seen = np.array(score_settings(replace(chosen_on, parts=tuple(all_parts)), settings))  # settings, parts, thresholds
    kept = np.array(score_settings(replace(scored, parts=(WHOLE,)), settings))[:, 0]
    rows, first = [], 0
    for n in sides:
        voi, first = seen[:, first : first + n * n], first + n * n
        choice, lowest = choose(voi, at, GUARD_OF_QUARTERS), find_lowest(voi, at)
        found = (kept[0, at], kept[choice.setting, choice.threshold], kept[lowest])
        default, voi_there, lowest_voi = (round(float(value), 4) for value in found)
        name = settings[choice.setting].describe(settings[0])
        threshold = THRESHOLDS[choice.threshold]
        rows.append(Row(one.domain, one.backbone, n * n, default, voi_there, name, threshold, lowest_voi))
    return rows


def read_parts(one: Set, folder: Path, data: Path) -> tuple[Labelled, Labelled]:
    """Return the part to choose on and the part to score."""
    whole = [_label(one, name, folder, data) for name in (("train", "test") if one.chosen_on == "train" else ("test",))]
    if len(whole) == 2:
        return whole[0], whole[1]
    middle = len(whole[0].truth) // 2
    halves = [
        replace(whole[0], affs=whole[0].affs[:, part], truth=whole[0].truth[part])
        for part in (slice(None, middle), slice(middle, None))
    ]
    return halves[0], halves[1]


def _label(one: Set, name: str, folder: Path, data: Path) -> Labelled:
    part = predict_part(data, one.domain, name, folder, None if one.backbone == one.domain else one.backbone)
    affs, labels = Volume.open(part.affs), Volume.open(part.labels)
    truth, offsets = labels.read().astype(np.uint64), load_card(builtin_folder() / one.backbone).offsets
    return Labelled(affs.read(labels.roi)[:3], truth, affs.voxel_size_nm, linked=one.linked, offsets=offsets)


def write_page(rows: Sequence[Row]) -> None:
    """Write the table, and whether the rule holds."""
    sets = {(row.volume, row.backbone) for row in rows}
    quarters = [row for row in rows if row.pieces == 4]
    finest = [max((r for r in rows if (r.volume, r.backbone) == one), key=lambda r: r.pieces) for one in sorted(sets)]
    told = (
        tell_changes("Quarters", [row.change for row in quarters]),
        tell_changes("As many pieces as have 100,000 voxels, up to 16", [row.change for row in finest]),
    )
    table = to_markdown([field.name for field in fields(Row)], [list(map(str, astuple(row))) for row in rows])
    PAGE.write_text(
        "# One large labelled part, cut into pieces to tune on\n\n"
        + _decide(quarters, finest)
        + "\n".join(told)
        + "\n\n"
        "Chosen on one part, scored on another that took no part: the train and the test part of a volume, or two halves of\n"
        "its sections. Backbones have learned from the train parts of their own domain, but for mouse_cortex_sssem, which\n"
        f"learned from another volume. The rule is in `studies/tuning/__init__.py`.\n\n{table}\n\n{describe_run()}\n",
        encoding="utf-8",
    )
    print(PAGE)


def tell_changes(name: str, changes: Sequence[float]) -> str:
    """Return a line on the changes of VOI against the default."""
    return (
        f"- {name}: mean change of VOI {100 * np.mean(changes):+.1f} %, worse than the default by over {100 * WORSE:.0f} % on "
        f"{sum(one > WORSE for one in changes)} of {len(changes)}, better on {sum(one < 0 for one in changes)}"
    )


def _decide(quarters: Sequence[Row], finest: Sequence[Row]) -> str:
    """Return whether smaller pieces are taken, by the rule."""
    worse, change = (
        [sum(r.change > WORSE for r in some), np.mean([r.change for r in some])] for some in (quarters, finest)
    )
    taken = change[0] <= worse[0] and change[1] <= worse[1]
    return f"Smaller pieces than quarters are {'taken' if taken else 'refused'}, by the rule that was written down before.\n\n"


def fill_table(
    told: str | None, rows: Path, row: type[Any], measure: Measure, write_page: Callable[[Sequence[Any]], None]
) -> None:
    """Measure the sets that a table of rows does not have yet, and write the page of all; `told` describes the command."""
    parser = argparse.ArgumentParser(description=(told or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "tuning_study")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NEUROADDA_DATA", "../shared/data")))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    there = {(one.volume, one.backbone) for one in read_table(rows, row)}
    for one in SETS:
        if (one.domain, one.backbone) not in there:
            for measured in measure(one, options.folder, options.data):
                append_row(rows, measured)
    write_page(read_table(rows, row))


if __name__ == "__main__":
    fill_table(__doc__, ROWS, Row, measure, write_page)
