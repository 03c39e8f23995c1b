"""Every way to measure how far the study's targets are from their sources."""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from single_sections import DOMAINS, SOURCES
from transfer_study import FOLDER, GENERALIST, pretrained_folder

from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.domains.baselines import classifier_auc, frechet_distance
from neuroadda.domains.embedding import Embedding, Pooling, embed_volume, load_embeddings, save_embeddings
from neuroadda.domains.patches import PatchConfig
from neuroadda.domains.ranking import RankConfig, estimate_mmd2
from neuroadda.volumes.arrays import Volume

PATCHES = PatchConfig(count=256)

Distances = Mapping[tuple[str, str], float]


def sources_of(target: str) -> list[str]:
    """Return the domains that a target can be fine-tuned from."""
    return [source for source in SOURCES if source != target]


def embed(network: Path, domain: str) -> Mapping[Pooling, Embedding]:
    """Return a domain's features by the network in a folder, made once."""
    folder = FOLDER / "embeddings" / f"{network.parent.name}-{domain}"
    if not (folder / "embedding.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        raw = Volume.open(FOLDER / "data" / f"{domain}_train.zarr" / "raw")
        save_embeddings(folder, embed_volume(raw, {"own": load_backbone(network)}, PATCHES), PATCHES)
    return load_embeddings(folder)["own"]


def measure_all() -> dict[str, dict[tuple[str, str], float]]:
    """Return, for every way to measure, the distance of each target from each of its sources."""
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for target in DOMAINS:
        for source, network in itertools.product(sources_of(target), ("own", "reference")):
            folder = pretrained_folder(source if network == "own" else GENERALIST, target)
            here, there = embed(folder, target), embed(folder, source)
            for pooling in ("mean", "max"):
                x, y = here[pooling], there[pooling]
                pair, name = (target, source), f"{network}, {pooling}"
                for bandwidth, unbiased in itertools.product(("median", "multi"), (True, False)):
                    config = RankConfig(network=network, pooling=pooling, bandwidth=bandwidth, unbiased=unbiased)
                    kind = "unbiased" if unbiased else "biased"
                    found[f"MMD², {name}, {bandwidth}, {kind}"][pair] = estimate_mmd2(x, y, config)
                found[f"Frechet, {name}"][pair] = frechet_distance(x.features, y.features, shrink=True)
                found[f"classifier AUC, {name}"][pair] = classifier_auc(x.features, y.features, x.blocks, y.blocks)
    return found
