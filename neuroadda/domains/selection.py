"""Which backbone of a zoo fits a volume: its entries ranked from their stored features alone."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import replace

from neuroadda.backbones.zoo import Zoo
from neuroadda.backbones.zoo_index import EMBEDDING
from neuroadda.domains.embedding import Embedding, Network, Pooling, embed_volume, load_embeddings
from neuroadda.domains.ranking import RankConfig, Ranking, rank_embeddings
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume

Stored = Mapping[Network, Mapping[Pooling, Embedding]]


def rank_sources(volume: Volume, zoo: Zoo, config: RankConfig, exclude: Collection[str] = ()) -> Ranking:
    """Rank the entries of a zoo for a volume. No source image is read: entries hold the features of their domains.

    The volume is embedded once by each network that is needed, by all of them at the same places.

    Parameters
    ----------
    exclude
        Entries that are not to be ranked, such as one trained on this very volume. The reference network may be among
        them: it still embeds.

    Raises
    ------
    UserError
        If an excluded name is unknown, nothing is left to rank, entries lack the features that `config` asks for or
        have them of a network that is not in the zoo, or the volume is too small for a patch.
    """
    names = zoo.names()
    for name in exclude:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            right = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(names) or 'nothing'}"
            raise UserError(f"there is no {name!r} in the zoo to exclude", zoo.where, right)
    kept = [name for name in names if name not in exclude]
    stored = {name: load_embeddings(zoo.folder(name)) for name in kept if EMBEDDING in zoo.files(name)}
    if not stored:
        raise UserError("no entry can be ranked", zoo.where, "at least one with an embedding is needed")
    holders = {zoo.card(name).digest: name for name in names}
    sources = {name: _take(by_network, config.network, config.pooling, name) for name, by_network in stored.items()}
    references = _agree_on_reference(stored, config, holders) if config.far is None else {}
    needed = {e.network: (name, e.shape_vx) for by in (sources, references) for name, e in by.items()}
    for digest, (name, _) in needed.items():
        if digest not in holders:
            what = f"the features of {name!r} are of a network ({digest[:12]}) that no entry has"
            raise UserError(what, zoo.where, "build its embedding again")
    backbones = {digest: zoo.backbone(holders[digest]) for digest in needed}
    shapes = {digest: shape for digest, (_, shape) in needed.items()}
    embedded = {
        digest: by_pooling[config.pooling]
        for digest, by_pooling in embed_volume(volume, backbones, config.patches, shapes).items()
    }
    ranking = rank_embeddings(
        {name: embedded[e.network] for name, e in sources.items()},
        sources,
        config,
        {name: embedded[e.network] for name, e in references.items()},
        references,
    )
    return replace(ranking, left_out=tuple(name for name in kept if name not in stored))


def _take(stored: Stored, network: Network, pooling: Pooling, name: str) -> Embedding:
    try:
        return stored[network][pooling]
    except KeyError:
        has = ", ".join(f"{n}.{p}" for n, by_pooling in stored.items() for p in by_pooling)
        raise UserError(f"it has no features {network}.{pooling}", f"embedding of {name}", f"it has: {has}") from None


def _agree_on_reference(
    stored: Mapping[str, Stored], config: RankConfig, holders: Mapping[str, str]
) -> dict[str, Embedding]:
    """Return the features of all domains by one network of the zoo, without those of that network's own; {} if there is none."""
    found = {
        name: s["reference"][config.pooling] for name, s in stored.items() if config.pooling in s.get("reference", {})
    }
    digests = {e.network for e in found.values()}
    if len(digests) != 1 or not digests <= set(holders):
        return {}
    generalist = holders[digests.pop()]
    domains = {name: e for name, e in found.items() if name != generalist}
    return domains if set(stored) - {generalist} == set(domains) else {}
