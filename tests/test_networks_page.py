"""The page on networks of others, from its first line to the last: card, rank, train, segment."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import Phantom, PhantomConfig

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
SHAPE = (12, 64, 64)


def write_volume(path: Path) -> None:
    pair = Phantom(PhantomConfig(shape_vx=SHAPE)).render((0, 0, 0), SHAPE)
    for name, voxels in zip(("raw", "labels"), pair, strict=True):
        volume = Volume.create(path / name, SHAPE, (30, 6, 6), voxels.dtype)
        volume.write(volume.roi, voxels)


def teach(weights: dict[str, torch.Tensor]) -> None:
    """Have a network say that what is dark is boundary, and little else."""
    for values in weights.values():
        values.mul_(0.1)
    weights["first.weight"][0, 0, 1, 1, 1] = 1
    weights["last.weight"][:, 0] = 20
    weights["last.bias"][:] = -9


def test_its_commands_run_as_they_stand(tmp_path, command, monkeypatch):
    text = PAGE.read_text()
    code, store = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (draft,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    lines = [line for block in re.findall(r"```\n(neuroadda.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert [line.split()[1] for line in lines] == ["zoo", "zoo", "domains", "train", "segment"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "mine.toml").write_text(draft)
    write_volume(tmp_path / "volume.zarr")
    torch.manual_seed(0)
    exec(store, {})
    stored = safetensors.torch.load_file(tmp_path / "mine.safetensors")
    teach(stored)
    safetensors.torch.save_file(stored, tmp_path / "mine.safetensors")
    for line in lines:
        _, *words = shlex.split(line, comments=True)
        code, out, err = command(*words)
        assert code == 0, f"{line}: {err}"
        if words[0] == "domains":
            assert "mine" in out
    card = load_card("mine")
    assert card.architecture.context_vx == (3, 3, 3)  # two convolutions of 3, and one voxel of shift
    tuned = load_backbone("runs/tuned/backbone")
    assert tuned.card.iterations == 20
    assert tuned.card.training_data[-1]["name"] == "mine"
    changed = [not torch.equal(stored[k.removeprefix("network.")], v) for k, v in tuned.model.state_dict().items()]
    assert all(changed)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "runs/tuned/metrics.jsonl").read_text().splitlines()]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    volumes = Path("runs/tuned/segmented/volumes.zarr")
    assert Volume.open(volumes / "segmentation").read().shape == SHAPE
    assert len(np.unique(Volume.open(volumes / "affs").read())) > 2  # fragments are not kept apart after 20 iterations
