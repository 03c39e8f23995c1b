"""The labelled volumes of the ranking study, and what of them is scored."""

import os
from dataclasses import dataclass
from pathlib import Path

import cc3d
import h5py
import numpy as np

from neuroadda.config import Zyx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.importing import import_volume

DATA = Path(os.environ.get("NEUROADDA_DATA", "../shared/data"))
FOLDER = Path("runs/ranking")
SCORED_VX: Zyx = (16, 320, 320)
SMALL_VX: Zyx = (50, 100, 200)


@dataclass(frozen=True)
class Target:
    """A labelled volume.

    Attributes
    ----------
    own
        The zoo's entry of its own domain, if there is one.
    organism
        For the same-species heuristic.
    linked
        Whether ids are linked across sections, so that it counts in 3-D, too.
    touching
        Labels touch each other: a voxel between them does not count.
    """

    own: str | None
    organism: str
    linked: bool
    touching: bool = False


FLY, MOUSE = "Drosophila melanogaster", "Mus musculus"
TARGETS = {
    "fly_fibsem_test": Target("fly_fibsem", FLY, linked=True),
    "fly_medulla_fibsem_test": Target("fly_medulla_fibsem", FLY, linked=True, touching=True),
    "fly_larva_l1_sstem_test": Target("fly_larva_l1_sstem", FLY, linked=True),
    "fly_larva_l3_sstem_test": Target("fly_larva_l3_sstem", FLY, linked=False),
    "fly_brain_sstem": Target(None, FLY, linked=True, touching=True),
    "mouse_cortex_sssem_test": Target("mouse_cortex_sssem", MOUSE, linked=True),
    "mouse_cortex_ac3_test": Target("mouse_cortex_sssem", MOUSE, linked=True),
    "mouse_cerebellum_sbem_test": Target(None, MOUSE, linked=False),
}
CHOSEN_ON = ("fly_fibsem_test", "fly_larva_l1_sstem_test", "fly_brain_sstem", "mouse_cortex_sssem_test")


def open_raw(name: str) -> Volume:
    """Return a target's raw, imported once."""
    path = FOLDER / "data" / f"{name}.zarr" / "raw"
    return Volume.open(path) if path.exists() else import_volume(str(DATA / f"{name}.hdf"), str(path), kind="raw")


def read_truth(name: str) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """Return what is scored: the middle of a volume (slices, zyx) and its labels (uint32)."""
    with h5py.File(DATA / f"{name}.hdf") as file:
        labels = file["volumes/labels/neuron_ids"]
        sides = [(max(0, (s - n) // 2), min(s, (s + n) // 2)) for s, n in zip(labels.shape, SCORED_VX, strict=True)]
        z, y, x = (slice(*side) for side in sides)
        return (z, y, x), _part(labels[z, y, x])


def _part(labels: np.ndarray) -> np.ndarray:
    """Return labels whose parts that are not connected within the crop have ids of their own."""
    return np.asarray(cc3d.connected_components(labels, connectivity=26)).astype(np.uint32)


def leave_borders_out(truth: np.ndarray) -> np.ndarray:
    """Return labels that are 0 where a neighbour in the section has another id."""
    border = np.zeros(truth.shape, bool)
    for axis in (1, 2):
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differ = truth[tuple(ahead)] != truth[tuple(behind)]
        border[tuple(ahead)] |= differ
        border[tuple(behind)] |= differ
    return np.where(border, 0, truth).astype(truth.dtype)


def choose_part(raw: Volume, small: bool) -> RoiConfig | None:
    """Return the middle 50 x 100 x 200 voxels of a volume, fewer where it has fewer, if it is to be `small`."""
    if not small:
        return None
    size = [min(n, s) for n, s in zip(SMALL_VX, raw.shape_vx, strict=True)]
    begin = [(s - n) // 2 for n, s in zip(size, raw.shape_vx, strict=True)]
    offset = [o + n * nm for o, n, nm in zip(raw.offset_nm, begin, raw.voxel_size_nm, strict=True)]
    shape = [n * nm for n, nm in zip(size, raw.voxel_size_nm, strict=True)]
    return RoiConfig.model_validate({"offset_nm": offset, "shape_nm": shape})
