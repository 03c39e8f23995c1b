"""Does the tree of domains follow phylogeny, or voxel size, contrast and modality? Each is matched in turn.

    python -m studies.confounds.study --data ../shared/data --backbone FOLDER [FOLDER ...] --output docs/results

Writes domains.md and pictures/ into the output folder.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from benchmarks.tables import to_markdown
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import Zyx
from neuroadda.domains.distances import DistanceMatrix
from neuroadda.domains.embedding import embed_patches, patch_shape_vx
from neuroadda.domains.newick import is_monophyletic, parse_newick
from neuroadda.domains.pairwise import Distances, measure_distances
from neuroadda.domains.patches import PatchConfig, Patches, draw_patches, footprint_vx
from neuroadda.domains.phylogeny import build_tree, mantel_test, phylogenetic_distances, support_clades
from neuroadda.errors import UserError
from neuroadda.viewing.domain_figures import plot_dendrogram, plot_heatmap, plot_map, save_figure
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.embeddings import Embedding

FLY, MOUSE, WORM = "Drosophila melanogaster", "Mus musculus", "Caenorhabditis elegans"
# Arthropods and nematodes are Ecdysozoa. Only the order of splits is used: the correlation is of ranks.
PHYLOGENY = parse_newick(f"(('{FLY}':1,'{WORM}':1):1,'{MOUSE}':2);")
WORM_NM, ASSUMED_WORM_NM, MATCHED_NM = 3.0, (2.0, 3.0, 4.0, 6.0, 8.0), 8.0
MEAN, STD = 128.0, 40.0
# The worm's crops are two fields of 4 x 4 neighbours, in disorder: their borders fit with r > 0.87.
WORM_FIELDS = [
    [[0, 1, 12, 23], [26, 27, 28, 29], [30, 31, 2, 3], [4, 5, 6, 7]],
    [[8, 9, 10, 11], [13, 14, 15, 16], [17, 18, 19, 20], [21, 22, 24, 25]],
]


DOMAINS = {  # file, species, modality
    "fly_fibsem": ("fly_fibsem_train.hdf", FLY, "FIB-SEM"),
    "fly_medulla_fibsem": ("fly_medulla_fibsem_train.hdf", FLY, "FIB-SEM"),
    "fly_larva_l1_sstem": ("fly_larva_l1_sstem_train.hdf", FLY, "ssTEM"),
    "fly_larva_l3_sstem": ("fly_larva_l3_sstem_train.hdf", FLY, "ssTEM"),
    "fly_brain_sstem": ("fly_brain_sstem.hdf", FLY, "ssTEM"),
    "mouse_cortex_sssem": ("mouse_cortex_sssem_train.hdf", MOUSE, "ssSEM"),
    "mouse_callosum_tem": ("mouse_callosum_tem_2d.hdf", MOUSE, "TEM"),
    "worm_em": ("worm_em_crops_raw.hdf", WORM, "unknown"),
}
# unrelated images, one above the other: far apart along z, so that spatial blocks do not join them
VOXEL_SIZES_NM = {"mouse_callosum_tem": (5000.0, 4.93, 4.93)}
SPECIES = {name: species for name, (_, species, _) in DOMAINS.items()}
GROUPS = [frozenset(name for name in DOMAINS if SPECIES[name] == species) for species in (FLY, MOUSE)]
LIFE = phylogenetic_distances(PHYLOGENY, tuple(DOMAINS), SPECIES)
CONDITIONS: list[tuple[str, float | None, bool, float]] = [  # what is made alike: pixel size, contrast; the worm's
    ("nothing", None, False, WORM_NM),
    *((f"voxel size (worm {nm:g} nm)", MATCHED_NM, False, nm) for nm in ASSUMED_WORM_NM),
    ("contrast", None, True, WORM_NM),
    *((f"both (worm {nm:g} nm)", MATCHED_NM, True, nm) for nm in ASSUMED_WORM_NM),
]
PICTURES = {"nothing": "as_is", f"both (worm {WORM_NM:g} nm)": "matched"}


def open_volumes(data: Path, folder: Path) -> dict[float, dict[str, Volume]]:
    """Return all domains by name, for every voxel size that the worm is assumed to have."""
    known = {}
    for name, (file, species, _) in DOMAINS.items():
        if species != WORM:
            size, target = VOXEL_SIZES_NM.get(name), folder / f"{name}.zarr/raw"
            known[name] = import_volume(data / file, target, kind="raw", voxel_size_nm=size)
    with h5py.File(data / DOMAINS["worm_em"][0]) as opened:
        crops = opened["volumes/raw"][:].reshape(32, 5, 128, 128)
    raw = np.concatenate([np.block([[crops[i] for i in row] for row in field]) for field in WORM_FIELDS])
    volumes = {}
    for nm in ASSUMED_WORM_NM:  # z such that spatial blocks part the fields, and then each of them
        worm = Volume.create(folder / f"worm_{nm:g}.zarr/raw", raw.shape, (28 * nm, nm, nm), np.uint8)
        worm.write(worm.roi, raw)
        volumes[nm] = known | {"worm_em": worm}
    return volumes


def match_contrast(raw: np.ndarray) -> np.ndarray:
    """Give every patch the same mean and standard deviation of grey values."""
    floats = raw.astype(np.float32)
    mean, std = (statistic(floats, axis=(1, 2, 3), keepdims=True) for statistic in (np.mean, np.std))
    return ((floats - mean) / np.maximum(std, 1) * STD + MEAN).clip(0, 255).round().astype(np.uint8)


def largest_shape(backbone: Backbone, volumes: dict[float, dict[str, Volume]]) -> Zyx:
    """Return the largest patch, of up to 8 x 8 deepest features, that fits every volume in every condition."""
    every = [volume for by_name in volumes.values() for volume in by_name.values()]
    for side in range(8, 0, -1):
        shape = patch_shape_vx(backbone.card, (1, side, side))
        views = [(v.shape_vx, footprint_vx(v, nm, shape)) for v in every for nm in (v.voxel_size_nm[1], MATCHED_NM)]
        if all(view[axis] <= room[axis] for room, view in views for axis in (1, 2)):
            return shape
    raise UserError("no patch of this network fits all volumes", str(backbone.folder))


def find_confounds(volumes: dict[str, Volume], grey: dict[str, np.ndarray]) -> dict[str, DistanceMatrix]:
    """Return distances in what might be taken for phylogeny: voxel size, grey values, sharpness (logs), modality."""
    modality = np.array([modality for _, _, modality in DOMAINS.values()])
    columns = {
        "voxel size": [np.log(volumes[name].voxel_size_nm[1]) for name in DOMAINS],
        "mean grey": [grey[name].mean() for name in DOMAINS],
        "std grey": [grey[name].std() for name in DOMAINS],
        "sharpness": [np.log(np.diff(grey[name].astype(float)).std() / grey[name].std()) for name in DOMAINS],
    }
    tables = {what: abs(np.subtract.outer(values, values)) for what, values in columns.items()}
    tables["modality"] = modality[:, None] != modality
    return {what: DistanceMatrix(tuple(DOMAINS), table) for what, table in tables.items()}


def tell(a: DistanceMatrix, b: DistanceMatrix, given: DistanceMatrix | None = None) -> str:
    """Return r and p of a Mantel test."""
    found = mantel_test(a, b, given, correlation="spearman")
    return f"{found.r:.2f} ({found.p:.3f})"


def tell_tree(measured: Distances) -> list[str]:
    """Return whether the tree parts the species, how sure that is, and how well a tree tells the distances."""
    tree = build_tree(measured.matrix, resampled=measured.resampled)
    clades = [is_monophyletic(tree.root, group) for group in GROUPS]
    support = support_clades(measured.resampled, tuple(DOMAINS), GROUPS)
    shares = [f"{'yes' if is_clade else 'no'} ({support[g]:.0%})" for is_clade, g in zip(clades, GROUPS, strict=True)]
    return ["yes" if all(clades) else "no", *shares, f"{tree.cophenetic or 0:.2f}"]


def draw(measured: Distances, folder: Path, stem: str) -> str:
    """Draw dendrogram, heat map and map; return lines that show them."""
    tree = build_tree(measured.matrix, resampled=measured.resampled)
    save_figure(plot_dendrogram(tree, SPECIES), folder, f"{stem}_dendrogram", ("png", "pdf"))
    save_figure(plot_heatmap(measured.matrix, tree, SPECIES), folder, f"{stem}_heatmap", ("png", "pdf"))
    save_figure(plot_map(measured.matrix, SPECIES), folder, f"{stem}_map", ("png", "pdf"))
    kinds = ("dendrogram", "heatmap", "map")
    return "".join(f"![{stem}, {kind}]({folder.name}/{stem}_{kind}.png)\n\n" for kind in kinds)


def examine(backbone: Backbone, volumes: dict[float, dict[str, Volume]], arguments: argparse.Namespace) -> str:
    """Return the section on one network."""
    shape = largest_shape(backbone, volumes)
    seen: dict[tuple[Path, float, bool], Embedding] = {}
    grey: dict[str, np.ndarray] = {}
    trees, tests, partial, pictures = [], [], [], ""
    for condition, matched_nm, contrast, worm_nm in CONDITIONS:
        chosen = {}
        for name, volume in volumes[worm_nm].items():
            pixel_nm = matched_nm or volume.voxel_size_nm[1]
            key = (volume.path, pixel_nm, contrast)
            if key not in seen:
                patches = draw_patches(volume, pixel_nm, shape, PatchConfig(count=arguments.count))
                grey.setdefault(name, patches.raw)
                raw = match_contrast(patches.raw) if contrast else patches.raw
                # told to be of one pixel size: they are compared as the network sees them
                seen[key] = embed_patches(backbone, Patches(raw, patches.blocks, MATCHED_NM))[arguments.pooling]
            chosen[name] = seen[key]
        measured = measure_distances(chosen)
        confounds = find_confounds(volumes[worm_nm], grey)
        trees.append([condition, *tell_tree(measured)])
        tests.append([condition, *(tell(measured.matrix, m) for m in (LIFE, *confounds.values()))])
        partial.append([condition, *(tell(measured.matrix, LIFE, m) for m in confounds.values())])
        print(*trees[-1], tests[-1][1], sep="\t", file=sys.stderr, flush=True)
        if condition in PICTURES:
            stem = f"domains_{backbone.card.name}_{PICTURES[condition]}"
            pictures += draw(measured, arguments.output / "pictures", stem)
    confounds = find_confounds(volumes[WORM_NM], grey)
    parted = [sum(row[column].startswith("yes") for row in trees) for column in (2, 3, 1)]
    told = "Of {} conditions, the flies are a clade in {}, the mice in {}, both in {}.".format(len(trees), *parted)
    return (
        f"## Embedded by {backbone.card.name}\n\nTrained on {backbone.card.domain}. {arguments.count} patches of "
        f"{' x '.join(map(str, shape))} voxels a domain; {arguments.pooling} of the deepest features. {told}\n\n### Trees\n\n"
        + to_markdown(["made alike", "flies apart from mouse apart from worm", "flies", "mice", "cophenetic r"], trees)
        + "\n\n### Mantel tests of the distances: r (p)\n\n"
        + to_markdown(["made alike", "phylogeny", *confounds], tests)
        + "\n\n### Partial Mantel tests of the distances with phylogeny, given a confound: r (p)\n\n"
        + to_markdown(["made alike", *confounds], partial)
        + "\n\n### Mantel tests of confounds with phylogeny: r (p)\n\n"
        + to_markdown(list(confounds), [[tell(m, LIFE) for m in confounds.values()]])
        + "\n\n"
        + pictures
    )


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--backbone", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--count", type=int, default=512, help="patches of a domain")
    parser.add_argument("--pooling", choices=("mean", "max"), default="mean")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        volumes = open_volumes(arguments.data, Path(folder))
        sections = [examine(load_backbone(path), volumes, arguments) for path in arguments.backbone]
    worm = ", ".join(f"{nm:g}" for nm in ASSUMED_WORM_NM)
    head = f"""# Domains: phylogeny or imaging?

Eight volumes of three species, embedded by one network, compared by MMD (unbiased, between spatial blocks; a Gaussian kernel of
the pooled median bandwidth), clustered by UPGMA. Before that, voxel size ({MATCHED_NM:g} nm in the plane), contrast (mean {MEAN:g}
and standard deviation {STD:g} of every patch), or both are made alike.

- Flies, mice: whether they are a clade, and in what share of 1,000 trees of resampled spatial blocks they are.
- Mantel tests: Spearman, one-sided, all 40,320 permutations. For phylogeny, five flies and two mice can be exchanged, so that its p
  cannot be below 240 / 40,320 = 0.006. Phylogeny: (fly, worm), mouse.
- Sharpness: spread of differences between neighbouring pixels over that of pixels. Grey values and sharpness are those of the
  volumes as they are. Tissue is no part of this: the two mice are cortex (neuropil) and corpus callosum (myelinated axons).
- The networks are the second training of those of transfer.md. With the first one, the mice were a clade (82 to 96 %) where
  voxel size and contrast were alike, the flies nowhere: what such a tree shows depends on the training of its network.
- The worm is one domain, a clade by itself. Its voxel size is not known: {worm} nm are assumed ({WORM_NM:g} where nothing is said;
  synaptic vesicles, some 30 nm wide, measure about 10 pixels). Its modality is not known and counts as unlike all others.

Command: `python -m studies.confounds.study {" ".join(sys.argv[1:])}`

"""
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "domains.md").write_text(head + "\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
