"""Samples that were edited in place: the training starts again, and says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.training.config import TrainConfig
from neuroadda.training.trainer import train_network
from neuroadda.volumes.arrays import Volume

Configure = Callable[..., TrainConfig]


def edit(path: Path, value: int = 7) -> None:
    Volume.open(path, "r+").data[7, 30, 30] = value


@pytest.mark.parametrize("name", ["raw", "labels", "mask"])
def test_one_voxel_is_enough(
    configure: Configure, small: dict[str, Any], volumes: Path, name: str, caplog: Any
) -> None:
    shape = Volume.open(volumes / "raw").shape_vx
    like = Volume.open(volumes / "raw")
    mask = Volume.create(volumes / "mask", shape, like.voxel_size_nm, np.uint8, offset_nm=like.offset_nm)
    mask.data[:] = 1
    config = configure(samples=[small["samples"][0] | {"mask": str(mask.path)}])
    first = train_network(config)
    assert train_network(config) == first
    assert not caplog.records
    edit(volumes / name, 0 if name == "mask" else 7)
    second = train_network(config)
    assert f"{name}_0 changed (1 of " in caplog.text
    assert "the training starts again" in caplog.text
    rows = [json.loads(line) for line in (config.output / "metrics.jsonl").read_text().splitlines()]
    assert sum("loss" in row for row in rows) == config.iterations  # of the second alone
    fresh = train_network(config.model_copy(update={"output": volumes / "fresh"}))
    assert second.digest == fresh.digest
    caplog.clear()
    assert train_network(config) == second
    assert not caplog.records


def test_trusted_samples_are_not_looked_at(configure: Configure, volumes: Path, caplog: Any) -> None:
    first = train_network(configure())
    edit(volumes / "labels")
    assert train_network(configure(trust_inputs=True)) == first
    assert not caplog.records


def test_samples_that_were_written_again_alike_are_no_change(configure: Configure, volumes: Path, caplog: Any) -> None:
    first = train_network(configure())
    raw = Volume.open(volumes / "raw", "r+")
    raw.data[:] = raw.data[:]
    assert train_network(configure()) == first
    assert not caplog.records


def test_other_parameters_still_need_to_be_allowed(configure: Configure, volumes: Path) -> None:
    train_network(configure())
    with pytest.raises(UserError, match="another training"):
        train_network(configure(learning_rate=1e-4))
