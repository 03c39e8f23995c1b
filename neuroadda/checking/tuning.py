"""Look at what a tuning depends on."""

from collections.abc import Sequence
from pathlib import Path

from neuroadda.adaptation.tune_config import TuneConfig, default_threshold, list_boxes
from neuroadda.checking.backbones import check_backbone
from neuroadda.checking.findings import Findings
from neuroadda.checking.machine import check_place
from neuroadda.checking.segmenting import IMPORT
from neuroadda.checking.training import check_validation
from neuroadda.prediction.predict import check_raw
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import is_inside


def check_tune(findings: Findings, config: TuneConfig, *, made: Sequence[Path] = ()) -> None:
    """Look at volume, backbone and labelled boxes of a tuning.

    Parameters
    ----------
    made
        Folders of backbones that the same run trains first.
    """
    raw = findings.attempt("tune.raw", IMPORT, Volume.open, config.raw)
    if any(is_inside(Path(config.backbone), folder) for folder in made) and not Path(config.backbone).exists():
        findings.note("tune.backbone", f"{config.backbone} is trained first")
    elif (found := check_backbone(findings, "tune.backbone", config.backbone)) is not None and raw is not None:
        findings.attempt("tune.any_voxel_size", IMPORT, check_raw, raw, found[1], config.any_voxel_size)
        findings.attempt("tune", "raise the limit or lower the threshold", default_threshold, config, found[1])
    check_place(findings, "tune.output", config.output, {"tune.raw": config.raw, "tune.backbone": config.backbone})
    if raw is None or (config.proposals is not None and any(is_inside(config.proposals, folder) for folder in made)):
        return
    boxes = findings.attempt("tune", "give labels, or a folder of proposals", list_boxes, config, raw)
    for name, box in (boxes or {}).items():
        check_validation(findings, f"tune: {name}", box)
