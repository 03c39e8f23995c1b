"""The embedding of a zoo's entry: features of the patches of its training domain, in one file beside the weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import safetensors
import safetensors.numpy
from pydantic import Field

from neuroadda.config import Config, Zyx, parse_config
from neuroadda.errors import UserError
from neuroadda.wholefiles import replacing
from neuroadda.zoo.finding import Zoo
from neuroadda.zoo.index import EMBEDDING

Pooling = Literal["mean", "max"]
NetworkRole = Literal["own", "reference"]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Features of the patches of one domain, as one network sees them.

    Attributes
    ----------
    features
        float32 (n, F).
    blocks
        int64 (n,): the spatial block of every patch, which are what may be taken for independent.
    network
        Digest of the network's weights.
    pooling
        How a patch's features became one vector.
    pixel_nm, shape_vx
        Pixel size and shape (zyx) of the patches: only embeddings that agree in these, too, can be compared.
    seed
        Of the patches' random places, where it is known.
    raw_mean, raw_std
        Mean and standard deviation of the raw (0..255) that all patches show, where they are known.
    """

    features: np.ndarray
    blocks: np.ndarray
    network: str
    pooling: Pooling
    pixel_nm: float
    shape_vx: Zyx
    seed: int | None = None
    raw_mean: float | None = None
    raw_std: float | None = None


Embeddings = Mapping[NetworkRole, Mapping[Pooling, Embedding]]


def join_embeddings(embeddings: Sequence[Embedding]) -> Embedding:
    """Return one embedding of several volumes' patches, their blocks apart; all by one network in one way.

    Raises
    ------
    UserError
        If they are not.
    """
    first = embeddings[0]
    blocks, past = [], 0
    for embedding in embeddings:
        check_comparable(first, embedding, "joined embeddings")
        numbers = np.unique(embedding.blocks, return_inverse=True)[1] + past
        blocks.append(numbers)
        past = int(numbers.max()) + 1
    features = np.concatenate([embedding.features for embedding in embeddings])
    mean, std = _join_levels(embeddings)
    return replace(first, features=features, blocks=np.concatenate(blocks), raw_mean=mean, raw_std=std)


def _join_levels(embeddings: Sequence[Embedding]) -> tuple[float | None, float | None]:
    """Return mean and standard deviation of the raw of all patches together; None where one is not known."""
    levels = [(e.raw_mean, e.raw_std) for e in embeddings if e.raw_mean is not None and e.raw_std is not None]
    if len(levels) < len(embeddings):
        return None, None
    counts = [len(e.features) for e in embeddings]
    means, stds = np.array(levels).T
    mean = np.average(means, weights=counts)
    return float(mean), float(np.average(stds**2 + (means - mean) ** 2, weights=counts) ** 0.5)


def check_comparable(one: Embedding, other: Embedding, where: str) -> None:
    """Raise UserError unless two embeddings are by one network, of patches of one kind, pooled alike."""
    for what in ("network", "pooling", "pixel_nm", "shape_vx"):
        a, b = getattr(one, what), getattr(other, what)
        if a != b:
            raise UserError(f"embeddings differ in {what}: {a} and {b}", where, "embed both in the same way")


class _Origin(Config):
    """What is noted of one network's embeddings in a file."""

    digest: str
    pixel_nm: float = Field(gt=0)
    shape_vx: Zyx
    count: int
    seed: int | None = None
    raw_mean: float | None = None
    raw_std: float | None = Field(default=None, ge=0)


def save_embeddings(folder: Path | str, embeddings: Embeddings) -> Path:
    """Write the embeddings of a backbone's training domain into its folder, as ``embedding.safetensors``.

    Tensors are ``blocks`` (int64) and ``own.mean``, ``own.max``, ``reference.mean``, ``reference.max`` (float16). Origins
    (digest, pixel size, patch shape, count, seed, mean and standard deviation of raw) are JSON under the key ``networks`` of the
    file's metadata. The same embeddings give the same bytes.

    Parameters
    ----------
    embeddings
        "own": by the backbone itself; "reference": by a network that the whole zoo shares; of the same places.

    Raises
    ------
    UserError
        If they are not of the same places, or features are not finite in float16.
    """
    path = Path(folder) / EMBEDDING
    tensors: dict[str, np.ndarray] = {}
    origins: dict[str, Any] = {}
    for network, by_pooling in embeddings.items():
        for pooling, embedding in by_pooling.items():
            with np.errstate(over="ignore"):
                half = embedding.features.astype(np.float16)
            if not np.isfinite(half).all():
                raise UserError(f"{network}.{pooling} has features that are not finite in float16", str(path))
            blocks = tensors.setdefault("blocks", embedding.blocks.astype(np.int64))
            if not np.array_equal(blocks, embedding.blocks):
                raise UserError("the networks saw different places", str(path), "embed by both with embed_volume")
            tensors[f"{network}.{pooling}"] = half
            origins[network] = {
                "digest": embedding.network,
                "pixel_nm": embedding.pixel_nm,
                "shape_vx": list(embedding.shape_vx),
                "count": len(half),
                "seed": embedding.seed,
                "raw_mean": embedding.raw_mean,
                "raw_std": embedding.raw_std,
            }
    data = safetensors.numpy.save(tensors, {"networks": json.dumps(origins, sort_keys=True)})
    with replacing(path) as partial:
        partial.write_bytes(data)
    return path


def load_embeddings(folder: Path | str) -> dict[NetworkRole, dict[Pooling, Embedding]]:
    """Read what `save_embeddings` wrote; features are float32.

    Raises
    ------
    UserError
        If there is none, or it is damaged: not a safetensors file, no or malformed metadata, tensors of the wrong name,
        shape or type, or features that are not finite.
    """
    path = Path(folder) / EMBEDDING
    if not path.is_file():
        raise UserError(
            f"there is no {EMBEDDING} here", str(folder), "an entry of a zoo has the features of its domain"
        )
    try:
        with safetensors.safe_open(str(path), "numpy") as file:
            origins = json.loads((file.metadata() or {}).get("networks", "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dict)
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(
            f"the embedding cannot be read ({error})", str(path), "fetch or build the entry again"
        ) from error
    if not isinstance(origins, dict) or not origins or not set(origins) <= set(get_args(NetworkRole)):
        raise UserError(
            "its metadata names no networks", str(path), f"'networks' has {', '.join(get_args(NetworkRole))}"
        )
    loaded: dict[NetworkRole, dict[Pooling, Embedding]] = {}
    for network in get_args(NetworkRole):
        if network in origins:
            origin = parse_config(_Origin, origins[network], f"{path}: {network}")
            loaded[network] = _check(tensors, network, origin, path)
    return loaded


def find_generalist(zoo: Zoo) -> str | None:
    """Return the entry whose network made the reference features of all others; None if there is no such one."""
    names = [name for name in zoo.names() if EMBEDDING in zoo.files(name)]
    stored = [load_embeddings(zoo.folder(name)) for name in names]
    digests = {e.network for by_network in stored for e in by_network.get("reference", {}).values()}
    holders = [name for name in zoo.names() if {zoo.card(name).digest} == digests]
    return holders[0] if holders else None


def _check(
    tensors: Mapping[str, np.ndarray], network: NetworkRole, origin: _Origin, path: Path
) -> dict[Pooling, Embedding]:
    blocks = tensors.get("blocks")
    if blocks is None or blocks.dtype != np.int64 or blocks.shape != (origin.count,):
        raise UserError(f"its blocks are missing or not int64 ({origin.count},)", str(path), "build the entry again")
    found: dict[Pooling, Embedding] = {}
    for pooling in get_args(Pooling):
        features = tensors.get(f"{network}.{pooling}")
        if features is None:
            continue
        if features.dtype.kind != "f" or features.ndim != 2 or len(features) != origin.count:
            what = f"{network}.{pooling} is {features.dtype} {features.shape}"
            raise UserError(what, str(path), f"features of {origin.count} patches are expected")
        if not np.isfinite(features).all():
            raise UserError(f"{network}.{pooling} has features that are not finite", str(path), "build the entry again")
        found[pooling] = Embedding(
            features.astype(np.float32),
            blocks,
            origin.digest,
            pooling,
            origin.pixel_nm,
            origin.shape_vx,
            origin.seed,
            origin.raw_mean,
            origin.raw_std,
        )
    if not found:
        raise UserError(f"there are no features of network {network!r}", str(path), "build the entry again")
    return found
