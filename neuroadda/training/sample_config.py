"""What a training learns from: a labelled volume."""

from typing import Annotated, Any, Literal

from pydantic import Field

from neuroadda.config import PathText, PublicConfig
from neuroadda.volumes.coverage.no_data_setting import WithNoData
from neuroadda.volumes.geometry.regions import RoiConfig


class SampleConfig(PublicConfig, WithNoData):
    """One labelled volume.

    Attributes
    ----------
    raw
        Array of uint8, zyx.
    labels
        Array of integers, on the voxels of raw.
    mask
        Array on the voxels of raw; labels count where it is not 0. Everywhere by default.
    no_data
        Where raw has none, which teaches nothing: "auto" for constant areas, "none", or a mask, 0 where there is no data. The
        network sees the mirror image of the tissue there.
    roi
        Part of the labels to train on; all of them by default.
    weight
        How often it is drawn, relative to the other samples.
    background
        What label 0 means: ``"boundary"`` (affinity 0) or ``"ignore"`` (unknown, left out of the loss).
        Ids that mean "not labelled" in other tools are left out of the loss in any case, and so is 0 in labels that were imported
        with such ids; see `neuroadda.volumes.contents.label_ids`.
    linked
        Whether a label has the same id in every section; if not, affinities between sections are left out of the loss.
    erode_vx
        Voxels taken off every label's border, for labels that touch each other.
    provenance
        Name, licence and citation, for the card.
    """

    raw: PathText
    labels: PathText
    mask: PathText | None = None
    roi: RoiConfig | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    background: Literal["boundary", "ignore"] = "boundary"
    linked: bool = True
    erode_vx: Annotated[int, Field(ge=0)] = 0
    provenance: dict[str, Any] = Field(default_factory=dict)
