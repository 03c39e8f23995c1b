"""Labelled domains as single sections of one pixel size, which makes them comparable: the data of transfer study and boxes study.

Every section is resampled to 8 nm; a label is split into its connected parts in each section. From the test parts a few
sections far from each other are taken.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import h5py
import numpy as np

from neuroadda.config import fingerprint
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.resampling import resample_sections
from neuroadda.volumes.storage.placing import placing

PIXEL_NM = 8.0


@dataclass(frozen=True)
class Domain:
    """Where a domain's train and test sections lie, and how its labels are to be read.

    Attributes
    ----------
    organism
        For the same-species heuristic.
    every
        Of the sections of the test part this one in how many is scored.
    erode_vx
        Pixels between labels that touch each other.
    sections
        Of the one file that holds both parts: those to train on come first, this many; 0 where there are two files.
    files
        Names of the files of the train part and the test part, where they are not the domain's.
    """

    organism: str
    every: int
    erode_vx: int = 0
    sections: int = 0
    files: tuple[str, str] | None = None


DOMAINS = {
    "fly_fibsem": Domain("Drosophila melanogaster", every=10),
    "fly_medulla_fibsem": Domain("Drosophila melanogaster", every=16, erode_vx=1),
    "fly_larva_l1_sstem": Domain("Drosophila melanogaster", every=1),
    "fly_larva_l3_sstem": Domain("Drosophila melanogaster", every=1),
    "fly_brain_sstem": Domain("Drosophila melanogaster", every=1, erode_vx=1, sections=3),
    "mouse_cortex_sssem": Domain("Mus musculus", every=6),
}
LABELLED = DOMAINS | {
    "mouse_cortex_ac3": Domain("Mus musculus", every=25, files=("mouse_cortex_ac4_train", "mouse_cortex_ac3_test")),
    "mouse_cerebellum_sbem": Domain("Mus musculus", every=8),
}
"""With targets that the transfer study does not have."""
SOURCES = tuple(name for name, domain in DOMAINS.items() if not domain.sections)


def prepare(data: Path, folder: Path, names: Iterable[str] = DOMAINS) -> None:
    """Write ``<folder>/<domain>_<part>.zarr/{raw,labels}`` of domains, both parts; what is there stays."""
    for name in names:
        for part in ("train", "test"):
            if not (folder / f"{name}_{part}.zarr" / "labels").exists():
                _write_part(data, folder / f"{name}_{part}.zarr", name, part)


def provenance(data: Path, name: str) -> dict[str, str]:
    """Return name, licence and citation of a domain's training part, for cards."""
    with h5py.File(_file(data, name, "train")) as file:
        return {"name": name, **{key: str(file.attrs[key]) for key in ("licence", "citation")}}


def _file(data: Path, name: str, part: str) -> Path:
    domain = LABELLED[name]
    if domain.files is not None:
        return data / f"{domain.files[part == 'test']}.hdf"
    return data / (f"{name}.hdf" if domain.sections else f"{name}_{part}.hdf")


def _write_part(data: Path, target: Path, name: str, part: str) -> None:
    domain = LABELLED[name]
    train = slice(0, domain.sections or None)
    chosen = train if part == "train" else slice(domain.sections, None, domain.every)
    with h5py.File(_file(data, name, part)) as file:
        raw, labels = file["volumes/raw"], file["volumes/labels/neuron_ids"]
        z, y, x = (float(v) for v in raw.attrs["resolution"])
        arrays: dict[str, np.ndarray] = {
            "raw": resample_sections(raw[chosen], (y, x), PIXEL_NM),
            "labels": split_by_section(resample_sections(labels[chosen], (y, x), PIXEL_NM, "labels")),
        }
        where: dict[str, Any] = {"source": f"{name}_{part}", "sections": [chosen.start, chosen.step], "from_nm": [y, x]}
    for kind, array in arrays.items():
        attrs = {"fingerprint": fingerprint("single sections", 1, name, part, kind, PIXEL_NM), "provenance": where}
        voxel_size = (z * (chosen.step or 1), PIXEL_NM, PIXEL_NM)
        with placing(target / kind) as partial:
            volume = Volume.create(partial, array.shape, voxel_size, array.dtype, chunk_vx=(1, 128, 128), attrs=attrs)
            volume.data[:] = array


def split_by_section(labels: np.ndarray) -> np.ndarray:
    """Return uint32 labels in which every connected part of a label in a section has its own id."""
    split = np.zeros(labels.shape, np.uint32)
    last = 0
    for section, target in zip(labels, split, strict=True):
        parts = cc3d.connected_components(np.ascontiguousarray(section), connectivity=4).astype(np.uint32)
        target[:] = np.where(parts > 0, parts + np.uint32(last), 0)
        last = max(last, int(target.max()))
    return split
