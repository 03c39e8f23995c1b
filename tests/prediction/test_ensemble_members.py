"""Members of an ensemble: of any kind, named once, and found out where they are trained anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import neuroadda
from neuroadda.backbones.card import NEAREST, load_card
from neuroadda.errors import UserError
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.volumes.arrays import Volume
from tests.active.networks import write_random_backbone, write_raw
from tests.backbones.foreign_networks import NearestAffinities, ResidualUNet
from tests.backbones.test_foreign import EXACT, NARROW, make
from tests.prediction.test_ensemble import configure, plan_of, predict, write_wide


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return write_raw(tmp_path_factory.mktemp("raw") / "raw.zarr/raw")


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    return [str(write_random_backbone(tmp_path / name, seed)) for seed, name in enumerate("ab")]


def test_members_may_differ_in_all_that_a_network_is(raw, tmp_path):
    """Of a U-Net without padding and networks that pad, that see other grey values, and that put out other channels."""
    networks: list[Path] = [write_random_backbone(tmp_path / "unet", seed=3)]
    for name, intensities in (("residual", [0, 1]), ("bright", [-2, 6])):
        torch.manual_seed(0)
        residual = ResidualUNet((4, 6))
        for parameter in residual.parameters():
            parameter.data.mul_(2)
        networks.append(make(tmp_path / name, residual, "ResidualUNet", arguments=NARROW, intensities=intensities))
    networks.append(
        make(
            tmp_path / "exact",
            NearestAffinities(True),
            "NearestAffinities",
            arguments={"forward_looking": True},
            channel_offsets=[[0, 0, 1], [0, 1, 0], [1, 0, 0]],
            **EXACT,
        )
    )
    assert len({load_card(folder).architecture.alignment_vx for folder in networks}) > 1
    assert len({load_card(folder).architecture.context_vx for folder in networks}) > 2
    alone = [predict(configure(raw, tmp_path / f"run_{n}", str(one)))[:3].astype(int) for n, one in enumerate(networks)]
    assert all((a != b).any() for n, a in enumerate(alone) for b in alone[:n])
    together = predict(configure(raw, tmp_path / "run", *map(str, networks)))
    assert np.abs(together - np.mean(alone, axis=0)).max() <= 1


@pytest.mark.parametrize("turned", [False, True])
def test_a_member_that_is_trained_anew_is_told_and_what_was_made_of_it_is_made_again(
    raw, pair, tmp_path, caplog, command, turned
):
    before = predict(configure(raw, tmp_path / "run", *pair))
    assert predict(configure(raw, tmp_path / "run", *pair[::-1])).tobytes() == before.tobytes()
    assert not [record for record in caplog.records if "changed" in record.getMessage()]
    write_random_backbone(Path(pair[1]), seed=7)
    named = pair[::-1] if turned else pair
    file = tmp_path / "config.json"
    told = json.loads(configure(raw, tmp_path / "run", *named).model_dump_json(exclude_unset=True))
    file.write_text(json.dumps({"segment": told}))
    assert "backbone_1 changed since" in "".join(command("check", file)[1:])
    after = predict(configure(raw, tmp_path / "run", *named))
    assert "backbone_1 changed since" in caplog.text
    assert after.tobytes() != before.tobytes()
    assert after.tobytes() == predict(configure(raw, tmp_path / "fresh", *pair)).tobytes()


def test_a_copy_is_no_second_opinion(raw, pair, tmp_path, command):
    shutil.copytree(pair[0], tmp_path / "copy")
    for other, said in ((tmp_path / "copy", "have the same weights"), (f"{tmp_path}/./a", "is named twice")):
        named = ["--backbone", pair[0], "--backbone", other]
        code, out, err = command("segment", raw.path, *named, "-o", tmp_path / "run")
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert said in err
    with pytest.raises(UserError, match="have the same weights"):
        plan_of(configure(raw, tmp_path / "run", pair[0], str(tmp_path / "copy")))


def test_members_that_are_there_are_looked_at_before_another_is_trained(raw, pair, tmp_path, command):
    labels = Volume.create(
        tmp_path / "labels.zarr/labels", raw.data.shape, raw.voxel_size, np.uint64, offset_nm=raw.offset_nm
    )
    labels.write(labels.roi, np.ones(raw.data.shape, np.uint64))
    far = write_wide(tmp_path / "far", (30, 12, 12))
    train = {
        "name": "t",
        "domain": "t",
        "iterations": 1,
        "output_shape_vx": [4, 24, 24],
        "output": str(tmp_path / "job/train"),
        "samples": [{"raw": str(raw.path), "labels": str(labels.path)}],
    }
    trained = f"{tmp_path}/job/train/backbone"
    file = tmp_path / "config.json"
    for named, said in (
        ([trained, str(far)], "far from that of the backbone"),
        ([trained, pair[0], pair[0]], "is named twice"),
    ):
        segment = {"raw": str(raw.path), "backbone": named, "output": str(tmp_path / "job")}
        file.write_text(json.dumps({"train": train, "segment": segment}))
        for verb in (("check", file), ("run", "-c", file)):
            code, out, err = command(*verb)
            assert code == 2, err
            assert said in out + err
    assert "is trained first" in command("check", file)[1]
    assert not (tmp_path / "job").exists()


def test_another_ensemble_is_not_taken_for_what_lies_there(raw, pair, tmp_path):
    third = str(write_random_backbone(tmp_path / "c", 5))
    before = predict(configure(raw, tmp_path / "run", *pair))
    for named in ((pair[0],), (pair[0], third), (*pair, third)):
        with pytest.raises(UserError, match="other parameters"):
            segment_volume(configure(raw, tmp_path / "run", *named), upto="predict")
    assert Volume.open(tmp_path / "run/volumes.zarr/affs").read().tobytes() == before.tobytes()


def test_python_takes_several_as_the_command_does(raw, pair, tmp_path):
    config = configure(raw, tmp_path / "run", pair[0])
    made = neuroadda.predict(backbone=[Path(pair[0]), pair[1]], config=config)
    assert made.read().tobytes() == predict(configure(raw, tmp_path / "other", *pair)).tobytes()
    assert [tuple(offset) for offset in made.attrs["offsets"]] == list(NEAREST)
