"""Affinities of four labelled volumes by their own backbones of the zoo, on what these were not trained on."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from funlib.geometry import Roi

from neuroadda import flow
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import load_config_file, parse_config
from neuroadda.evaluation.validation import Validator
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.finding import open_zoo

ROOT = Path(__file__).parents[2]
DOMAINS = ("fly_fibsem", "fly_medulla_fibsem", "fly_larva_l1_sstem", "mouse_cortex_sssem")


@dataclass(frozen=True)
class Part:
    """A labelled part: uint8 affinities (czyx, nearest neighbours), truth labels (zyx) and the voxel size."""

    affs: np.ndarray
    labels: np.ndarray
    voxel_size_nm: tuple[float, ...]

    @property
    def voxels(self) -> int:
        """Voxels of the part."""
        return int(self.labels.size)


def predict_parts(domain: str, folder: Path, backbone: str | None = None) -> tuple[Part, Part]:
    """Return the validation and the test part of a domain; predictions are kept in `folder`.

    Parameters
    ----------
    backbone
        Of the zoo; the domain's own by default. Parts are predicted at their own voxel size.
    """
    path = folder / f"{domain}-{backbone or domain}.npz"
    if not path.exists():
        _predict(domain, backbone or domain, path)
    kept = np.load(path)
    voxel_size_nm = tuple(float(v) for v in kept["voxel_size_nm"])
    return tuple(Part(kept[f"{p}_affs"], kept[f"{p}_labels"], voxel_size_nm) for p in ("validation", "test"))  # type: ignore[return-value]


def predict_part(name: str, backbone: str, folder: Path, roi: Roi | None = None) -> Part:
    """Return a labelled volume, or a part of it, predicted by a backbone of the zoo; the prediction is kept in `folder`."""
    place = "" if roi is None else "_from_" + "_".join(str(int(n)) for n in roi.begin)
    path = folder / f"{name}{place}-{backbone}.npz"
    if not path.exists():
        target = Path("runs/data") / f"{name}.zarr"
        import_labelled(target)
        raw, labels = Volume.open(target / "raw"), Volume.open(target / "labels")
        roi = roi or labels.roi
        affs = _predict_roi(load_backbone(open_zoo().folder(backbone)), raw, roi)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, voxel_size_nm=raw.voxel_size_nm, affs=affs, labels=labels.read(roi))
    kept = np.load(path)
    return Part(kept["affs"], kept["labels"], tuple(float(v) for v in kept["voxel_size_nm"]))


def _predict(domain: str, name: str, path: Path) -> None:
    file = ROOT / "configs" / f"{domain}.toml"
    config = parse_config(flow.RunConfig, load_config_file(file), str(file))
    assert config.validation is not None
    assert config.segment is not None
    assert config.evaluate is not None
    for target in (Path(config.validation.raw).parent, Path(config.segment.raw).parent):
        import_labelled(target)
    held_out, held_out_labels, roi = Validator(config.validation).check()
    test, labels = Volume.open(config.segment.raw), Volume.open(config.evaluate.labels)
    backbone = load_backbone(open_zoo().folder(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        voxel_size_nm=test.voxel_size_nm,
        validation_affs=_predict_roi(backbone, held_out, roi),
        validation_labels=held_out_labels.read(roi),
        test_affs=_predict_roi(backbone, test, labels.roi),
        test_labels=labels.read(labels.roi),
    )


def import_labelled(target: Path) -> None:
    """Import the labelled volume of this name (``NAME.zarr``) unless it is there."""
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data"))
    if not (target / "labels").exists():
        import_volume(data / f"{target.stem}.hdf", target)


def _predict_roi(backbone: Backbone, raw: Volume, roi: Roi) -> np.ndarray:
    """Return affinities in float32, which is the same on every machine but for the last bits of a sum."""
    torch.set_num_threads(1)
    z, y, x = roi.shape / raw.voxel_size
    parameters = Predict(precision="float32", device="cpu").resolve(backbone.card.architecture, (z, y, x))
    affs, _ = Predictor(backbone, parameters)(raw, roi)
    return affs[:3]
