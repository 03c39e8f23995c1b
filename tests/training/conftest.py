"""A small labelled volume and a training on it that takes seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from neuroadda.config import parse_config
from neuroadda.training.config import TrainConfig
from neuroadda.volumes.arrays import Volume

SHAPE = (14, 64, 64)
VOXEL_SIZE_NM = (40.0, 8.0, 8.0)


def _write_volume(path: Path, data: np.ndarray, **changes: Any) -> Path:
    place: dict[str, Any] = {"voxel_size_nm": VOXEL_SIZE_NM, "offset_nm": (400.0, 80.0, 80.0), **changes}
    Volume.create(path, data.shape, place["voxel_size_nm"], data.dtype, offset_nm=place["offset_nm"]).data[:] = data
    return path


@pytest.fixture(scope="session")
def write_volume() -> Callable[..., Path]:
    """``write_volume(path, data, voxel_size_nm=..., offset_nm=...)``, by default on the grid of `volumes`."""
    return _write_volume


@pytest.fixture(scope="session")
def cells() -> np.ndarray:
    """Voronoi cells, uint64 with huge ids, dense."""
    rng = np.random.default_rng(0)
    seeds = rng.uniform(0, 1, (40, 3)) * (14 * 5, 64, 64)
    grid = np.stack(np.meshgrid(*[np.arange(s) for s in SHAPE], indexing="ij"), -1) * (5, 1, 1)
    return (cKDTree(seeds).query(grid)[1] + 1).astype(np.uint64) * np.uint64(2**32)


@pytest.fixture
def volumes(tmp_path: Path, cells: np.ndarray) -> Path:
    """A folder with raw (each cell has its own grey) and labels."""
    grey = (40 + 5 * (np.unique(cells, return_inverse=True)[1].reshape(cells.shape))).astype(np.uint8)
    _write_volume(tmp_path / "v.zarr" / "raw", grey)
    _write_volume(tmp_path / "v.zarr" / "labels", cells)
    return tmp_path / "v.zarr"


@pytest.fixture
def small(volumes: Path, tmp_path: Path) -> dict[str, Any]:
    """Keys of a training on `volumes`."""
    return {
        "name": "small",
        "domain": "cells",
        "samples": [{"raw": str(volumes / "raw"), "labels": str(volumes / "labels"), "erode_vx": 1}],
        "network": {
            "features": [4, 6],
            "downsample": [[1, 2, 2]],
            "kernels": [[[1, 3, 3]], [[3, 3, 3]]],
        },
        "output_shape_vx": [4, 24, 24],
        "iterations": 8,
        "warm_up": 2,
        "checkpoint_every": 3,
        "picture_every": 0,
        "workers": 0,
        "device": "cpu",
        "output": str(tmp_path / "run"),
    }


@pytest.fixture
def configure(small: dict[str, Any]) -> Callable[..., TrainConfig]:
    """``configure(key=value, ...)``: the config of a small training with changes."""
    return lambda **changes: parse_config(TrainConfig, {**small, **changes}, "test")
