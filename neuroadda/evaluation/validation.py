"""Validate a network while it trains: segment a held-out part in memory and score it at its best threshold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from funlib.geometry import Coordinate, Roi
from pydantic import Field

from neuroadda.backbones.card import CARD, Card, load_card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import PathText, PublicConfig, dump_config, fingerprint, write_json
from neuroadda.errors import UserError, in_section, warn
from neuroadda.evaluation.labelled import Labelled
from neuroadda.evaluation.sweep import Sweep, check_labels
from neuroadda.prediction.ensemble import predict_roi
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.contents.grey_values import open_raw
from neuroadda.volumes.contents.label_checks import check_truth
from neuroadda.volumes.contents.label_ids import read_ids
from neuroadda.volumes.coverage.filling import Data, FilledVolume
from neuroadda.volumes.coverage.masks import open_mask
from neuroadda.volumes.coverage.no_data import FoundData, has_data, has_gaps
from neuroadda.volumes.coverage.no_data_setting import AUTO, NONE, WithNoData
from neuroadda.volumes.coverage.tissue import NO_DATA, WithLostSections
from neuroadda.volumes.geometry.regions import RoiConfig, roi_or_all
from neuroadda.volumes.identity.inputs import Inputs


class ValidateConfig(PublicConfig, WithNoData):
    """A labelled part that is not trained on, small enough for memory.

    Attributes
    ----------
    raw
        Array of uint8, zyx.
    labels
        Array of the truth, on the voxels of raw.
    no_data
        Where raw has none, as in a segmentation: "auto" for constant areas, "none", or a mask, 0 where there is no data.
    roi
        The part; all of the labels by default.
    linked
        Whether a label has the same id in every section; if not, each section is scored by itself.
    predict
        How affinities are predicted.
    fragments, agglomerate
        How segments are made of affinities.
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
        raw, labels, roi = self.open()
        tally = check_truth(labels, roi, raw=raw)
        tally.warn_of_unlabelled("they are not scored", str(labels.path))
        if tally.one_id:
            warn("there is only one id, so that merging everything scores best: is it a mask?", str(labels.path))
        if not self._has_data(raw, roi):
            what = f"there is no data in all of {describe_roi(roi)}, which is to be scored (black, white or blank)"
            right = f'give a part that shows tissue; no_data = "{NONE}" takes constant areas for tissue'
            raise UserError(what, str(raw.path), right)
        return raw, labels, roi

    def _has_data(self, raw: Volume, roi: Roi) -> bool:
        if self.config.no_data in (AUTO, NONE):
            return self.config.no_data == NONE or has_data(raw, roi)
        return bool(open_mask(self.config.no_data, raw, raw.roi).read(roi).any())

    @property
    def fingerprint(self) -> str:
        """Which arrays are scored on, and how; not what is in them."""
        return self._identify(lambda name, volume: volume.fingerprint)

    def identify(self, inputs: Inputs) -> str:
        """Return what determines the metrics of a backbone: its fingerprint, with the content of the arrays."""
        return self._identify(lambda name, volume: inputs.identify(f"validation_{name}", volume))

    def _identify(self, identify: Callable[[str, Volume], str]) -> str:
        raw, labels, _ = self.open()
        read = {"raw": raw, "labels": labels}
        if self.config.no_data not in (AUTO, NONE):
            read[NO_DATA] = open_mask(self.config.no_data, raw, raw.roi).volume
        settings = self.config.model_dump(mode="json", exclude=set(read))
        return fingerprint(settings, {name: identify(name, volume) for name, volume in read.items()})

    def open(self) -> tuple[Volume, Volume, Roi]:
        """Return raw, labels and the part, whose voxels are not looked at; see `check`."""
        raw, labels = open_raw(self.config.raw), Volume.open(self.config.labels)
        check_labels(labels, raw)
        roi = roi_or_all(self.config.roi, labels)
        if self.config.roi is None and not raw.roi.contains(roi):
            what = f"the labels reach beyond raw: {describe_roi(roi)} is not inside {describe_roi(raw.roi)}"
            raise UserError(what, self.config.labels, "give a roi that lies in both")
        raw.to_slices(roi)
        return raw, labels, roi

    def sweep(self, backbone: Backbone) -> Sweep:
        """Return the scores at all thresholds."""
        return self.predict(backbone).sweep(self.config.fragments, self.config.agglomerate)[0]

    def predict(self, backbone: Backbone) -> Labelled:
        """Return the affinities of the part with its truth."""
        config = self.config
        raw, labels, roi = self.open()
        shape = roi.shape / raw.voxel_size
        with in_section("validation"):
            predict = config.predict.resolve(backbone.card.architecture, (shape[0], shape[1], shape[2]))
        context = Coordinate(backbone.card.architecture.context_vx)
        data = self._find_data(raw, roi, context)
        affs = predict_roi(backbone, predict, raw if data is None else FilledVolume(raw, data, context), roi)
        tissue = None if data is None else WithLostSections(data, raw.voxel_size, raw.roi).read(roi)
        if tissue is not None:
            affs *= tissue
        kept = None if data is None else data.read(roi)
        truth, offsets = read_ids(labels, roi), backbone.card.offsets
        return Labelled(affs, truth, raw.voxel_size_nm, config.linked, tissue, kept, offsets=offsets)

    def _find_data(self, raw: Volume, roi: Roi, context: Coordinate) -> Data | None:
        """Return what tells where raw has data; None if it has wherever a network looks."""
        if self.config.no_data == NONE:
            return None
        if self.config.no_data != AUTO:
            return open_mask(self.config.no_data, raw, raw.roi)
        around = context * raw.voxel_size
        return FoundData(raw) if has_gaps(raw, roi.grow(around, around).intersect(raw.roi)) else None


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


def keep_metrics(folder: Path, metrics: Mapping[str, float]) -> Card:
    """Note in a backbone's card how it scores, and return the card."""
    card = load_card(folder).model_copy(update={"metrics": dict(metrics)})
    write_json(folder / CARD, dump_config(card))
    return card
