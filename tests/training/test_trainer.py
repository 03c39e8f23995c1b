"""Training learns, and goes on exactly where it was killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, load_card
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import dump_config
from neuroadda.errors import UserError
from neuroadda.training.config import TrainConfig
from neuroadda.training.learner import learning_rate
from neuroadda.training.state import find_state
from neuroadda.training.trainer import train_network

Configure = Callable[..., TrainConfig]


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "loss" in line] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def test_it_learns_and_writes_a_backbone(configure: Configure, tmp_path: Path) -> None:
    config = configure(iterations=60, batch_size=2, augment={"elastic": 0.0}, picture_every=30)
    card = train_network(config)
    history = losses(tmp_path / "run")
    assert np.mean(history[-8:]) < 0.9 * np.mean(history[:8])
    backbone = load_backbone(tmp_path / "run" / "backbone")
    assert backbone.card == card
    assert card.iterations == 60
    assert card.cpu_minutes > 0
    assert card.voxel_size_nm == (40, 8, 8)
    assert card.training_data[0]["shape"] == [14 * 40, 64 * 8, 64 * 8]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in backbone.model.modules())
    assert sorted(p.name for p in (tmp_path / "run" / "pictures").iterdir()) == ["00000030.png", "00000060.png"]
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2
    # a rerun returns the same card, and trains nothing
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert train_network(config) == card
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_auxiliary_affinities_are_learnt_and_not_predicted(configure: Configure, tmp_path: Path) -> None:
    far = [(0, -5, 0), (0, 0, -5)]
    cards = {
        key: train_network(configure(output=str(tmp_path / key), iterations=4, **offsets))
        for key, offsets in {
            "plain": {},
            "auxiliary": {"auxiliary_offsets": far},
            "predicted": {"offsets": [*NEAREST, *far]},
        }.items()
    }
    plain, auxiliary, predicted = (load_backbone(tmp_path / key / "backbone").model for key in cards)
    assert cards["auxiliary"].offsets == NEAREST
    assert auxiliary.config == plain.config
    assert losses(tmp_path / "auxiliary") == losses(tmp_path / "predicted")
    assert losses(tmp_path / "auxiliary") != losses(tmp_path / "plain")
    raw = torch.rand(1, 1, *predicted.config.input_shape_vx((8, 24, 24)))
    with torch.inference_mode():
        torch.testing.assert_close(auxiliary(raw), predicted(raw)[:, :3])


@pytest.mark.parametrize(
    "offsets",
    [{"offsets": [], "auxiliary_offsets": NEAREST}, {"auxiliary_offsets": [NEAREST[0]]}],
    ids=["none", "twice"],
)
def test_auxiliary_affinities_are_no_substitute_for_the_nearest(configure: Configure, offsets: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="offsets"):
        configure(**offsets)


@pytest.mark.parametrize(
    ("offsets", "told"),
    [
        (
            {"auxiliary_offsets": [[0, 0, -500]]},
            "auxiliary_offsets [0, 0, -500] is too long for output_shape_vx [4, 24, 24]",
        ),
        ({"auxiliary_offsets": [[0, 24, 0]]}, "up to [3, 23, 23] (zyx) fits"),
        ({"auxiliary_offsets": [[0, 0, 0]]}, "offset [0, 0, 0] is of a voxel and itself"),
        ({"auxiliary_offsets": [[0, 0, 5], [0, 0, -5]]}, "repeated: [0, 0, -5] is the affinity of [0, 0, 5]"),
        ({"auxiliary_offsets": [[0, 1, 0]]}, "repeated: [0, 1, 0] is the affinity of [0, -1, 0]"),
    ],
)
def test_offsets_that_teach_nothing_are_refused(configure: Configure, offsets: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        configure(**offsets)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_longest_offsets_that_fit_and_neighbours_of_one_section_are_taken(configure: Configure) -> None:
    assert configure(auxiliary_offsets=[[-3, 0, 0], [0, 23, -23]]).auxiliary_offsets
    network = {"features": [4, 6], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[1, 3, 3]]]}
    assert configure(output_shape_vx=[1, 24, 24], network=network).offsets == NEAREST


def test_the_same_seed_gives_the_same_weights(configure: Configure, tmp_path: Path) -> None:
    cards = [train_network(configure(output=str(tmp_path / str(w)), workers=w)) for w in (0, 1)]
    assert losses(tmp_path / "0") == losses(tmp_path / "1")
    assert cards[0].digest == cards[1].digest
    other = train_network(configure(output=str(tmp_path / "other"), seed=1))
    assert other.digest != cards[0].digest


@pytest.mark.system
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_killed_training_goes_on_to_the_same_weights(configure: Configure, tmp_path: Path, ema: float) -> None:
    undisturbed = train_network(configure(output=str(tmp_path / "undisturbed"), ema=ema, padded=0.4))
    config = configure(ema=ema, padded=0.4)
    (tmp_path / "config.json").write_text(json.dumps(dump_config(config)))
    code = (
        "import os, signal, sys, pathlib\n"
        "from neuroadda.config import load_config_file, parse_config\n"
        "from neuroadda.training import report, trainer\n"
        "from neuroadda.training.config import TrainConfig\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "log = report.TrainingLog.log\n"
        "def die(self, iteration, values):\n"
        "    log(self, iteration, values)\n"
        "    if iteration == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "report.TrainingLog.log = die\n"
        "trainer.train_network(parse_config(TrainConfig, load_config_file(path), str(path)))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "config.json")], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(losses(tmp_path / "run")) == 5
    found = find_state(tmp_path / "run" / "checkpoints")
    assert found is not None
    assert found[0].name == "00000003"
    resumed = train_network(config)
    assert losses(tmp_path / "run") == losses(tmp_path / "undisturbed")
    assert resumed.digest == undisturbed.digest


def test_a_damaged_checkpoint_is_passed_over(configure: Configure, tmp_path: Path) -> None:
    card = train_network(configure())
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    tensors = newest / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-7])
    found = find_state(tmp_path / "run" / "checkpoints")
    assert found is not None
    assert found[0].name == "00000006"
    assert train_network(configure()).digest == card.digest


def test_another_training_is_not_overwritten(configure: Configure, tmp_path: Path) -> None:
    first = train_network(configure())
    with pytest.raises(UserError, match="another training"):
        train_network(configure(learning_rate=1e-4))
    assert load_card(tmp_path / "run" / "backbone") == first
    # what does not determine the result may change
    assert train_network(configure(workers=1, checkpoint_every=100)) == first
    second = train_network(configure(learning_rate=1e-4), overwrite=True)
    assert second.digest != first.digest
    assert len(losses(tmp_path / "run")) == 8


def test_the_best_validated_backbone_is_kept(configure: Configure, tmp_path: Path) -> None:
    voi = iter([3.0, 1.0, 2.0])
    seen: list[str] = []

    def validate(backbone: Backbone) -> dict[str, float]:
        assert not backbone.model.training
        seen.append(backbone.card.digest)
        assert load_backbone(backbone.folder).card == backbone.card
        return {"voi": next(voi)}

    card = train_network(configure(validate_every=3, keep_best="voi"), validate)
    assert card.digest == seen[1]
    assert card.metrics == {"voi": 1.0}
    assert card.iterations == 6
    with pytest.raises(UserError, match="no validation"):
        train_network(configure(validate_every=3, keep_best="voi", output=str(tmp_path / "b")))


def test_the_learning_rate_warms_up_and_decays(configure: Configure) -> None:
    config = configure(iterations=100, warm_up=10, learning_rate=1.0)
    rates = [learning_rate(config, i) for i in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert max(rates) == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01


def test_bfloat16_on_a_cpu_is_refused_before_anything_is_deleted(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UserError, match="bfloat16"):
        train_network(configure(precision="bfloat16"), overwrite=True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoints"]
