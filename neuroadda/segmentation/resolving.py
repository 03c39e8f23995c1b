"""What a config of a segmentation leaves open is decided: by the volume, the cards of its backbones, and an earlier run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funlib.geometry import Roi

from neuroadda.backbones.card import Card, load_card
from neuroadda.config import Zyx, load_config_file, parse_config
from neuroadda.errors import UserError
from neuroadda.prediction.members import find_shared, sort_cards
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.resolving import resolve_members
from neuroadda.runs.folder import CONFIG
from neuroadda.segmentation.fragments import ANISOTROPIC
from neuroadda.segmentation.settings import decide_threshold, take_tuned
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_setting import recall_no_data

if TYPE_CHECKING:
    from neuroadda.segmentation.config import SegmentConfig

ISOTROPIC_BLOCK_VX = (128, 128, 128)
ANISOTROPIC_BLOCK_VX = (32, 256, 256)


def resolve_config(
    config: "SegmentConfig", raw: Volume, roi: Roi, cards: Sequence[Card], content: str
) -> "SegmentConfig":
    """Return a config with everything decided.

    Parameters
    ----------
    cards
        Of the backbones; the first tells how affinities are segmented.
    content
        Fingerprint of the content of raw.

    Raises
    ------
    UserError
        If what is asked for cannot be.
    """
    block_vx = config.block_vx or default_block_vx(raw, roi)
    config = take_tuned(config, cards[0])
    threshold = decide_threshold(config, cards[0])
    return config.model_copy(
        update={
            "block_vx": block_vx,
            "predict": resolve_predict(config, _remember(config, block_vx, cards) or config.predict, block_vx, cards),
            "fragments": config.fragments.resolve(raw.voxel_size_nm, find_shared(cards)),
            "components": config.components.model_copy(update={"threshold": threshold}),
            "no_data": recall_no_data(config.no_data, raw, Path(config.output), content),
            "ledger": config.ledger_url,
        }
    )


def resolve_predict(config: "SegmentConfig", predict: Predict, block_vx: Zyx, cards: Sequence[Card]) -> Predict:
    """Return a prediction with everything decided, for a config's workers and backbones.

    Raises
    ------
    UserError
        As `resolve_members`.
    """
    execution, networks = config.execution, [card.architecture for card in sort_cards(cards)]
    elsewhere = execution.is_cluster and execution.job_for(True).gpus > 0
    return resolve_members(predict, networks, block_vx, execution.workers, elsewhere=elsewhere)


def describe_decided(config: "SegmentConfig", resolved: "SegmentConfig") -> dict[str, Any]:
    """Return what was asked for and what was decided; no worker counts, and no ledger, whose URL may hold a password."""
    hidden = {"execution", "ledger"}
    return {
        "requested": config.model_dump(mode="json", exclude=hidden),
        "resolved": resolved.model_dump(mode="json", exclude=hidden),
        "backbone": _digest([load_card(folder) for folder in resolved.backbones]),
    }


def _digest(cards: Sequence[Card]) -> str | list[str]:
    digests = [card.digest for card in sort_cards(cards)]
    return digests if len(digests) > 1 else digests[0]


def _remember(config: "SegmentConfig", block_vx: Zyx, cards: Sequence[Card]) -> Predict | None:
    """Return what an earlier run of the same prediction decided, on whatever machine that was."""
    try:
        before = load_config_file(Path(config.output) / CONFIG)
        resolved = parse_config(Predict, before["resolved"]["predict"], CONFIG)
        asked = parse_config(Predict, before["requested"]["predict"], CONFIG)
        same = before["backbone"] == _digest(cards) and before["resolved"]["block_vx"] == list(block_vx)
    except (UserError, KeyError, TypeError):  # nothing there, or nothing of ours
        return None
    return resolved if same and asked == config.predict else None


def default_block_vx(raw: Volume, roi: Roi) -> Zyx:
    """Return the shape of a block where none is given: by the voxel size, and at most the ROI."""
    z, y, x = raw.voxel_size_nm
    block = ANISOTROPIC_BLOCK_VX if z >= ANISOTROPIC * max(y, x) else ISOTROPIC_BLOCK_VX
    z_vx, y_vx, x_vx = (min(b, s) for b, s in zip(block, roi.shape / raw.voxel_size, strict=True))
    return z_vx, y_vx, x_vx
