"""The labelled volumes of the ranking study, and what of them is scored."""

import os
from dataclasses import dataclass
from pathlib import Path

import cc3d
import h5py
import numpy as np

from neuroadda.config import Zyx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume

DATA = Path(os.environ.get("NEUROADDA_DATA", "../shared/data"))
FOLDER = Path("runs/ranking")
SCORED_VX: Zyx = (16, 320, 320)


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
