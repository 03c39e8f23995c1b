"""A phantom: electron microscopy of neurites that do not exist, of any size, with exact labels."""

import itertools
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from neuroadda.config import PublicConfig, Zyx, ZyxFloat, dump_config, fingerprint
from neuroadda.errors import UserError
from neuroadda.kernels.phantom_geometry import build_links
from neuroadda.kernels.phantom_rendering import REACH, render
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.placing import placing

VERSION = 1  # of the phantom: raise it when any voxel changes
JITTER = 0.2  # of sites, to both sides, in spacings


class PhantomConfig(PublicConfig):
    """What determines every voxel of a phantom.

    Attributes
    ----------
    shape_vx
        Shape of the volume.
    voxel_size_nm
        Size of a voxel.
    seed
        Another seed is another tissue.
    neurite_spacing_nm
        Distance of neighbouring neurites' axes; at least four voxels along every axis.
    neurite_length_nm
        Mean length of an unbranched piece.
    branch_rate
        Chance that the end of a piece is a branch of another neurite.
    membrane_nm
        Thickness of the two membranes between neurites.
    membrane_label0
        Whether membrane is labelled 0, or goes to the nearest neurite.
    mitochondria_rate
        Part of the neurites' pieces (a spacing long) that hold a mitochondrion.
    bouton_rate
        Part of the neurites' pieces that hold vesicles and synapses.
    noise : grey values
        Standard deviation of the noise.
    shift_nm
        Largest shift of a section in y and in x; raw and labels shift together.
    missing_rate
        Part of the sections that are lost: raw is 0.
    contrast_rate
        Part of the sections that have another contrast.
    fold_rate
        Part of the sections that have a dark fold.
    """

    shape_vx: Zyx
    voxel_size_nm: ZyxFloat = (30.0, 6.0, 6.0)
    seed: int = Field(0, ge=0, lt=2**63)
    neurite_spacing_nm: float = Field(260.0, gt=0)
    neurite_length_nm: float = Field(6000.0, gt=0)
    branch_rate: float = Field(0.5, ge=0, le=1)
    membrane_nm: float = Field(16.0, ge=0)
    membrane_label0: bool = True
    mitochondria_rate: float = Field(0.2, ge=0, le=1)
    bouton_rate: float = Field(0.12, ge=0, le=1)
    noise: float = Field(14.0, ge=0)
    shift_nm: float = Field(6.0, ge=0)
    missing_rate: float = Field(0.005, ge=0, le=1)
    contrast_rate: float = Field(0.01, ge=0, le=1)
    fold_rate: float = Field(0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> "PhantomConfig":
        if min(self.shape_vx) < 1 or min(self.voxel_size_nm) <= 0:
            raise ValueError("shape_vx and voxel_size_nm should be positive")
        if self.neurite_spacing_nm < 4 * max(self.voxel_size_nm) or self.neurite_spacing_nm < 8 * self.membrane_nm:
            raise ValueError("neurite_spacing_nm should be at least 4 voxels and 8 membranes, or neurites fall apart")
        return self


class Phantom:
    """A phantom's tissue, of which any block can be rendered alone.

    Parameters
    ----------
    config
        What determines it.
    """

    def __init__(self, config: PhantomConfig) -> None:
        self.config = config
        random = np.random.default_rng(config.seed)
        self._turn = _rotation(random)
        self._waves = _waves(random, config.neurite_spacing_nm)
        self._low, self._high = self._sites((0, 0, 0), config.shape_vx)

    def render(self, begin_vx: Sequence[int], shape_vx: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return raw (uint8) and labels (uint64) of the block of `shape_vx` that begins at `begin_vx`.

        Their bytes are those of the same voxels in any other block.
        """
        config = self.config
        first, end = self._sites(begin_vx, shape_vx)
        spacing = config.neurite_spacing_nm
        end_rate = min(1.0, spacing / config.neurite_length_nm)
        links, ids = build_links(
            config.seed, first, end - first, self._low, self._high, spacing, JITTER, end_rate, config.branch_rate
        )
        raw, labels = np.zeros(tuple(shape_vx), np.uint8), np.zeros(tuple(shape_vx), np.uint64)
        begin = np.asarray(begin_vx, np.int64)
        render(config.model_dump(), begin, raw, labels, links, ids, first, self._waves, self._turn)
        return raw, labels

    def _sites(self, begin_vx: Sequence[int], shape_vx: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return first and end of the box of sites that matter to a block of voxels."""
        voxel = np.asarray(self.config.voxel_size_nm)
        margin = np.asarray((0.0, 1.0, 1.0)) * (self.config.shift_nm + 8 * voxel)  # a shifted section, and whole tiles
        low, high = np.asarray(begin_vx) * voxel - margin, (np.asarray(begin_vx) + shape_vx) * voxel + margin
        corners = np.asarray(list(itertools.product(*zip(low, high, strict=True))))
        bend = np.linalg.norm(self._waves[:, 3:6], axis=1).sum()
        turned = corners @ self._turn.T
        spacing = self.config.neurite_spacing_nm
        first = np.floor((turned.min(axis=0) - bend) / spacing).astype(np.int64) - REACH
        end = np.floor((turned.max(axis=0) + bend) / spacing).astype(np.int64) + REACH + 1
        return first, end


def write_phantom(
    config: PhantomConfig, target: Path, block_vx: Sequence[int] = (64, 256, 256), *, overwrite: bool = False
) -> tuple[Volume, Volume]:
    """Write a phantom to ``target/raw`` and ``target/labels``; memory follows the block.

    Parameters
    ----------
    target
        A ``.zarr`` folder.
    block_vx
        zyx; does not change a voxel.
    overwrite
        Replace existing arrays.

    Returns
    -------
    tuple
        raw (uint8) and labels (uint64).

    Raises
    ------
    UserError
        If they exist already or cannot be written; nothing is left behind.
    """
    if target.suffix != ".zarr":
        raise UserError("a phantom is two arrays", str(target), "give a folder whose name ends in .zarr")
    if min(block_vx) < 1:
        raise UserError(f"block {tuple(block_vx)} is not positive", "block_vx")
    phantom = Phantom(config)
    with ExitStack() as stack:
        raw, labels = (
            Volume.create(
                stack.enter_context(placing(target / name, overwrite)),
                config.shape_vx,
                config.voxel_size_nm,
                dtype,
                attrs={
                    "fingerprint": fingerprint("phantom", VERSION, name, dump_config(config)),
                    "provenance": {"source": "phantom", "parameters": dump_config(config)},
                },
            )
            for name, dtype in (("raw", np.uint8), ("labels", np.uint64))
        )
        for begin in itertools.product(*(range(0, s, b) for s, b in zip(config.shape_vx, block_vx, strict=True))):
            shape = [min(b, s - o) for b, s, o in zip(block_vx, config.shape_vx, begin, strict=True)]
            box = tuple(slice(o, o + n) for o, n in zip(begin, shape, strict=True))
            raw.data[box], labels.data[box] = phantom.render(begin, shape)
    return Volume.open(target / "raw", "r+"), Volume.open(target / "labels", "r+")


def _rotation(random: np.random.Generator) -> np.ndarray:
    """Return a random rotation (QR of a Gaussian matrix): neurites run askew to the volume's axes."""
    q, r = np.linalg.qr(random.normal(size=(3, 3)))
    return np.ascontiguousarray(q * np.sign(np.diag(r)))


def _waves(random: np.random.Generator, spacing: float) -> np.ndarray:
    """Return plane waves that bend space: long ones turn the neurites, short ones make their membranes wavy.

    Together they move neighbouring points by less than their distance, except where many meet, so neurites stay whole.
    """
    waves: list[np.ndarray[Any, Any]] = []
    for number, shortest, longest, steepness in ((12, 3.0, 9.0, 0.27), (8, 0.8, 2.2, 0.14)):
        for _ in range(number):
            length = spacing * random.uniform(shortest, longest)
            vector, shift = random.normal(size=3), random.normal(size=3)
            vector *= 2 * math.pi / length / np.linalg.norm(vector)
            shift *= steepness * length / (2 * math.pi) / np.linalg.norm(shift)
            waves.append(np.concatenate([vector, shift, [random.uniform(0, 2 * math.pi)]]))
    return np.stack(waves)
