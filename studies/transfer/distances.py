"""Every way to measure how far the study's targets are from their sources."""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import torch

from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.normalisation import normalise
from neuroadda.domains.baselines import classifier_auc, frechet_distance
from neuroadda.domains.comparison import MmdConfig, estimate_mmd2
from neuroadda.domains.embedding import embed_volume
from neuroadda.domains.patches import PatchConfig, draw_patches
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.embeddings import Embedding, Pooling, load_embeddings, save_embeddings
from studies.single_sections import DOMAINS, PIXEL_NM, SOURCES
from studies.transfer.study import FOLDER, GENERALIST, pretrained_folder

PATCHES, ENTROPY_PATCHES = PatchConfig(count=256), PatchConfig(count=128)

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
        save_embeddings(folder, embed_volume(raw, {"own": load_backbone(network)}, PATCHES))
    return load_embeddings(folder)["own"]


def nearest_source(target: str, pretraining: int) -> str:
    """Return the source that the default ranking prefers."""
    config = MmdConfig()

    def measure(source: str) -> float:
        folder = pretrained_folder(source if config.network == "own" else GENERALIST, target, pretraining)
        here, there = embed(folder, target)[config.pooling], embed(folder, source)[config.pooling]
        return estimate_mmd2(here, there, config)

    return min(sources_of(target), key=measure)


@torch.inference_mode()
def measure_entropy(network: Path, domain: str) -> float:
    """Return the mean binary entropy (bits) of what a network predicts for a domain's raw: no distance, but as source-free."""
    backbone = load_backbone(network)
    raw = Volume.open(FOLDER / "data" / f"{domain}_train.zarr" / "raw")
    patches = draw_patches(raw, PIXEL_NM, backbone.card.architecture.input_shape_vx((1, 32, 32)), ENTROPY_PATCHES)
    image = torch.from_numpy(normalise(patches.raw, backbone.card.normalisation))[:, None]
    p = torch.sigmoid(backbone.model(image)).clamp(1e-6, 1 - 1e-6)
    return float(-(p * p.log2() + (1 - p) * (1 - p).log2()).mean())


def measure_all(pretraining: int) -> dict[str, dict[tuple[str, str], float]]:
    """Return, for every way to measure, the distance of each target from each of its sources.

    `pretraining` tells which training of the networks measures.
    """
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for target in DOMAINS:
        for source in sources_of(target):
            network_of_source = pretrained_folder(source, target, pretraining)
            found["entropy of predictions"][target, source] = measure_entropy(network_of_source, target)
        for source, network in itertools.product(sources_of(target), ("own", "reference")):
            folder = pretrained_folder(source if network == "own" else GENERALIST, target, pretraining)
            here, there = embed(folder, target), embed(folder, source)
            for pooling in ("mean", "max"):
                x, y = here[pooling], there[pooling]
                pair, name = (target, source), f"{network}, {pooling}"
                for bandwidth, unbiased in itertools.product(("median", "multi"), (True, False)):
                    config = MmdConfig(network=network, pooling=pooling, bandwidth=bandwidth, unbiased=unbiased)
                    kind = "unbiased" if unbiased else "biased"
                    found[f"MMD², {name}, {bandwidth}, {kind}"][pair] = estimate_mmd2(x, y, config)
                found[f"Frechet, {name}"][pair] = frechet_distance(x.features, y.features, shrink=True)
                found[f"classifier AUC, {name}"][pair] = classifier_auc(x.features, y.features, x.blocks, y.blocks)
    return found
