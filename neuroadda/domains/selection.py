"""Which backbone of a zoo fits a volume: its entries ranked from their stored features alone."""

import difflib
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from neuroadda.backbones.zoo import Zoo, open_zoo
from neuroadda.backbones.zoo_index import EMBEDDING
from neuroadda.config import Config, dump_config, fingerprint, write_json
from neuroadda.domains.embedding import Embedding, Network, Pooling, embed_volume, load_embeddings
from neuroadda.domains.ranking import RankConfig, Ranking, rank_embeddings
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume

Stored = Mapping[Network, Mapping[Pooling, Embedding]]


class SelectConfig(Config):
    """Which zoo a training starts from.

    Attributes
    ----------
    zoo
        Folder or URL; the one that comes with neuroadda by default.
    exclude
        Entries that are not to be ranked, such as one trained on this very volume.
    rank
        How they are ranked.
    """

    zoo: str | None = None
    exclude: tuple[str, ...] = ()
    rank: RankConfig = Field(default_factory=RankConfig)


def select_source(volume: Volume, config: SelectConfig, record: Path) -> tuple[Mapping[str, Any], Path | None]:
    """Rank a zoo for a volume, once: the ranking is kept in the file `record` and holds while nothing that it depends on changes.

    Returns
    -------
    tuple
        The ranking as plain data (see `Ranking.to_data`), and the folder of the nearest source, None if none is near.

    Raises
    ------
    UserError
        As `rank_sources` does.
    """
    zoo = open_zoo(config.zoo)
    mine = fingerprint("select", 1, dump_config(config), dump_config(zoo.index), volume.fingerprint)
    data: dict[str, Any] | None = None
    if record.is_file():
        with suppress(ValueError):
            data = json.loads(record.read_text())
    if data is None or data.get("fingerprint") != mine:
        data = {"fingerprint": mine, **rank_sources(volume, zoo, config.rank, config.exclude).to_data()}
        write_json(record, data)
    winner = data["winner"]
    return data, None if winner is None else zoo.folder(winner)


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
