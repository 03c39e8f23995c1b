"""What may be asked of `propose`: which boxes, of which volume, and what of it determines the answer."""

from collections.abc import Sequence
from typing import Literal

from funlib.geometry import Roi
from pydantic import Field

from neuroadda.active.lattice import cut_into_cells, to_zyx
from neuroadda.active.proposals import Positive, Request
from neuroadda.active.strategies import ChooseConfig
from neuroadda.active.uncertainty import Score
from neuroadda.backbones.card import Card
from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import Config, FolderPath, PathText, PublicConfig, Zyx, dump_config
from neuroadda.domains.selection import SelectConfig
from neuroadda.errors import SettingError
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.resolving import default_block_vx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask, open_mask
from neuroadda.volumes.coverage.no_data_setting import AUTO
from neuroadda.volumes.geometry.regions import RoiConfig

CELLS_A_BLOCK = 4  # along an axis of the default block, at least


class ProposeSettings(Config):
    """How boxes are proposed, wherever.

    Attributes
    ----------
    shape_nm
        Shape of a box; rounded to whole voxels, and to the whole cells by which boxes are placed.
    score
        How unsure the network is of a voxel: "entropy" of its affinities; "augmented": their variance over flips and
        transpositions of the section; "committee": their variance over several networks; "ambiguity": entropy of the mean affinity
        between two touching fragments, where they touch.
    predict
        How affinities are predicted for the score.
    fragments
        How fragments are found for the score "ambiguity".
    reading
        A box's score is the "mean" of its voxels' or their "median": the two readings of the paper's "median patch" (Sawmya
        et al. 2025, arXiv 2503.06196).
    choose
        Which boxes, and how many.
    min_tissue
        Part of a box that must lie in the mask.
    """

    shape_nm: tuple[Positive, Positive, Positive] = (1000.0, 1000.0, 1000.0)
    score: Score = "entropy"
    predict: Predict = Field(default_factory=Predict)
    fragments: Fragments = Field(default_factory=Fragments)
    reading: Literal["mean", "median"] = "mean"
    choose: ChooseConfig = Field(default_factory=ChooseConfig)
    min_tissue: float = Field(default=1.0, ge=0, le=1)


class ProposeConfig(PublicConfig, ProposeSettings):
    """Where boxes are proposed.

    Attributes
    ----------
    raw
        Array of the volume: a path or a URL.
    mask
        Array that is 0 where no tissue is.
    no_data
        Where raw has none, as in `neuroadda.segmentation.config.SegmentConfig`: it is no tissue.
    backbone
        The network that is unsure: an entry of the zoo, or a folder. Without it, the zoo is ranked and its first entry taken.
    committee
        Other networks that it is compared with, for the score "committee": entries of the zoo, or folders.
    select
        The zoo, and how it is ranked where no backbone is given.
    output
        Folder: ``uncertainty.zarr`` and ``proposals.json``.
    roi
        Part of the volume; all of it by default.
    excluded
        Boxes that are labelled already: none is proposed that overlaps them, or is nearer than ``choose.min_distance_nm``.
    block_vx
        Shape of a block of the scoring, rounded up to whole cells; as in segmentation by default.
    any_voxel_size
        Let a backbone score a volume whose voxel size is far from that of its training, by a factor above 1.5 along any axis. False
        refuses it.
    ledger
        URL of the ledger, as in `neuroadda.segmentation.config.SegmentConfig`.
    trust_inputs
        Do not look whether raw or mask was edited since the scoring began.
    execution
        How blocks are carried out; it does not change the result.
    """

    raw: PathText
    backbone: PathText | None = None
    select: SelectConfig = Field(default_factory=SelectConfig)
    output: FolderPath
    committee: tuple[PathText, ...] = ()
    mask: PathText | None = None
    no_data: PathText = AUTO
    roi: RoiConfig | None = None
    excluded: tuple[RoiConfig, ...] = ()
    block_vx: Zyx | None = None
    any_voxel_size: bool = True
    ledger: str | None = None
    trust_inputs: bool = False
    execution: Execution = Field(default_factory=Execution)


def box_shape_vx(settings: ProposeSettings, raw: Volume, roi: Roi) -> Zyx:
    """Return the shape of a box in voxels of raw, zyx; `roi` is where it is looked for."""
    return to_zyx(n * c for n, c in cut_box(settings, raw, roi))


def cut_box(settings: ProposeSettings, raw: Volume, roi: Roi) -> list[tuple[int, int]]:
    """Return, for each axis, of how many cells a box is made and their size in voxels; blocks are made of cells, too.

    Raises
    ------
    SettingError
        If boxes are larger than the ROI (world units) that they are looked for in.
    """
    sizes = [max(1, round(s / v)) for s, v in zip(settings.shape_nm, raw.voxel_size_nm, strict=True)]
    most = [max(1, b // CELLS_A_BLOCK) for b in default_block_vx(raw, roi)]
    extent_vx = roi.shape / raw.voxel_size
    cells = [cut_into_cells(*axis) for axis in zip(sizes, most, extent_vx, strict=True)]
    shape_vx = to_zyx(n * c for n, c in cells)
    if any(s > e for s, e in zip(shape_vx, extent_vx, strict=True)):
        largest = [f"{e * v:g}" for e, v in zip(extent_vx, raw.voxel_size_nm, strict=True)]
        what = f"boxes of {shape_vx} voxels are larger than the {tuple(extent_vx)} that they are looked for in"
        right = f"give at most {' '.join(largest)} nm (zyx): option --shape of `propose`"
        right += f", --set adapt.propose.shape_nm=[{','.join(largest)}] of `adapt`"
        raise SettingError(what, "shape_nm", right)
    return cells


def make_request(config: ProposeConfig, raw: Volume, roi: Roi, cards: Sequence[Card], no_data: Mask | None) -> Request:
    """Return what determines the boxes; how networks run is left out, as it is the machine's matter.

    Raises
    ------
    UserError
        If the mask is missing or does not fit.
    """
    kept = set(ProposeSettings.model_fields) - {"choose", "predict"}
    settings = {key: value for key, value in dump_config(config).items() if key in kept}
    choice = {k: v for k, v in dump_config(config.choose).items() if k not in ("strategy", "seed")}
    return Request(
        volume_fingerprint=raw.fingerprint,
        voxel_size_nm=raw.voxel_size_nm,
        backbone_digest=cards[0].digest,
        committee=tuple(card.digest for card in cards[1:]),
        mask_fingerprint=None if config.mask is None else open_mask(config.mask, raw, roi).fingerprint,
        no_data_fingerprint=None if no_data is None else no_data.fingerprint,
        roi=_to_config(roi, raw),
        excluded=tuple(sorted(config.excluded, key=lambda box: (box.offset_nm, box.shape_nm))),
        strategy=config.choose.strategy,
        seed=config.choose.seed,
        settings=settings | {"choose": choice},
    )


def _to_config(roi: Roi, raw: Volume) -> RoiConfig:
    offset, shape = ((c / raw.units_per_nm for c in part) for part in (roi.offset, roi.shape))
    return RoiConfig(offset_nm=to_zyx(offset), shape_nm=to_zyx(shape))
