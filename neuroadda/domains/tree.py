"""From volumes and a zoo to the tree of their domains: embedded by one network, measured, clustered, tested."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import Config, Zyx, dump_config, fingerprint, write_json
from neuroadda.domains.embedding import embed_volume, patch_shape_vx
from neuroadda.domains.mmd import Bandwidth
from neuroadda.domains.newick import Node
from neuroadda.domains.pairwise import Distances, measure_distances
from neuroadda.domains.patches import PatchConfig
from neuroadda.domains.phylogeny import (
    Correlation,
    DomainTree,
    Linkage,
    Mantel,
    build_tree,
    mantel_test,
    phylogenetic_distances,
)
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.embeddings import Embedding, Pooling, find_generalist, load_embeddings
from neuroadda.zoo.finding import Zoo, find_backbone
from neuroadda.zoo.index import EMBEDDING

RECORD = "tree.json"


class TreeConfig(Config):
    """How the tree of domains is made.

    Attributes
    ----------
    pooling
        How the features of a patch become one vector.
    bandwidth
        Bandwidth of the kernel, the same for all pairs: the "median" distance in the pooled sample of all domains, or "multi":
        the mean of kernels of a quarter to four times that.
    method
        How domains are clustered; "average" is UPGMA.
    correlation
        Correlation of the Mantel test. MMD is bounded, so it can follow a phylogeny's branch lengths no further than in rank.
    patches
        Which patches of each volume.
    resamples
        How many bootstrap samples over spatial blocks.
    permutations
        How many permutations of the Mantel test, where there are more than eight domains.
    seed
        Seed of patches, bootstrap and permutations.
    """

    pooling: Pooling = "mean"
    bandwidth: Bandwidth = "median"
    method: Linkage = "average"
    correlation: Correlation = "spearman"
    patches: PatchConfig = Field(default_factory=PatchConfig)
    resamples: Annotated[int, Field(gt=0)] = 1000
    permutations: Annotated[int, Field(gt=0)] = 9999
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Survey:
    """The tree of domains and what it was made of.

    Attributes
    ----------
    distances, tree
        Of the domains.
    organisms
        By domain, where it is known.
    mantel
        Whether distances follow the given phylogeny.
    """

    distances: Distances
    tree: DomainTree
    organisms: Mapping[str, str]
    mantel: Mantel | None = None

    def to_data(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        matrix = self.distances.matrix
        low, high = np.quantile(self.distances.resampled, (0.025, 0.975), axis=0)
        return {
            "domains": list(matrix.names),
            "organisms": dict(self.organisms),
            "distances": matrix.values.tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "bandwidths": list(self.distances.bandwidths),
            "newick": self.tree.to_newick(),
            "clades": [{"domains": sorted(clade), "support": share} for clade, share in self.tree.support.items()],
            "cophenetic": self.tree.cophenetic,
            "mantel": vars(self.mantel) if self.mantel else None,
        }


def pick_backbone(zoo: Zoo, backbone: str | None) -> Backbone:
    """Return the network that embeds: an entry of the zoo, or a folder; by default the zoo's generalist.

    Raises
    ------
    UserError
        If there is no such backbone, or none is named and the zoo has no generalist.
    """
    name = find_generalist(zoo) if backbone is None else backbone
    if name is None:
        raise UserError("it has no generalist to embed with", zoo.where, "name a --backbone: an entry or a folder")
    return load_backbone(find_backbone(name, zoo))


def survey_domains(
    volumes: Mapping[str, Path],
    backbone: Backbone,
    config: TreeConfig,
    *,
    zoo: Zoo | None = None,
    organisms: Mapping[str, str] | None = None,
    phylogeny: Node | None = None,
    where: str = "phylogeny",
) -> Survey:
    """Embed domains by one network and make their tree.

    Parameters
    ----------
    volumes
        Raw, by the name of the domain.
    zoo
        Its entries join where they hold features by this network; the generalist, which is of no one domain, does not.
    organisms
        By domain; else what a volume's file or a zoo's card says.
    phylogeny, where
        A tree to compare with, see `phylogenetic_distances`, and what an error calls it.

    Raises
    ------
    UserError
        If there are fewer than three domains, a name is taken twice, a domain has no place in the phylogeny, or a
        volume cannot be embedded.
    """
    stored = {} if zoo is None else _stored(zoo, backbone.card.digest, config.pooling)
    both = sorted(set(volumes) & set(stored))
    if both:
        raise UserError(f"{both[0]!r} is in the zoo too", "volumes", "give the volume another name")
    opened = {name: Volume.open(path) for name, path in volumes.items()}
    known = {name: _organism(volume) for name, volume in opened.items()}
    known |= {name: zoo.card(name).organism for name in stored} if zoo else {}
    unknown = sorted(set(organisms or {}) - set(known))
    if unknown:
        raise UserError(f"there is no domain {unknown[0]!r}", "organisms", f"domains: {', '.join(known)}")
    known |= organisms or {}
    if len(known) < 3:
        raise UserError(
            f"{len(known)} domains make no tree", "domains", "give at least three, or a --zoo that has them"
        )
    related = None if phylogeny is None else phylogenetic_distances(phylogeny, tuple(known), known, where)
    shape_vx: Zyx = next((e.shape_vx for e in stored.values()), patch_shape_vx(backbone.card))
    embedded = {
        name: embed_volume(volume, {"it": backbone}, config.patches, {"it": shape_vx})["it"][config.pooling]
        for name, volume in opened.items()
    }
    distances = measure_distances(embedded | stored, config.bandwidth, config.resamples, config.seed)
    tree = build_tree(distances.matrix, config.method, distances.resampled)
    mantel = None
    if related is not None:
        options = {"permutations": config.permutations, "seed": config.seed}
        mantel = mantel_test(distances.matrix, related, correlation=config.correlation, **options)  # type: ignore[arg-type]
    return Survey(distances, tree, {name: organism for name, organism in known.items() if organism}, mantel)


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise UserError if a survey lies in `folder` already, unless it may be replaced, or if this is no folder."""
    if folder.exists() and not folder.is_dir():
        raise UserError("this is a file", str(folder), "give a folder")
    if (folder / RECORD).exists() and not overwrite:
        raise UserError("there is a tree here already", str(folder), "give --overwrite or another folder")


def save_survey(folder: Path, survey: Survey, config: TreeConfig, backbone: Backbone) -> dict[str, Any]:
    """Write ``matrix.csv``, ``tree.nwk`` and ``tree.json`` (all of it, and how it was made); return the last one's data.

    Raises
    ------
    UserError
        If they cannot be written.
    """
    made_of = {"backbone": backbone.card.name, "digest": backbone.card.digest, "config": dump_config(config)}
    data = survey.to_data() | made_of
    data["fingerprint"] = fingerprint(data)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "matrix.csv").write_text(survey.distances.matrix.to_csv(), encoding="utf-8")
        (folder / "tree.nwk").write_text(survey.tree.to_newick() + "\n", encoding="utf-8")
        write_json(folder / RECORD, data)
    except OSError as error:
        raise UserError(f"the tree cannot be written: {error.strerror or error}", str(folder)) from error
    return data


def find_species(organism: str) -> str:
    """Return an organism without what is said of it in brackets: "Mus musculus (adult)" is "Mus musculus"."""
    return organism.partition("(")[0].strip()


def _stored(zoo: Zoo, digest: str, pooling: Pooling) -> dict[str, Embedding]:
    generalist = find_generalist(zoo)
    found: dict[str, Embedding] = {}
    for name in zoo.names():
        if name == generalist or EMBEDDING not in zoo.files(name):
            continue
        by_network = load_embeddings(zoo.folder(name)).values()
        fitting = [by[pooling] for by in by_network if pooling in by and by[pooling].network == digest]
        if fitting:
            found[name] = fitting[0]
    return found


def _organism(volume: Volume) -> str:
    return str(volume.attrs.get("provenance", {}).get("attributes", {}).get("organism", ""))
