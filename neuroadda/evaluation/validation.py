"""Validate a network while it trains: segment a held-out part in memory and score it at its best threshold."""

from dataclasses import dataclass

import fastremap
import numpy as np
from funlib.geometry import Roi
from pydantic import Field

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import PathText, PublicConfig
from neuroadda.errors import in_section
from neuroadda.evaluation.contingency import Contingency, count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.sweep import THRESHOLDS, Sweep, check_labels, sweep_contingency
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import Agglomerated, agglomerate_array
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.label_checks import check_truth
from neuroadda.volumes.label_ids import read_ids
from neuroadda.volumes.regions import RoiConfig


class ValidateConfig(PublicConfig):
    """A labelled part that is not trained on, small enough for memory.

    Attributes
    ----------
    raw, labels
        Arrays on one voxel grid.
    roi
        The part; all of the labels by default.
    linked
        Whether a label has the same id in every section; if not, each section is scored by itself.
    """

    raw: PathText
    labels: PathText
    roi: RoiConfig | None = None
    linked: bool = True
    predict: Predict = Field(default_factory=Predict)
    fragments: Fragments = Field(default_factory=Fragments)
    agglomerate: Agglomerate = Field(default_factory=Agglomerate)


@dataclass(frozen=True)
class Validator:
    """Scores a backbone on a held-out part; callable, as `neuroadda.training.trainer.train_network` wants it."""

    config: ValidateConfig

    def __call__(self, backbone: Backbone) -> dict[str, float]:
        """Return VOI (nats) split, merge and total at the best threshold, that threshold, and the adapted Rand error."""
        return to_metrics(self.sweep(backbone))

    def check(self) -> tuple[Volume, Volume, Roi]:
        """Return raw, labels and the part; raise UserError now rather than after hours of training if they do not fit."""
        raw, labels, roi = self._open()
        check_truth(labels, roi, raw=raw).warn_of_unlabelled("they are not scored", str(labels.path))
        return raw, labels, roi

    def _open(self) -> tuple[Volume, Volume, Roi]:
        raw, labels = Volume.open(self.config.raw), Volume.open(self.config.labels)
        check_labels(labels, raw)
        roi = labels.roi if self.config.roi is None else self.config.roi.to_roi(labels)
        raw.to_slices(roi)
        return raw, labels, roi

    def sweep(self, backbone: Backbone) -> Sweep:
        """Return the scores at all thresholds."""
        config = self.config
        raw, labels, roi = self._open()
        shape = roi.shape / raw.voxel_size
        with in_section("validation"):
            predict = config.predict.resolve(backbone.card.architecture, (shape[0], shape[1], shape[2]))
        affs, _ = Predictor(backbone, predict)(raw, roi)
        whole = agglomerate_array(affs, raw.voxel_size_nm, config.fragments, config.agglomerate)
        truth = read_ids(labels, roi)
        if not config.linked:
            return _sweep_sections(whole, truth)
        overlaps = count_overlaps(whole.fragments, truth)

        def lut_at(threshold: float):  # type: ignore[no-untyped-def]
            lut = whole.lut(threshold)
            return lambda ids: lut[ids.astype("int64")]

        return sweep_contingency(overlaps, lut_at, THRESHOLDS)


def _sweep_sections(whole: Agglomerated, truth: np.ndarray) -> Sweep:
    """Score every section by itself: neither segments nor labels are the same in two of them."""
    truth = fastremap.renumber(truth, preserve_zero=True)[0]

    def count(threshold: float) -> Contingency:
        return count_overlaps(_split_sections(whole.segment(threshold)), _split_sections(truth))

    return Sweep(thresholds=THRESHOLDS, scores=tuple(score(count(threshold)) for threshold in THRESHOLDS))


def _split_sections(ids: np.ndarray) -> np.ndarray:
    """Return ids (zyx, from 1 on) as uint64, others in each section; 0 stays."""
    ids = ids.astype(np.uint64)
    first = np.arange(len(ids), dtype=np.uint64)[:, None, None] * ids.max(initial=0)
    return np.where(ids > 0, ids + first, 0)


def to_metrics(sweep: Sweep) -> dict[str, float]:
    """Return VOI (nats) split, merge and total at the best threshold, that threshold, and the adapted Rand error."""
    best = sweep.scores[sweep.best]
    return {
        "voi": best.voi,
        "voi_split": best.voi_split,
        "voi_merge": best.voi_merge,
        "adapted_rand_error": best.adapted_rand_error,
        "threshold": sweep.thresholds[sweep.best],
    }
