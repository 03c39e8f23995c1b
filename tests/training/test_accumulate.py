"""An iteration of several batches, and who gets which of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import dump_config, fingerprint
from neuroadda.errors import UserError
from neuroadda.training.config import TrainConfig, training_fingerprint
from neuroadda.training.dataset import load_batches
from neuroadda.training.distributed import Processes
from neuroadda.training.ranks import Rank
from neuroadda.training.trainer import train_network

Configure = Callable[..., TrainConfig]
PLAIN = {"augment": {"elastic": 0.0}, "batch_norm": False, "loss": {"dice": 0.0}}


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([w.flatten() for w in load_backbone(folder / "backbone").model.state_dict().values()])


def test_the_processes_together_draw_what_one_alone_draws(configure: Configure) -> None:
    config = configure(iterations=3, batch_size=2, accumulate=6, padded=0.5, augment={"elastic": 0.0})
    alone = [batch["raw"].numpy() for batch in load_batches(config, 1)]
    assert len(alone) == 2 * 6
    for count in (2, 3, 6):
        shares = [[b["raw"].numpy() for b in load_batches(config, 1, Rank(rank, count))] for rank in range(count)]
        each = 6 // count
        together = [b for i in range(2) for share in shares for b in share[i * each : (i + 1) * each]]
        for expected, got in zip(alone, together, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_two_batches_teach_what_one_of_twice_the_size_does(configure: Configure, tmp_path: Path) -> None:
    # without statistics over a batch (batch norm, dice), which differ by what a batch is
    train_network(configure(output=str(tmp_path / "twice"), batch_size=2, **PLAIN))
    train_network(configure(output=str(tmp_path / "both"), accumulate=2, **PLAIN))
    train_network(configure(output=str(tmp_path / "once"), **PLAIN))
    twice, both, once = (weights(tmp_path / name) for name in ("twice", "both", "once"))
    torch.testing.assert_close(both, twice, rtol=0, atol=5e-5)
    assert (once - twice).abs().max() > 1e-3


def test_running_statistics_are_the_mean_over_the_batches(configure: Configure, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    config = configure(iterations=1, accumulate=2, checkpoint_every=1, learning_rate=1e-12)
    train_network(config)
    found = load_file(tmp_path / "run/checkpoints/00000001/state.safetensors")
    means, name = [], "down.0.norms.0.running_mean"
    for batch in load_batches(config, 0):
        torch.manual_seed(config.seed)
        from neuroadda.backbones.unet import UNet

        model = UNet(config.architecture, batch_norm=True)
        model(batch["raw"], padded=True)
        means.append(model.state_dict()[name])
    torch.testing.assert_close(found[f"model.{name}"], (means[0] + means[1]) / 2, rtol=0, atol=0)
    assert found["model.down.0.norms.0.num_batches_tracked"] == 1


def test_trainings_without_later_options_keep_their_fingerprints(configure: Configure) -> None:
    one = configure()
    left_out = {"workers", "threads", "device", "precision", "channels_last", "output"}
    left_out |= {"accumulate", "auxiliary_offsets", "reduction"}
    left_out |= {"trust_inputs", "checkpoint_every", "validate_every", "picture_every"}
    before = {key: value for key, value in dump_config(one).items() if key not in left_out}
    del before["augment"]["gamma"]
    assert training_fingerprint(one, ["v"]) == fingerprint("train", 3, before, ["v"])
    for later in (
        {"accumulate": 2},
        {"reduction": "ddp"},
        {"auxiliary_offsets": [(0, 0, -5)]},
        {"augment": {"gamma": 1.5}},
    ):
        assert training_fingerprint(configure(**later), ["v"]) != training_fingerprint(one, ["v"])


def test_batches_that_cannot_be_shared_are_refused(configure: Configure, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"3 batches an iteration cannot be shared by 2 processes; set it to a multiple"
    ):
        train_network(configure(accumulate=3), processes=Processes(Rank(0, 2)))
    assert not (tmp_path / "run").exists()


def test_a_run_is_for_one_process(
    command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    for verb in ("run", "adapt"):
        code, _, errors = command(verb, "-c", tmp_path / "none.toml")
        assert code == 2
        assert errors.startswith("neuroadda: the environment: ")
        assert f"{verb} is for one process, and 2 were started" in errors
