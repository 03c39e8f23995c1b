"""Every training config in configs/ is valid and fits its data set's voxels."""

from pathlib import Path

import pytest

from neuroadda.config import load_config_file, parse_config
from neuroadda.training.config import TrainConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("train_*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_the_config_is_valid(path: Path) -> None:
    config = parse_config(TrainConfig, load_config_file(path), str(path))
    assert config.samples[0].provenance["citation"]
    assert config.samples[0].raw == f"data/{config.domain}_train.zarr/raw"
    # isotropic volumes have 3-D kernels and are turned in all axes, others are not
    flat = all(z == 1 for z, _, _ in config.network.kernels[0])
    assert config.augment.transpose == ("yx" if flat else "zyx")
    assert flat == ("fibsem" not in config.domain)
