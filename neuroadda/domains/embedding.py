"""What a network makes of patches: one feature vector each."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar, get_args

import numpy as np
import torch

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.devices import end_if_cancelled, resolve_device
from neuroadda.backbones.normalisation import normalise
from neuroadda.config import Zyx
from neuroadda.domains.patches import (
    PatchConfig,
    Patches,
    draw_places,
    footprint_vx,
    match_levels,
    read_patches,
)
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.embeddings import Embedding, Pooling, join_embeddings

Name = TypeVar("Name", bound=str)

BOTTOM_VX: Zyx = (1, 8, 8)
BATCH_VOXELS = {"cpu": 2**17, "cuda": 2**23}  # on a CPU, features of more leave its caches: half as fast


def pixel_of(card: Card) -> float:
    """Return the pixel size (nm) at which a backbone wants to see patches: that of its card along y."""
    return card.voxel_size_nm[1]


def patch_shape_vx(card: Card, bottom_vx: Zyx = BOTTOM_VX) -> Zyx:
    """Return the shape (zyx) of the patches a backbone embeds: `bottom_vx` voxels of its deepest features."""
    return card.architecture.encoder_input_shape_vx(bottom_vx)


@torch.inference_mode()
def embed_patches(backbone: Backbone, patches: Patches, device: str = "auto") -> dict[Pooling, Embedding]:
    """Return the deepest features of the network's encoder, pooled over each patch: their mean, and their maximum.

    Parameters
    ----------
    patches
        Of a shape that the encoder takes without padding, see `patch_shape_vx`, and in the pixel size of the
        backbone's card, see `pixel_of`.
    device
        Such as "cpu" or "cuda"; "auto" is CUDA where there is one. The network moves there; it computes in float32.
    """
    place = torch.device(resolve_device(device))
    model = backbone.model.to(place)
    count, *shape = patches.raw.shape
    z, y, x = shape
    step = max(1, BATCH_VOXELS.get(place.type, 2**20) // (z * y * x))
    mean, std = float(patches.raw.mean()), float(patches.raw.std())
    pooled: dict[Pooling, list[np.ndarray]] = {pooling: [] for pooling in get_args(Pooling)}
    for begin in range(0, count, step):
        end_if_cancelled()
        raw = normalise(patches.raw[begin : begin + step], backbone.card.normalisation)
        features = model.encode(torch.from_numpy(raw)[:, None].to(place))
        pooled["mean"].append(features.mean((2, 3, 4)).cpu().numpy())
        pooled["max"].append(features.amax((2, 3, 4)).cpu().numpy())
    return {
        pooling: Embedding(
            np.concatenate(parts),
            patches.blocks,
            backbone.card.digest,
            pooling,
            patches.pixel_nm,
            (z, y, x),
            raw_mean=mean,
            raw_std=std,
        )
        for pooling, parts in pooled.items()
    }


def embed_volume(
    volume: Volume,
    backbones: Mapping[Name, Backbone],
    config: PatchConfig,
    shapes_vx: Mapping[Name, Zyx] | None = None,
    device: str = "auto",
) -> dict[Name, dict[Pooling, Embedding]]:
    """Embed a volume by several networks: `embed_each`, all at once."""
    return dict(embed_each(volume, backbones, config, shapes_vx, device))


def embed_each(
    volume: Volume,
    backbones: Mapping[Name, Backbone],
    config: PatchConfig,
    shapes_vx: Mapping[Name, Zyx] | None = None,
    device: str = "auto",
    levels: Mapping[Name, tuple[float, float]] | None = None,
    pool: Executor | None = None,
) -> Iterator[tuple[Name, dict[Pooling, Embedding]]]:
    """Embed a volume by several networks, one after the other, that all look at the same places (and so share blocks).

    Parameters
    ----------
    backbones
        By any names; the result has the same.
    shapes_vx
        Shape of each one's patches; `patch_shape_vx` of its card by default.
    levels
        Of those networks that are to see raw of another mean and standard deviation: these; see `match_levels`.
    pool
        Threads for the networks, such as `backbones.devices.compute_in_threads`.

    Raises
    ------
    UserError
        See `draw_places`.
    """
    shapes = shapes_vx or {name: patch_shape_vx(backbone.card) for name, backbone in backbones.items()}
    views = {name: (pixel_of(backbone.card), shapes[name]) for name, backbone in backbones.items()}
    if not views:
        return
    footprints = [footprint_vx(volume, *view) for view in views.values()]
    z, y, x = (max(sizes) for sizes in zip(*footprints, strict=True))
    places = draw_places(volume, (z, y, x), config)

    def embed(name: Name) -> tuple[Name, dict[Pooling, Embedding]]:
        patches = read_patches(volume, places, *views[name])
        if levels and name in levels:
            patches = match_levels(patches, *levels[name])
        by_pooling = embed_patches(backbones[name], patches, device)
        return name, {pooling: replace(e, seed=config.seed) for pooling, e in by_pooling.items()}

    yield from map(embed, views) if pool is None else pool.map(embed, views)


def embed_volumes(
    volumes: Sequence[Volume], backbones: Mapping[Name, Backbone], config: PatchConfig
) -> dict[Name, dict[Pooling, Embedding]]:
    """Embed several volumes by several networks as if the volumes were one; see `embed_volume`."""
    parts = [embed_volume(volume, backbones, config) for volume in volumes]
    return {
        name: {pooling: join_embeddings([part[name][pooling] for part in parts]) for pooling in by_pooling}
        for name, by_pooling in parts[0].items()
    }
