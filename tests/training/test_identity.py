"""What makes a training another one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from neuroadda.backbones import devices
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.errors import UserError
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.training.config import TrainConfig, training_fingerprint
from neuroadda.training.trainer import train_network
from neuroadda.volumes.arrays import Volume

Configure = Callable[..., TrainConfig]


@dataclass(frozen=True)
class Later(Validator):
    """Depends on the volumes of a validator, and scores later iterations better, or worse."""

    sign: int = -1

    def __call__(self, backbone: Backbone) -> dict[str, float]:
        return {"voi": float(self.sign * backbone.card.iterations)}


@pytest.fixture
def held_out(volumes: Path) -> ValidateConfig:
    return ValidateConfig(raw=str(volumes / "raw"), labels=str(volumes / "labels"))


def identify(config: TrainConfig) -> str:
    return training_fingerprint(config, ["v"])


def test_how_often_is_validated_counts_where_that_chooses_the_backbone(configure: Configure) -> None:
    assert identify(configure(validate_every=2)) == identify(configure(validate_every=4))
    chosen = [identify(configure(validate_every=every, keep_best="voi")) for every in (2, 4)]
    assert chosen[0] != chosen[1]


def test_the_precision_counts_as_it_was_decided(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = identify(configure())
    assert plain == identify(configure(precision="float32")) == identify(configure(precision="float32", device="cuda"))
    half = identify(configure(precision="bfloat16", device="cuda"))
    assert half != plain
    resolve = devices.resolve_precision
    monkeypatch.setattr(
        "neuroadda.training.config.resolve_precision",
        lambda precision, device, training: resolve("bfloat16" if device == "cuda" else precision, device, training),
    )
    assert identify(configure(device="cuda")) == half  # on a GPU that computes in bfloat16
    assert identify(configure(device="cuda", channels_last=True)) == half
    assert identify(configure()) == plain


def test_another_validation_is_another_training_where_it_chooses_the_backbone(
    configure: Configure, held_out: ValidateConfig
) -> None:
    config = configure(validate_every=4, keep_best="voi")
    assert train_network(config, Later(held_out)).iterations == 8
    assert train_network(config, Later(held_out)).iterations == 8
    other = held_out.model_copy(update={"linked": False})
    with pytest.raises(UserError, match="another training"):
        train_network(config, Later(other))


def test_a_validation_that_only_scores_may_be_another(configure: Configure, held_out: ValidateConfig) -> None:
    config = configure(validate_every=4)
    before = train_network(config, Later(held_out))
    assert train_network(config, Later(held_out.model_copy(update={"linked": False}))) == before


def test_after_an_edit_of_the_validation_part_the_best_is_chosen_again(
    configure: Configure, held_out: ValidateConfig, volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray
) -> None:
    labels = write_volume(volumes / "truth", cells)
    held_out = held_out.model_copy(update={"labels": str(labels)})
    config = configure(validate_every=4, keep_best="voi")
    assert train_network(config, Later(held_out)).iterations == 8
    truth = Volume.open(labels, "r+")
    truth.write(truth.roi, np.roll(cells, 5, 2))
    assert train_network(config, Later(held_out, sign=1)).iterations == 4
