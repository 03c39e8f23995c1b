"""Foreign networks in zoos: whose code runs, and that they are ranked beside our own."""

import io
import json
import os
import zipfile
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from neuroadda.backbones import foreign_module
from neuroadda.backbones.card import CARD, WEIGHTS
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.foreign import ForeignNetwork
from neuroadda.config import parse_config
from neuroadda.domains.ranking import RankConfig, RankPatches
from neuroadda.domains.selection import rank_zoo
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.adding import add_backbone
from neuroadda.zoo.finding import find_backbone, open_zoo
from neuroadda.zoo.foreign import make_foreign_backbone
from tests.zoo.small_zoo import SAMPLE, serve, write_embedding, write_trained

SMALL = "tests.zoo.test_foreign:Small"


class Small(nn.Module):
    """Pads."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        Small.made += 1
        self.convolution = nn.Conv3d(1, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.convolution(image)


def write_small(folder: Path, implementation: str = SMALL) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    network = Small()
    with torch.no_grad():
        network.convolution.weight.mul_(20)
    safetensors.torch.save_file(network.state_dict(), folder / "w.safetensors")
    architecture = {"implementation": implementation, "intensities": [-1, 1], "activation": "logits"}
    architecture["channel_offsets"] = [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]
    card = {"name": "small", "domain": "small", "organism": "o", "modality": "m", "voxel_size_nm": [30, 4.6, 4.6]}
    (folder / "draft.json").write_text(json.dumps(card | {"training_data": [SAMPLE], "architecture": architecture}))
    make_foreign_backbone(folder / "draft.json", folder / "w.safetensors", folder / "backbone")
    return folder / "backbone"


def test_weights_that_are_not_finite_are_named(tmp_path):
    folder = write_small(tmp_path / "s")
    weights = safetensors.torch.load_file(folder.parent / "w.safetensors")
    weights["convolution.bias"][1] = float("nan")
    safetensors.torch.save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match=r"nan.safetensors: convolution.bias holds numbers that are not finite"):
        make_foreign_backbone(folder.parent / "draft.json", tmp_path / "nan.safetensors", tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point `small`."""
    points = EntryPoints([EntryPoint("small", SMALL, "neuroadda.networks")])
    monkeypatch.setattr(foreign_module, "entry_points", lambda group: points.select(group=group))


def test_a_zoo_at_a_url_runs_no_code(tmp_path, command):
    add_backbone(write_small(tmp_path / "s"), tmp_path / "zoo")
    write_trained(tmp_path / "fly", "fly")
    add_backbone(tmp_path / "fly", tmp_path / "zoo")
    made = Small.made
    with serve(tmp_path / "zoo") as server:
        zoo = open_zoo(server.url)
        for use in (zoo.backbone, zoo.folder, lambda name: find_backbone(name, server.url)):
            with pytest.raises(UserError, match=r"names code .*none is run for a zoo at a URL; copy the entry"):
                use("small")
        code, out, _ = command("zoo", "verify", server.url)
        assert (code, "none is run for a zoo at a URL" in out) == (1, True)
        assert command("zoo", "list", server.url)[0] == 0
        assert zoo.backbone("fly").card.domain == "fly"
        assert not any(WEIGHTS in path and "small" in path for path in server.asked)
    assert Small.made == made
    assert open_zoo(tmp_path / "zoo").backbone("small").card.domain == "small"  # a folder that was named


def test_an_installed_network_may_be_in_a_zoo_at_a_url(tmp_path, monkeypatch, installed):
    monkeypatch.setenv("NEUROADDA_CACHE", str(tmp_path / "cache"))
    add_backbone(write_small(tmp_path / "s", "small"), tmp_path / "zoo")
    with serve(tmp_path / "zoo") as server:
        assert isinstance(open_zoo(server.url).backbone("small").model.network, Small)
    monkeypatch.setattr(foreign_module, "entry_points", lambda group: EntryPoints())
    with pytest.raises(UserError, match=r"no entry point of this name in neuroadda.networks; installed are: nothing"):
        open_zoo(tmp_path / "zoo").backbone("small")


@pytest.mark.parametrize("named", ["os:mkdir", "subprocess:Popen", "tests.zoo.small_zoo:write_trained"])
def test_what_is_no_network_is_not_called(tmp_path, named):
    folder = write_small(tmp_path / "s")
    card = json.loads((folder / CARD).read_text())
    card["architecture"] |= {"implementation": named, "arguments": {"path": str(tmp_path / "sprung")}}
    with pytest.raises(UserError, match="another architecture"):
        _write_and_load(folder, card, tmp_path)
    data = safetensors.torch.load_file(folder / WEIGHTS)
    identity = parse_config(ForeignNetwork, card["architecture"], "t").identity
    safetensors.torch.save_file(data, folder / WEIGHTS, {"architecture": identity})
    with pytest.raises(UserError, match=r"not a subclass of torch\.nn\.Module"):
        _write_and_load(folder, card, tmp_path)
    assert not (tmp_path / "sprung").exists()


def _write_and_load(folder: Path, card: dict, tmp_path: Path) -> None:
    card["digest"] = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(card))
    load_backbone(folder)


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_why_exported_programs_are_not_loaded(tmp_path):
    """torch.export.load unpickles what is in the file. Where this fails, such programs may be looked at again."""
    program, spoiled = tmp_path / "p.pt2", tmp_path / "spoiled.pt2"
    torch.export.save(torch.export.export(Small(), (torch.zeros(1, 1, 4, 4, 4),)), program)
    pickled = io.BytesIO()
    torch.save(Trap(tmp_path / "sprung"), pickled)
    with zipfile.ZipFile(program) as whole, zipfile.ZipFile(spoiled, "w", zipfile.ZIP_STORED) as other:
        for info in whole.infolist():
            data = whole.read(info)
            if "sample_inputs" in info.filename or "example_inputs" in info.filename:
                data = pickled.getvalue()
            other.writestr(info.filename, data)
    with suppress(Exception):  # it is no program any more
        torch.export.load(spoiled)
    assert (tmp_path / "sprung").exists()


def test_it_is_ranked_beside_others(tmp_path):
    """By consistency for itself, by both as far as the median of those with features."""
    for seed, name in enumerate(("fly", "larva")):
        card = write_trained(tmp_path / name, name, seed=seed, half=True)
        write_embedding(tmp_path / name, card.digest, seed=seed)
        add_backbone(tmp_path / name, tmp_path / "zoo")
    add_backbone(write_small(tmp_path / "s"), tmp_path / "zoo")
    volume = Volume.create(tmp_path / "v.zarr/raw", (6, 64, 64), (30, 4.6, 4.6), np.uint8)
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 256, (6, 64, 64), np.uint8))
    few = {"patches": RankPatches(count=24), "crops": 2, "crop_vx": (4, 24, 24), "permutations": 9, "resamples": 20}
    for by in ("consistency", "both"):
        ranking = rank_zoo(volume, open_zoo(tmp_path / "zoo"), RankConfig(by=by, network="own", pooling="mean", **few))
        rows = {row.name: row for row in ranking.rows}
        assert rows.keys() == {"fly", "larva", "small"}
        assert rows["small"].mmd2 is None
        assert 0 < rows["small"].boundary < 1
