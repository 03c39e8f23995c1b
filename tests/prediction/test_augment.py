"""Predictions that are the mean of those of a flipped and transposed volume."""

import numpy as np
import pytest
import torch

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import dump_config
from neuroadda.prediction.augmented import AugmentedPredictor
from neuroadda.prediction.ensemble import predict_roi
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.symmetries import list_symmetries
from neuroadda.volumes.arrays import Volume
from tests.active.networks import write_even_backbone, write_random_backbone, write_raw
from tests.backbones import foreign_networks
from tests.backbones.test_foreign import EXACT, make

PLAIN = Predict(tile_vx=(5, 20, 26), device="cpu", precision="float32")
AUGMENTED = PLAIN.model_copy(update={"augment": "section"})


def predict(folder, raw, parameters=AUGMENTED) -> np.ndarray:
    return predict_roi(load_backbone(folder), parameters, raw, raw.roi)


def test_a_network_that_is_the_same_to_all_sides_says_the_same(tmp_path):
    raw, folder = write_raw(tmp_path / "raw.zarr/raw"), write_even_backbone(tmp_path / "even")
    affs = predict(folder, raw)
    assert affs.std() > 20
    assert (affs == predict(folder, raw, PLAIN)).all()


def test_a_network_that_always_says_the_same_says_the_same(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    model = UNet(UNetConfig(features=(2,), downsample=(), kernels=(((1, 1, 1),),)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.head.bias += torch.tensor([-2.0, 0.3, 0.3])
    card = Card(name="t", domain="t", voxel_size_nm=(30, 6, 6), architecture=model.config, offsets=NEAREST)
    save_backbone(tmp_path / "b", model, card)
    affs = predict(tmp_path / "b", raw)
    assert [np.unique(channel).tolist() for channel in affs] == [[30], [146], [146]]
    assert (affs == predict(tmp_path / "b", raw, PLAIN)).all()


@pytest.mark.parametrize("ahead", [False, True])
def test_affinities_are_shifted_back_exactly(tmp_path, ahead):
    """The network is right of every pair, in every symmetry: a mean that mixed pairs would lie between 0 and 255."""
    offsets = [[0, 0, 1], [0, 1, 0], [1, 0, 0]] if ahead else [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]
    keys = {"arguments": {"forward_looking": ahead}, "channel_offsets": offsets, **EXACT}
    network = foreign_networks.NearestAffinities(ahead)
    folder, raw = make(tmp_path / "n", network, "NearestAffinities", **keys), write_raw(tmp_path / "raw.zarr/raw")
    affs = predict(folder, raw)
    assert set(np.unique(affs)) == {0, 255}
    assert (affs == predict(folder, raw, PLAIN)).all()


def test_it_is_the_rounded_mean_of_what_was_not_rounded(tmp_path):
    raw, backbone = write_raw(tmp_path / "raw.zarr/raw"), load_backbone(write_random_backbone(tmp_path / "random"))
    exact = AugmentedPredictor(
        Predictor(backbone, PLAIN, rounded=False), backbone.card, list_symmetries(raw.voxel_size)
    )
    members = np.stack(list(exact(raw, raw.roi)))
    assert members.dtype == np.float32
    assert len(members) == AUGMENTED.count_passes(raw.voxel_size) == 8
    affs = predict(backbone.folder, raw)
    assert np.abs(affs - members.astype(np.float64).mean(0)).max() <= 0.501
    assert (affs != predict(backbone.folder, raw, PLAIN)).mean() > 0.5


def test_a_channel_is_the_mean_of_those_that_speak_for_it(tmp_path):
    """Nobody speaks for (0, -3, 0) once the section is transposed; a channel that the network lacks stays 0."""
    offsets = ((0, -1, 0), (0, 0, -1), (0, -3, 0))
    folder = write_random_backbone(tmp_path / "random", offsets=offsets)
    square = write_raw(tmp_path / "square.zarr/raw")
    wide = Volume.create(tmp_path / "wide.zarr/raw", square.data.shape, (30, 6, 7), np.uint8)
    wide.write(wide.roi, square.read())
    assert AUGMENTED.count_passes(wide.voxel_size) == 4
    ours, flipped = predict(folder, square), predict(folder, wide)
    assert ours.shape[0] == 4
    assert not ours[0].any()
    assert (ours[3] == flipped[3]).all()
    assert (ours[1] != flipped[1]).any()


def test_its_run_is_another_and_the_dry_run_tells_its_cost(tmp_path, command):
    assert "augment" not in dump_config(PLAIN)
    raw, folder = write_raw(tmp_path / "raw.zarr/raw"), write_even_backbone(tmp_path / "even")
    ask = ["predict", raw.path, "--backbone", folder, "--set", "segment.predict.precision=float32"]
    for name, more in (("plain", []), ("mean", ["--set", "segment.predict.augment=section"])):
        code, out, err = command(*ask, "-o", tmp_path / name, *more, "--dry-run")
        assert (code, "sees each block 8 times" in out) == (0, name == "mean"), err
        code, _, err = command(*ask, "-o", tmp_path / name, *more)
        assert code == 0, err
    plain, mean = (Volume.open(tmp_path / name / "volumes.zarr/affs").read() for name in ("plain", "mean"))
    assert (plain == mean).all()


def test_scores_of_uncertainty_refuse_it(tmp_path, command):
    raw, folder = write_raw(tmp_path / "raw.zarr/raw"), write_even_backbone(tmp_path / "even")
    code, _, err = command(
        *("propose", raw.path, "--backbone", folder, "-o", tmp_path / "p", "--set", "predict.augment=section"),
        *("--shape", 60, 60, 60, "-n", 1),
    )
    assert (code, err.count("\n")) == (2, 1)
    assert "predict.augment" in err
