"""The features of sources that a zoo holds, and how far a volume's are from them by the same networks."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.config import Zyx
from neuroadda.domains.comparison import Comparison, compare_embeddings
from neuroadda.domains.embedding import embed_each, pixel_of
from neuroadda.domains.patches import footprint_vx
from neuroadda.domains.ranking import RankConfig
from neuroadda.errors import UserError
from neuroadda.observing import track
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.embeddings import Embedding, Embeddings, NetworkRole, Pooling, load_embeddings
from neuroadda.zoo.finding import Zoo
from neuroadda.zoo.index import EMBEDDING


@dataclass(frozen=True, eq=False)
class SourceFeatures:
    """The features of a source.

    Attributes
    ----------
    embedding
        As they are stored.
    network
        The entry of the zoo whose network they are of.
    footprint_vx
        Shape (zyx) of what a patch shows, in voxels of the volume that they are to be compared with.
    """

    embedding: Embedding
    network: str
    footprint_vx: Zyx


def load_features(volume: Volume, zoo: Zoo, names: Iterable[str], config: RankConfig) -> dict[str, SourceFeatures]:
    """Return the features of those entries that have any, by their names.

    Raises
    ------
    UserError
        If an entry lacks the features that `config` asks for, or has them of a network that is not in the zoo.
    """
    holders = {zoo.card(name).digest: name for name in zoo.names()}
    features = {}
    for name in names:
        if EMBEDDING not in zoo.files(name):
            continue
        embedding = _take(load_embeddings(zoo.folder(name)), config.network, config.pooling, name)
        if embedding.network not in holders:
            what = f"the features of {name!r} are of a network ({embedding.network[:12]}) that no entry has"
            raise UserError(what, zoo.where, "build its embedding again")
        network = holders[embedding.network]
        footprint = footprint_vx(volume, pixel_of(zoo.card(network)), embedding.shape_vx)
        features[name] = SourceFeatures(embedding, network, footprint)
    return features


def compare_features(
    volume: Volume,
    backbones: Mapping[str, Backbone],
    features: Mapping[str, SourceFeatures],
    config: RankConfig,
    pool: Executor | None = None,
) -> dict[str, Comparison]:
    """Embed a volume by the network of each source, all at the same places, and compare the features.

    Parameters
    ----------
    backbones
        By name, the networks of all `features` among them.
    pool
        Threads for the networks, such as `backbones.devices.compute_in_threads`.

    Raises
    ------
    UserError
        See `draw_places` and `compare_embeddings`.
    """
    embeddings = {found.network: found.embedding for found in features.values()}
    shapes = {name: embedding.shape_vx for name, embedding in embeddings.items()}
    matched = config.match_raw and config.network == "own"
    levels = {
        name: (e.raw_mean, e.raw_std)
        for name, e in embeddings.items()
        if matched and e.raw_mean is not None and e.raw_std is not None
    }
    embedders = {name: backbones[name] for name in embeddings}
    here = embed_each(volume, embedders, config.patches, shapes, levels=levels, pool=pool)
    embedded = {}
    for _ in track("features of sources", list(embedders)) if embedders else ():
        name, by_pooling = next(here)
        embedded[name] = by_pooling[config.pooling]
    return {
        name: compare_embeddings(embedded[found.network], found.embedding, config, name)
        for name, found in features.items()
    }


def _take(stored: Embeddings, network: NetworkRole, pooling: Pooling, name: str) -> Embedding:
    try:
        return stored[network][pooling]
    except KeyError:
        has = ", ".join(f"{n}.{p}" for n, by_pooling in stored.items() for p in by_pooling)
        raise UserError(f"it has no features {network}.{pooling}", f"embedding of {name}", f"it has: {has}") from None
