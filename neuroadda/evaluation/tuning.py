"""Every setting and threshold on every labelled box, and a choice of them by cross-validation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neuroadda.config import dump_config, parse_config
from neuroadda.errors import UserError
from neuroadda.evaluation.choosing import GUARD, GUARD_OF_QUARTERS, LEVEL, Choice, Estimate, choose, keep_default
from neuroadda.evaluation.labelled import WHOLE, Labelled
from neuroadda.evaluation.settings import Setting
from neuroadda.evaluation.sweep import THRESHOLDS
from neuroadda.observing import track

FEWEST_BOXES = 3  # fewer are cut into quarters
FEWEST_VX, FEWEST_LABELS = 10_000, 3  # of a box that takes part in the choice
SMALL = f"fewer than two boxes, or quarters of them, have {FEWEST_VX:,} labelled voxels and {FEWEST_LABELS} labels"


@dataclass(frozen=True, eq=False)
class Tuned:
    """What was chosen, and the scores that led to it.

    Attributes
    ----------
    settings
        The first is the default.
    thresholds
        Ascending.
    boxes
        What was scored: boxes, or quarters of boxes.
    voi
        float64[settings, boxes, thresholds], nats.
    choice
        Places in that table, and what they are worth.
    where
        What the boxes are, and whether the network has learned from them.
    """

    settings: tuple[Setting, ...]
    thresholds: tuple[float, ...]
    boxes: tuple[str, ...]
    voi: np.ndarray
    choice: Choice
    where: str

    def __eq__(self, other: object) -> bool:
        """Tell whether another says the same; arrays have no such test of their own."""
        return isinstance(other, Tuned) and self.to_data() == other.to_data()

    __hash__ = None  # type: ignore[assignment]

    @property
    def threshold(self) -> float:
        """The chosen one."""
        return self.thresholds[self.choice.threshold]

    @property
    def default_threshold(self) -> float:
        """That of the default."""
        return self.thresholds[self.choice.default_threshold]

    @property
    def names(self) -> list[str]:
        """The settings in a few words each."""
        return [one.describe(self.settings[0]) for one in self.settings]

    @property
    def segmentation(self) -> dict[str, Any]:
        """What a backbone's card holds of it, and ``[segment]`` of a config."""
        chosen = dump_config(self.settings[self.choice.setting])
        return {**chosen, "components": {"threshold": self.threshold}}

    def describe(self) -> str:
        """Return in a line what was taken, what it is worth, and where that was measured."""
        choice = self.choice
        told = f"setting {self.names[choice.setting]}, threshold {self.threshold:g}: VOI {choice.voi} on {self.where}"
        if not choice.is_default:
            told += f" (default, threshold {self.default_threshold:g}: {choice.default})"
        return f"{told}; {choice.why}"

    def list_best(self) -> list[tuple[str, float, Estimate]]:
        """Return each setting with its best threshold on all boxes and the VOI there, which is what the choice is made of."""
        best = self.voi.mean(axis=1).argmin(axis=1)
        return [
            (name, self.thresholds[place], Estimate.of(table[:, place]).above_zero())
            for name, place, table in zip(self.names, best, self.voi, strict=True)
        ]

    def to_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        surface = zip(self.names, self.settings, self.voi, strict=True)
        return {
            "setting": self.names[self.choice.setting],
            "threshold": self.threshold,
            "default_threshold": self.default_threshold,
            "where": self.where,
            "told": self.describe(),
            **self.choice.to_data(),
            "segmentation": self.segmentation,
            "boxes": list(self.boxes),
            "thresholds": list(self.thresholds),
            "surface": [
                {"name": name, "setting": dump_config(one), "voi": table.tolist()} for name, one, table in surface
            ],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any], where: str) -> "Tuned":
        """Return what `to_data` returned; UserError, with the place `where`, if it is something else."""
        try:
            rows, thresholds = data["surface"], tuple(data["thresholds"])
            settings = tuple(parse_config(Setting, row["setting"], where) for row in rows)
            places = [row["name"] for row in rows].index(data["setting"]), thresholds.index(data["threshold"])
            gain = None if data["gain"] is None else Estimate.from_data(data["gain"])
            voi, default = (Estimate.from_data(data[name]) for name in ("voi", "default_voi"))
            choice = Choice(*places, thresholds.index(data["default_threshold"]), voi, default, gain, data["why"])
            table = np.array([row["voi"] for row in rows])
            return cls(settings, thresholds, tuple(data["boxes"]), table, choice, data["where"])
        except (LookupError, TypeError, ValueError) as error:
            raise UserError("this is no record of a tuning", where, "delete it, and tune again") from error


def tune_boxes(
    boxes: Mapping[str, Callable[[], Labelled]],
    settings: Sequence[Setting],
    default_threshold: float,
    where: str,
    *,
    level: float = LEVEL,
) -> Tuned:
    """Score every setting at every threshold on every box, and choose.

    Parameters
    ----------
    boxes
        By name; each is called once, and forgotten before the next. Fewer than three are cut into quarters.
    settings
        The first is the default. Those of the same fragments are best in a row.
    default_threshold
        What goes with the default.
    where
        What the boxes are, for people, such as "4 boxes".

    Raises
    ------
    UserError
        If a threshold is above the limit of the agglomeration, or there is nothing to score.
    """
    limit = min(one.agglomerate.limit for one in settings)
    thresholds = tuple(sorted({default_threshold, *(t for t in THRESHOLDS if t <= limit)}))
    quartered = len(boxes) < FEWEST_BOXES
    names: list[str] = []
    whole: list[list[list[float]]] = []  # VOI of each box by setting and threshold
    tables: list[list[list[list[float]]]] = []  # the same of its parts
    steps = [(name, number) for name in boxes for number in range(len(settings))]
    for name, number in track("settings on labelled boxes", steps):
        if number == 0:
            box = boxes[name]()
            cut = box.cut(2) if quartered else box
            usable = [part for part in cut.parts if _is_usable(box.truth[part])]
            box = replace(box, parts=(WHOLE, *usable))
            names += [f"{name}, quarter {1 + cut.parts.index(part)}" if quartered else name for part in usable]
            whole.append([])
            tables.append([])
        setting = settings[number]
        if number == 0 or setting.fragments != settings[number - 1].fragments:
            found = box.find(setting.fragments)
        scores = box.sweep(found, setting.agglomerate, thresholds)
        first, *others = ([one.voi for one in sweep.scores] for sweep in scores)
        whole[-1].append(first)
        tables[-1].append(others)
    voi = np.concatenate([np.array(table).reshape(len(settings), -1, len(thresholds)) for table in tables], axis=1)
    place = thresholds.index(default_threshold)
    if len(names) < 2:
        voi = np.stack([np.array(table) for table in whole], axis=1)
        return Tuned(tuple(settings), thresholds, tuple(boxes), voi, keep_default(voi, place, SMALL, level), where)
    guard, told = (GUARD_OF_QUARTERS, f"quarters of {where}") if quartered else (GUARD, where)
    return Tuned(tuple(settings), thresholds, tuple(names), voi, choose(voi, place, guard, level), told)


def _is_usable(truth: np.ndarray) -> bool:
    labels, counts = np.unique(truth[truth > 0], return_counts=True)
    return len(labels) >= FEWEST_LABELS and int(counts.sum()) >= FEWEST_VX
