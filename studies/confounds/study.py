"""Does the tree of domains follow phylogeny, or voxel size, contrast and modality? Each is matched in turn.

    python -m studies.confounds.study --backbone FOLDER [FOLDER ...] [--count 256]

Rows go to docs/results/domains_trees.csv and docs/results/domains_tests.csv, pictures to docs/results/pictures. A network that has
rows already, by its name, is left out. `studies/confounds/report.py` makes the pages of them.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

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
from neuroadda.zoo.embeddings import Embedding, Pooling
from studies.confounds.rows import TESTS, TREES, MantelRow, TreeRow
from studies.pages import PICTURES, ROOT
from studies.rows import append_rows, read_table

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
    *(("voxel size", MATCHED_NM, False, nm) for nm in ASSUMED_WORM_NM),
    ("contrast", None, True, WORM_NM),
    *(("both", MATCHED_NM, True, nm) for nm in ASSUMED_WORM_NM),
]
DRAWN = {"nothing": "as_is", "both": "matched"}  # at WORM_NM


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


def describe_tree(measured: Distances) -> dict[str, float]:
    """Return whether the tree parts the species, how sure that is, and how well a tree tells the distances."""
    tree = build_tree(measured.matrix, resampled=measured.resampled)
    support = support_clades(measured.resampled, tuple(DOMAINS), GROUPS)
    found: dict[str, float] = {"cophenetic": round(tree.cophenetic or 0, 2)}
    for name, group in zip(("flies", "mice"), GROUPS, strict=True):
        found |= {name: int(is_monophyletic(tree.root, group)), f"{name}_support": round(support[group], 2)}
    return found


def draw(measured: Distances, stem: str) -> None:
    """Draw dendrogram, heat map and map."""
    tree = build_tree(measured.matrix, resampled=measured.resampled)
    save_figure(plot_dendrogram(tree, SPECIES), PICTURES, f"{stem}_dendrogram", ("png", "pdf"))
    save_figure(plot_heatmap(measured.matrix, tree, SPECIES), PICTURES, f"{stem}_heatmap", ("png", "pdf"))
    save_figure(plot_map(measured.matrix, SPECIES), PICTURES, f"{stem}_map", ("png", "pdf"))


def examine(
    backbone: Backbone, volumes: dict[float, dict[str, Volume]], count: int, pooling: Pooling
) -> tuple[list[TreeRow], list[MantelRow]]:
    """Return the rows of one network."""
    shape, name = largest_shape(backbone, volumes), backbone.card.name
    seen: dict[tuple[Path, float, bool], Embedding] = {}
    grey: dict[str, np.ndarray] = {}
    trees, tests = [], []

    def test(
        condition: tuple[str, float], of: str, on: str, tables: Mapping[str, DistanceMatrix], given: str = ""
    ) -> None:
        found = mantel_test(tables[of], tables[on], tables.get(given), correlation="spearman")
        tests.append(MantelRow(name, *condition, of, on, given, round(found.r, 2), round(found.p, 3)))

    for made_alike, matched_nm, contrast, worm_nm in CONDITIONS:
        chosen = {}
        for domain, volume in volumes[worm_nm].items():
            pixel_nm = matched_nm or volume.voxel_size_nm[1]
            key = (volume.path, pixel_nm, contrast)
            if key not in seen:
                patches = draw_patches(volume, pixel_nm, shape, PatchConfig(count=count))
                grey.setdefault(domain, patches.raw)
                raw = match_contrast(patches.raw) if contrast else patches.raw
                # told to be of one pixel size: they are compared as the network sees them
                seen[key] = embed_patches(backbone, Patches(raw, patches.blocks, MATCHED_NM))[pooling]
            chosen[domain] = seen[key]
        measured, condition = measure_distances(chosen), (made_alike, worm_nm)
        confounds = find_confounds(volumes[worm_nm], grey)
        tables = {"distances": measured.matrix, "phylogeny": LIFE} | confounds
        head = (name, backbone.card.domain, count, shape[-1], pooling, *condition)
        trees.append(TreeRow(*head, **describe_tree(measured)))  # type: ignore[arg-type] # clades are whole numbers
        for on in ("phylogeny", *confounds):
            test(condition, "distances", on, tables)
        for given in confounds:
            test(condition, "distances", "phylogeny", tables, given)
            if made_alike == "nothing":
                test(condition, given, "phylogeny", tables)
        print(trees[-1], file=sys.stderr, flush=True)
        if made_alike in DRAWN and worm_nm == WORM_NM:
            draw(measured, f"domains_{name}_{DRAWN[made_alike]}")
    return trees, tests


def main() -> None:
    """Do what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", type=Path, nargs="+", required=True)
    parser.add_argument("--count", type=int, default=512, help="patches of a domain")
    parser.add_argument("--pooling", choices=("mean", "max"), default="mean")
    arguments = parser.parse_args()
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))
    done = {row.network for row in read_table(TREES, TreeRow)}
    backbones = [load_backbone(path) for path in arguments.backbone]
    with tempfile.TemporaryDirectory() as folder:
        volumes = open_volumes(data, Path(folder))
        for backbone in backbones:
            if backbone.card.name not in done:
                trees, tests = examine(backbone, volumes, arguments.count, arguments.pooling)
                append_rows(TESTS, tests)
                append_rows(TREES, trees)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
