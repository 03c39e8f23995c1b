"""How the affinities of a backbone are best segmented, by labelled boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuroadda.api.inputs import StrPath, VolumeLike, to_text
from neuroadda.config import configure, dump_config
from neuroadda.observing import RunObserver, watched_by
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig

if TYPE_CHECKING:
    from neuroadda.adaptation.tune_config import TuneConfig
    from neuroadda.evaluation.tuning import Tuned


def tune(
    raw: VolumeLike | None = None,
    labels: VolumeLike | Sequence[VolumeLike] | None = None,
    *,
    backbone: StrPath | None = None,
    output: StrPath | None = None,
    rois: Sequence[RoiConfig] | None = None,
    proposals: StrPath | None = None,
    no_data: VolumeLike | None = None,
    any_voxel_size: bool | None = None,
    config: "TuneConfig | None" = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> "Tuned":
    """Choose fragments, agglomeration and threshold on labelled boxes, by cross-validation: each box is left out in turn.

    Parameters
    ----------
    raw
        uint8, zyx.
    labels
        Integers, zyx, on raw's voxels; of several arrays, each is a box. Voxels of label 0 are not scored.
    backbone
        An entry of the zoo, or a folder.
    output
        Folder of ``tune.json``, ``tune.toml`` (for `segment` and `run`) and ``tune.png``.
    rois
        Boxes of the labels (nm, zyx); all of each array by default. Fewer than three boxes are cut into quarters.
    proposals
        Folder of `propose` or of an adaptation: its labelled boxes are taken instead of `labels`.
    no_data
        Where raw has none, as in `segment`.
    any_voxel_size
        Accept a volume whose voxel size is far from that of the backbone's training.

    Returns
    -------
    Tuned
        `describe` says what was taken; `settings`, `threshold`, `choice`, and `voi` of every setting, box and threshold.
        `segmentation` is what ``[segment]`` of a config takes.

    Raises
    ------
    UserError
        If an input is missing or does not fit, no box is labelled, or another tuning lies in `output` and `overwrite` is false.
    """
    from neuroadda.adaptation.tune_config import TuneConfig
    from neuroadda.adaptation.tuning import tune_backbone

    several = [labels] if isinstance(labels, str | Path | Volume) else labels
    given = {
        "raw": to_text(raw),
        "labels": None if several is None else [to_text(one) for one in several],
        "backbone": to_text(backbone),
        "output": to_text(output),
        "rois": None if rois is None else [dump_config(roi) for roi in rois],
        "proposals": to_text(proposals),
        "no_data": to_text(no_data),
        "any_voxel_size": any_voxel_size,
    }
    wanted = configure(TuneConfig, config, "tune", given)
    with watched_by(observer):
        return tune_backbone(wanted, overwrite=overwrite)
