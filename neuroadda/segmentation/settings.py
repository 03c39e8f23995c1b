"""How segments are made of affinities where a config does not say it: as the card of the backbone tells."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from neuroadda.backbones.card import CARD, Card
from neuroadda.config import Config, parse_config
from neuroadda.errors import SettingError
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments

if TYPE_CHECKING:
    from neuroadda.segmentation.config import SegmentConfig

DEFAULT_THRESHOLD = 0.5


class Threshold(Config):
    """The part of the components stage that a user chooses; see `Components`.

    Attributes
    ----------
    threshold
        Fragments are one segment where they merge at a score below it; at most `agglomerate.limit`. By default the threshold
        that the backbone was tuned to, or at which it was validated best, or 0.5 where its card tells neither.
    min_voxels : voxels
        Segments of fewer voxels become background.
    """

    threshold: float | None = Field(default=None, gt=0, le=1)
    min_voxels: int = Field(default=0, ge=0)


class TunedSettings(Config):
    """How segments are made of affinities: what the card of a backbone holds of it."""

    fragments: Fragments = Field(default_factory=Fragments)
    agglomerate: Agglomerate = Field(default_factory=Agglomerate)
    components: Threshold = Field(default_factory=Threshold)


def is_tunable(config: "SegmentConfig") -> bool:
    """Tell whether a config leaves it to the backbone's card how segments are made."""
    return not config.model_fields_set & {"fragments", "agglomerate"}


def take_tuned(config: "SegmentConfig", card: Card) -> "SegmentConfig":
    """Return a config with the settings that its backbone was tuned to, unless it has settings of its own.

    Raises
    ------
    UserError
        If the card holds others than this version knows.
    """
    if not card.segmentation or not is_tunable(config):
        return config
    return lay_settings(config, card.segmentation, f"{CARD} of {config.backbones[0]}")


def lay_settings(config: "SegmentConfig", segmentation: Mapping[str, Any], where: str) -> "SegmentConfig":
    """Return a config with settings (plain data, read from `where`); a threshold of its own stays."""
    tuned = parse_config(TunedSettings, segmentation, where)
    threshold = config.components.threshold or tuned.components.threshold
    components = config.components.model_copy(update={"threshold": threshold})
    parts = {"fragments": tuned.fragments, "agglomerate": tuned.agglomerate, "components": components}
    return config.model_copy(update=parts)


def decide_threshold(config: "SegmentConfig", card: Card | None) -> float:
    """Return the threshold of the segmentation; raise UserError if it is above the limit of the agglomeration.

    Parameters
    ----------
    card
        Of the first backbone; None where it is not known, so that the config alone decides.
    """
    config = config if card is None else take_tuned(config, card)
    validated = DEFAULT_THRESHOLD if card is None else card.metrics.get("threshold", DEFAULT_THRESHOLD)
    threshold = config.components.threshold or validated
    if threshold > config.agglomerate.limit:
        what = (
            f"threshold {threshold} is above agglomerate.limit {config.agglomerate.limit}, up to which fragments merge"
        )
        raise SettingError(what, "components.threshold", "raise the limit or lower the threshold")
    return threshold
