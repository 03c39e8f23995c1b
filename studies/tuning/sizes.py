"""Are size rules between and above those of today's candidates worth trying? Choose on one labelled part, score on another.

    python -m studies.tuning.sizes [--folder FOLDER]

Rows go to docs/results/tuning_sizes.csv, a table to docs/results/tuning_sizes.md; the rule is in `studies/tuning/__init__.py`.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.backbones.card import load_card
from neuroadda.evaluation.choosing import GUARD_OF_QUARTERS, choose, find_lowest
from neuroadda.evaluation.labelled import WHOLE
from neuroadda.evaluation.settings import AGGLOMERATIONS, CANDIDATES, list_settings
from neuroadda.evaluation.sweep import THRESHOLDS
from neuroadda.segmentation.fragments import Fragments
from neuroadda.zoo.finding import builtin_folder
from studies.tuning.pieces import RESULTS, Set, fill_table, read_parts, tell_changes
from studies.tuning.study import DEFAULT, WORSE, score_settings

SIZES = (800, 6400, 12800)
LARGER = tuple(product((Fragments(method="ascent", min_size_vx=size) for size in SIZES), AGGLOMERATIONS))
TODAY, WITH_LARGER = "today", "with larger"
ROWS, PAGE = RESULTS / "tuning_sizes.csv", RESULTS / "tuning_sizes.md"


@dataclass(frozen=True)
class Row:
    """What a choice is worth on the part that took no part in it; VOI in nats."""

    volume: str
    backbone: str
    candidates: str
    default_voi: float
    voi: float
    setting: str
    threshold: float
    lowest_voi: float  # of the lowest mean on the quarters, whatever the spread
    lowest: str

    @property
    def change(self) -> float:
        """Relative to the default."""
        return self.voi / self.default_voi - 1


def measure(one: Set, folder: Path, data: Path) -> list[Row]:
    """Return a row for today's candidates, and one for these and the larger size rules."""
    chosen_on, scored = read_parts(one, folder, data)
    settings = list_settings(DEFAULT, scored.voxel_size_nm, scored.offsets, (*CANDIDATES, *LARGER))
    known = list_settings(DEFAULT, scored.voxel_size_nm, scored.offsets)
    at = THRESHOLDS.index(load_card(builtin_folder() / one.backbone).metrics["threshold"])
    seen = np.array(score_settings(chosen_on.cut(2), settings))  # settings, quarters, thresholds
    kept = np.array(score_settings(replace(scored, parts=(WHOLE,)), settings))[:, 0]
    every = list(range(len(settings)))
    rows = []
    for name, some in ((TODAY, [i for i in every if settings[i] in known]), (WITH_LARGER, every)):
        choice, lowest = choose(seen[some], at, GUARD_OF_QUARTERS), find_lowest(seen[some], at)
        voi = kept[some]
        found = (voi[0, at], voi[choice.setting, choice.threshold], voi[lowest])
        default, chosen, lowest_voi = (round(float(value), 4) for value in found)
        setting, of_lowest = (settings[some[i]].describe(settings[0]) for i in (choice.setting, lowest[0]))
        threshold = THRESHOLDS[choice.threshold]
        rows.append(Row(one.domain, one.backbone, name, default, chosen, setting, threshold, lowest_voi, of_lowest))
    return rows


def write_page(rows: Sequence[Row]) -> None:
    """Write the table, and whether the rule holds."""
    today, larger = ([row.change for row in rows if row.candidates == name] for name in (TODAY, WITH_LARGER))
    more_are_worse = sum(one > WORSE for one in larger) > sum(one > WORSE for one in today)
    taken = np.mean(larger) < np.mean(today) and not more_are_worse
    told = (
        tell_changes("Today's candidates", today),
        tell_changes("With size rules of 800, 6,400 and 12,800 voxels", larger),
    )
    table = to_markdown([field.name for field in fields(Row)], [list(map(str, astuple(row))) for row in rows])
    PAGE.write_text(
        "# Larger size rules to tune among\n\n"
        f"They are {'taken' if taken else 'refused'}, by the rule that was written down before.\n\n"
        + "\n".join(told)
        + "\n\nChosen on the quarters of one part, scored on another that took no part, as in "
        f"[tuning_pieces.md](tuning_pieces.md).\nThe rule is in `studies/tuning/__init__.py`.\n\n{table}\n\n{describe_run()}\n",
        encoding="utf-8",
    )
    print(PAGE)


if __name__ == "__main__":
    fill_table(__doc__, ROWS, Row, measure, write_page)
