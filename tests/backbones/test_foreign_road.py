"""Networks of two papers go the whole road: they are ranked, fine-tuned, predict and segment, also together."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuroadda.backbones.card import CARD, NEAREST, load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import Phantom, PhantomConfig
from tests.backbones import foreign_networks
from tests.backbones.foreign_networks import MedNeXt, ResidualUNet
from tests.backbones.test_foreign import AHEAD, NARROW, write_draft

SHAPE, VOXEL_SIZE_NM = (12, 64, 64), (30, 6, 6)
TENTH = [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
LOGITS = {"output": "affinities", "channel_offsets": [*AHEAD, *TENTH], "activation": "logits"}
ON_CPU = ("--set", "segment.predict.precision=float32", "--set", "segment.predict.device=cpu", "--workers", "1")
NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any], dict[str, Any], str]] = {
    "residual": (ResidualUNet, {"features": (4, 6)}, {"arguments": NARROW}, "[4,24,24]"),
    "mednext": (MedNeXt, {}, LOGITS, "[4,24,24]"),
}


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "volume.zarr"
    pair = Phantom(PhantomConfig(shape_vx=SHAPE)).render((0, 0, 0), SHAPE)
    for name, voxels in zip(("raw", "labels"), pair, strict=True):
        made = Volume.create(folder / name, SHAPE, VOXEL_SIZE_NM, voxels.dtype)
        made.write(made.roi, voxels)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path, Path]]:
    """Draft, weights, and where the backbone goes, of each network."""
    drafts = {}
    for name, (network, arguments, keys, _) in NETWORKS.items():
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(name)
        drafts[name] = write_draft(folder, network(**arguments), network.__name__, **keys)
        card = json.loads(drafts[name][0].read_text())
        training = [{"name": name, "licence": "CC BY 4.0", "citation": "a paper"}]
        facts = {"name": name, "domain": name, "organism": "t", "modality": "t", "training_data": training}
        drafts[name][0].write_text(json.dumps(card | facts | {"voxel_size_nm": VOXEL_SIZE_NM}))
    return drafts


@pytest.fixture
def run(command):
    def do(*words: Any) -> str:
        code, out, err = command(*words)
        assert code == 0, err
        return out

    return do


def test_they_are_ranked_train_predict_and_segment(volume, folders, tmp_path, run):
    raw, zoo, tuned = volume / "raw", tmp_path / "zoo", {}
    for draft in folders.values():
        run("zoo", "card", *draft)
        run("zoo", "add", draft[-1], "--zoo", zoo)
    ranked = json.loads(run("domains", "rank", raw, "--zoo", zoo, "--by", "consistency", "--set", "crops=2", "--json"))
    assert {row["name"] for row in ranked["sources"]} == set(NETWORKS)
    assert all(0 <= row["consistency"] <= 1 for row in ranked["sources"])
    for name, (*_, shape) in NETWORKS.items():
        output, start = tmp_path / name, zoo / name
        asked = ("--iterations", 3, "--set", f"train.output_shape_vx={shape}", "--set", "train.device=cpu")
        run("train", raw, volume / "labels", "--from", start, "-o", output, *asked)
        tuned[name], before = output / "backbone", load_backbone(start).model.state_dict()
        after = load_backbone(tuned[name])
        assert after.card.architecture == load_card(start).architecture
        assert after.card.iterations == 3
        assert any(not torch.equal(before[key], value) for key, value in after.model.state_dict().items())
        predicted = Volume.open(run("predict", raw, "--backbone", tuned[name], "-o", output / "run", *ON_CPU).strip())
        offsets = [tuple(offset) for offset in predicted.attrs["offsets"]]
        assert offsets[:3] == list(NEAREST)
        assert predicted.read().shape == (len(offsets), *SHAPE)
        assert predicted.read().std() > 0
        segmented = run("segment", raw, "--backbone", tuned[name], "-o", output / "run", *ON_CPU)
        assert Volume.open(segmented.strip()).read().shape == SHAPE
    both = [word for folder in tuned.values() for word in ("--backbone", folder)]
    averaged = Volume.open(run("predict", raw, *both, "-o", tmp_path / "both", *ON_CPU).strip())
    alone = [Volume.open(tmp_path / name / "run/volumes.zarr/affs").read()[:3].astype(int) for name in NETWORKS]
    assert [tuple(offset) for offset in averaged.attrs["offsets"]] == list(NEAREST)
    assert np.abs(averaged.read() - np.mean(alone, axis=0)).max() <= 1


def fail(self: ResidualUNet, image: torch.Tensor) -> torch.Tensor:
    raise KeyError("nothing")


def put_out_nothing(self: ResidualUNet, image: torch.Tensor) -> torch.Tensor:
    return torch.full_like(image.expand(-1, 3, -1, -1, -1), torch.nan)


def test_an_unsuitable_one_is_refused_in_a_line_by_every_verb(volume, folders, tmp_path, command, monkeypatch):
    draft, weights, _ = folders["residual"]
    refused = (
        (3, {"channel_offsets": [*AHEAD[:2], [0, 0, 5]]}, "offsets must begin with"),
        (5, {}, "puts out 5 channels, the card says what 3 are"),
    )
    for channels, keys, said in refused:
        arguments = {"arguments": NARROW | {"channels": channels}}
        network = ResidualUNet((4, 6), channels)
        made = write_draft(tmp_path / f"{channels}", network, "ResidualUNet", **arguments | keys)
        code, out, err = command("zoo", "card", *made)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert said in err
        assert not made[-1].exists()
    whole = tmp_path / "zoo/residual"
    assert command("zoo", "card", draft, weights, tmp_path / "whole")[0] == 0
    assert command("zoo", "add", tmp_path / "whole", "--zoo", tmp_path / "zoo")[0] == 0
    raw, asked = volume / "raw", ("--set", "train.output_shape_vx=[4,24,24]", "--iterations", 1)
    others = "train.offsets=[[-1,0,0],[0,-1,0],[0,0,-1],[0,0,-3]]"
    fine_tune = ("train", raw, volume / "labels", "--from", whole, "-o", tmp_path / "t", *asked)
    code, _, err = command(*fine_tune, "--set", others)
    assert (code, err.count("\n"), "offsets are not those of" in err) == (2, 1, True), err
    code, _, err = command("domains", "rank", raw, "--zoo", tmp_path / "zoo", "--by", "mmd")
    assert (code, err.count("\n")) == (2, 1), err
    verbs = (
        ("predict", raw, "--backbone", whole, "-o", tmp_path / "p", *ON_CPU),
        ("segment", raw, "--backbone", whole, "-o", tmp_path / "s", *ON_CPU),
        fine_tune,
        ("domains", "rank", raw, "--zoo", tmp_path / "zoo", "--by", "consistency"),
    )
    with monkeypatch.context() as patch:
        patch.delattr(foreign_networks, "ResidualUNet")
        for words in verbs:
            code, _, err = command(*words)
            assert (code, err.count("\n"), "cannot be imported" in err) == (2, 1, True), (words, err)
    for forward, said in ((fail, "fails on a tile of"), (put_out_nothing, "not finite")):
        with monkeypatch.context() as patch:
            patch.setattr(foreign_networks.ResidualUNet, "forward", forward)
            for words in (verbs[0], verbs[3]):
                code, _, err = command(*words)
                assert (code, said in err, "Traceback" in err) == (2, True, False), (words, err)
        assert not any((tmp_path / "p").rglob("affs/[0-9]*"))
        shutil.rmtree(tmp_path / "p", ignore_errors=True)
    card = json.loads((whole / CARD).read_text())
    card["architecture"]["intensities"] = [-1, 1]
    (whole / CARD).write_text(json.dumps(card))
    for words in verbs[:3]:  # of an entry, the zoo tells that it is damaged
        code, _, err = command(*words)
        assert (code, err.count("\n"), "stored with another architecture" in err) == (2, 1, True), (words, err)
    assert not any((tmp_path / name).exists() for name in "tps")
