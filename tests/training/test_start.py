"""Fine-tuning: what is taken from a backbone, what stays as it is, and when it ends."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, load_card
from neuroadda.backbones.checkpoint import Backbone, load_backbone, save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.cli import main
from neuroadda.errors import UserError
from neuroadda.training.config import TrainConfig
from neuroadda.training.start import adopt_network, calibrate_norms, take_weights
from neuroadda.training.trainer import train_network

Configure = Callable[..., TrainConfig]


@pytest.fixture
def source(configure: Configure, tmp_path: Path) -> Path:
    """The folder of a trained backbone; its samples have a name."""
    config = configure(output=str(tmp_path / "source"), iterations=4)
    sample = config.samples[0].model_copy(update={"provenance": {"name": "cells"}})
    train_network(config.model_copy(update={"samples": (sample,)}))
    return tmp_path / "source" / "backbone"


def from_source(
    configure: Configure, source: Path, start: dict[str, object] | None = None, **changes: object
) -> TrainConfig:
    return configure(start={"backbone": str(source), **(start or {})}, **changes)


def test_without_learning_the_function_stays_the_same(configure: Configure, source: Path, tmp_path: Path) -> None:
    """Batch norms begin as identities: what comes out after a step of almost no size is what went in."""
    config = from_source(configure, source, iterations=1, learning_rate=1e-12, weight_decay=0.0)
    card = train_network(config)
    raw = torch.rand(1, 1, *card.architecture.input_shape_vx((4, 8, 8))) * 2 - 1
    with torch.inference_mode():
        before, after = (load_backbone(folder).model(raw) for folder in (source, tmp_path / "run" / "backbone"))
    assert torch.allclose(before, after, atol=0.15 * float(before.std()))


def test_calibrated_norms_change_nothing(source: Path) -> None:
    backbone = load_backbone(source)
    model = UNet(backbone.card.architecture, batch_norm=True)
    model.load_state_dict(backbone.model.state_dict(), strict=False)
    calibrate_norms(model, [torch.rand(1, 1, 4, 24, 24) * 2 - 1 for _ in range(3)])
    raw = torch.rand(2, 1, 4, 24, 24) * 2 - 1
    model.eval()
    with torch.inference_mode():
        expected = backbone.model(raw, padded=True)
        assert torch.allclose(model(raw, padded=True), expected, rtol=1e-3, atol=1e-4)
        assert torch.allclose(model.fold()(raw, padded=True), expected, rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) for norm in _norms(model))


def _norms(model: UNet) -> list[torch.nn.BatchNorm2d]:
    return [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_the_heads_channels_go_by_their_offsets(configure: Configure, source: Path) -> None:
    known = load_backbone(source)
    config = from_source(configure, source, offsets=[[0, -1, 0], [0, 0, -1], [0, -3, 0]])
    config = adopt_network(config)
    torch.manual_seed(3)
    model = UNet(config.architecture)
    fresh = model.head.weight[2].clone()
    take_weights(model, config, known)
    assert torch.equal(model.head.weight[0], known.model.head.weight[1])
    assert torch.equal(model.head.weight[1], known.model.head.weight[2])
    assert torch.equal(model.head.weight[2], fresh)
    for name, value in model.down.state_dict().items():
        assert torch.equal(value, known.model.down.state_dict()[name])


def test_frozen_levels_stay_and_the_encoder_learns_slower(configure: Configure, source: Path, tmp_path: Path) -> None:
    config = from_source(
        configure, source, {"frozen_levels": 1, "encoder_rate": 0.01}, iterations=6, weight_decay=0.0, batch_norm=False
    )
    train_network(config)
    before, after = load_backbone(source).model, load_backbone(tmp_path / "run" / "backbone").model
    moved = {
        part: max(float((p - q).detach().abs().max()) for p, q in zip(a.parameters(), b.parameters(), strict=True))
        for part, a, b in (
            ("frozen", before.down[0], after.down[0]),
            ("encoder", before.down[1], after.down[1]),
            ("decoder", before.up, after.up),
        )
    }
    assert moved["frozen"] == 0
    assert 0 < moved["encoder"] < 0.1 * moved["decoder"]


def test_frozen_levels_stay_with_batch_norm_too(configure: Configure, source: Path, tmp_path: Path) -> None:
    train_network(from_source(configure, source, {"frozen_levels": 1}, iterations=4))
    raw = torch.rand(1, 1, 4, 24, 24) * 2 - 1
    with torch.inference_mode():
        features = [
            load_backbone(folder).model.down[0](raw.transpose(1, 2), True)
            for folder in (source, tmp_path / "run" / "backbone")
        ]
    assert torch.allclose(*features, rtol=1e-3, atol=1e-4)


def test_a_card_tells_what_its_start_had_seen(configure: Configure, source: Path) -> None:
    card = train_network(from_source(configure, source, iterations=2))
    assert [sample.get("name") for sample in card.training_data] == [None, "cells"]


def test_another_start_is_another_training(configure: Configure, source: Path, tmp_path: Path) -> None:
    config = from_source(configure, source, iterations=2)
    train_network(config)
    backbone = load_backbone(source)
    with torch.no_grad():
        backbone.model.head.bias += 1
    save_backbone(source, backbone.model, backbone.card)
    with pytest.raises(UserError, match="another training"):
        train_network(config)


def test_the_network_comes_with_the_backbone(configure: Configure, source: Path) -> None:
    config = from_source(configure, source)
    other = config.model_copy(update={"network": config.network.model_copy(update={"features": (4, 8)})})
    with pytest.raises(UserError, match="the network is not that of"):
        adopt_network(other)
    bare = TrainConfig(**{k: getattr(config, k) for k in config.model_fields_set - {"network"}})
    assert adopt_network(bare).architecture == load_card(source).architecture


def test_it_stops_when_validations_bring_nothing_better(configure: Configure, tmp_path: Path) -> None:
    values = iter([0.5, 0.4, 0.6, 0.45, 0.1])

    def validate(backbone: Backbone) -> dict[str, float]:
        return {"voi": next(values)}

    config = configure(iterations=8, validate_every=1, keep_best="voi", patience=2)
    card = train_network(config, validate)
    assert (card.iterations, card.metrics) == (2, {"voi": 0.4})
    assert card.learning_curve == ((1, 0.5), (2, 0.4))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert max(line["iteration"] for line in lines) == 4
    # a rerun knows that it is finished
    assert train_network(config, validate) == card
    assert next(values) == 0.1


def test_half_precision_comes_back_as_float32(source: Path, tmp_path: Path) -> None:
    backbone = load_backbone(source)
    save_backbone(tmp_path / "half", backbone.model, backbone.card, half=True)
    half = load_backbone(tmp_path / "half").model.state_dict()
    size = [(folder / "weights.safetensors").stat().st_size for folder in (source, tmp_path / "half")]
    assert size[1] < 0.7 * size[0]
    for name, value in backbone.model.state_dict().items():
        assert half[name].dtype == torch.float32
        assert np.allclose(half[name], value, rtol=1e-3, atol=1e-6)


def test_offsets_of_single_sections(configure: Configure, tmp_path: Path) -> None:
    card = train_network(configure(offsets=[[0, -1, 0], [0, 0, -1]], iterations=2, picture_every=1))
    assert card.offsets == NEAREST[1:]
    assert card.predicted_offsets == NEAREST
    assert len(list((tmp_path / "run" / "pictures").iterdir())) == 2


def test_a_best_backbone_that_is_gone_is_not_made_up(configure: Configure, tmp_path: Path) -> None:
    config = configure(iterations=4, validate_every=1, keep_best="voi")
    values = iter([0.5, 0.1, 0.2, 0.3])
    train_network(config, lambda backbone: {"voi": next(values)})
    (tmp_path / "run" / "backbone" / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="finished, but its backbone is missing"):
        train_network(config, lambda backbone: {"voi": 0.0})


def test_a_training_stopped_before_its_first_checkpoint_goes_on(configure: Configure, tmp_path: Path) -> None:
    config = configure(iterations=4, validate_every=1, keep_best="voi", checkpoint_every=0)
    values = iter([0.5])
    with pytest.raises(StopIteration):
        train_network(config, lambda backbone: {"voi": next(values)})
    assert (tmp_path / "run" / "backbone").exists()
    assert train_network(config, lambda backbone: {"voi": 0.4}).iterations == 1


def test_the_command_starts_from_a_folder_and_knows_its_zoo(
    small: dict[str, object],
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder whose name looks like a number is still a folder; an unknown name is one line with what there is."""
    folder = source.rename(tmp_path / "2024")
    config = tmp_path / "run.json"
    config.write_text(json.dumps({"train": {key: value for key, value in small.items() if key != "network"}}))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> None:
        monkeypatch.setattr("sys.argv", ["neuroadda", "train", "-c", str(config), *words])
        main()

    with pytest.raises(SystemExit) as ended:
        run("--from", "fly_fibsen")
    assert ended.value.code == 2
    assert "no entry of the zoo and no folder" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit) as ended:
        run("--from", "2024", "--set", "train.start.encoder_rate=0.1", "--set", "train.iterations=2", "--json")
    assert ended.value.code == 0
    card = load_card(tmp_path / "run" / "backbone")
    assert card.training_data[1]["name"] == "cells"
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["start"] == {"backbone": "2024", "frozen_levels": 0, "encoder_rate": 0.1}
    assert folder.exists()
