import io
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.viewing.curves import Curve, plot_curves, plot_sweep


@dataclass
class Sweep:
    thresholds: list[float]
    scores: list[Scores]
    best: int = 0


def scores_of(pieces: int) -> Scores:
    return score(count_overlaps(np.arange(64) * pieces // 64, np.ones(64, int)))


def test_pictures_are_clear_pngs_that_differ_by_theme() -> None:
    for pictures in (
        plot_sweep(Sweep([0.1, 0.2], [scores_of(4), scores_of(2)])),
        plot_sweep(Sweep([0.5], [scores_of(1)])),
        plot_curves([Curve("loss", [0, 1, 2], [1.0, 0.1, 0.001])], "step", "loss"),
    ):
        light, dark = (Image.open(io.BytesIO(png)) for png in pictures)
        assert light.mode == dark.mode == "RGBA"
        assert light.getpixel((0, 0))[3] == 0
        assert np.asarray(light).any(axis=-1).sum() > 1000
        assert pictures.light != pictures.dark


def test_pictures_are_reproducible() -> None:
    sweep = Sweep([0.1, 0.2], [scores_of(4), scores_of(2)])
    assert plot_sweep(sweep) == plot_sweep(sweep)


def test_uneven_or_empty_curves_are_refused() -> None:
    with pytest.raises(UserError, match="2 thresholds, 1 scores"):
        plot_sweep(Sweep([0.1, 0.2], [scores_of(1)]))
    with pytest.raises(UserError, match="'loss'"):
        plot_curves([Curve("loss", [0, 1], [1.0])], "step", "loss")
    with pytest.raises(UserError, match="no curves"):
        plot_curves([], "step", "loss")
