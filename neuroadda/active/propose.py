"""Propose the boxes of a volume that are worth a person's hour: score it blockwise, then choose."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import numpy as np
from funlib.geometry import Roi
from pydantic import Field

from neuroadda.active.pool import Candidates, find_candidates
from neuroadda.active.proposals import PROPOSALS, Pool, Proposal, Proposals, read_proposals
from neuroadda.active.strategies import ChooseConfig, choose
from neuroadda.active.uncertainty import Score, Uncertainty, make_uncertainty_task
from neuroadda.backbones.card import load_card
from neuroadda.blockwise.engine import Observer, run_task
from neuroadda.blockwise.execution import Execution
from neuroadda.config import Config, Zyx, dump_config
from neuroadda.errors import UserError
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import default_block_vx, lock_folder
from neuroadda.segmentation.predict import Predict
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.regions import RoiConfig

T = TypeVar("T")
Length = Annotated[float, Field(gt=0)]
CELLS = (4, 5, 3, 6, 2)
ROUNDED_VX = 32


class ProposeSettings(Config):
    """How boxes are proposed, wherever.

    Attributes
    ----------
    shape_nm
        Shape of a box, zyx; rounded to whole voxels, and to a multiple of 4 from 32 voxels on where nothing from 2 to 6 divides
        it, so that boxes are made of a few cells, by which they are placed.
    score, predict, fragments
        How the volume is scored; see `neuroadda.active.uncertainty.Uncertainty`.
    reading
        A box's score is the "mean" of its voxels' or their "median": the two readings of the paper's "median patch" (Sawmya
        et al. 2025, arXiv 2503.06196).
    choose
        Which boxes, and how many.
    min_tissue
        Part of a box that must lie in the mask.
    """

    shape_nm: tuple[Length, Length, Length] = (1000.0, 1000.0, 1000.0)
    score: Score = "entropy"
    predict: Predict = Field(default_factory=Predict)
    fragments: Fragments = Field(default_factory=Fragments)
    reading: Literal["mean", "median"] = "mean"
    choose: ChooseConfig = Field(default_factory=ChooseConfig)
    min_tissue: float = Field(default=1.0, ge=0, le=1)


class ProposeConfig(ProposeSettings):
    """Where boxes are proposed.

    Attributes
    ----------
    raw, mask
        Arrays; outside the mask (0) is no tissue.
    backbone, committee
        Folders of the network, and of others that it is compared with (for the score "committee").
    output
        Folder: ``uncertainty.zarr`` and ``proposals.json``.
    roi
        Part of the volume; all of it by default.
    excluded
        Boxes that are labelled already: none is proposed that overlaps them.
    block_vx
        Of the blockwise scoring, rounded up to whole cells; as in segmentation by default.
    any_voxel_size
        Let a backbone score a volume whose voxel size is far from that of its training.
    ledger
        ``sqlite:///<output>/ledger.db`` by default.
    """

    raw: str
    backbone: str
    output: Path
    committee: tuple[str, ...] = ()
    mask: str | None = None
    roi: RoiConfig | None = None
    excluded: tuple[RoiConfig, ...] = ()
    block_vx: Zyx | None = None
    any_voxel_size: bool = False
    ledger: str | None = None
    execution: Execution = Field(default_factory=Execution)


@dataclass(frozen=True)
class Found:
    """Proposals with what they were chosen from.

    Attributes
    ----------
    grid
        The uncertainty of the volume, see `neuroadda.active.uncertainty.Uncertainty`.
    scores
        float32: of every candidate.
    """

    proposals: Proposals
    grid: Volume
    scores: np.ndarray


def propose(config: ProposeConfig, *, overwrite: bool = False, observe: Observer = lambda task, summary: None) -> Found:
    """Score a volume and write ``proposals.json``; blocks that are scored already are not scored again.

    Fewer boxes than were asked for are proposed if no more fit.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `run_task`, `find_candidates` and `choose` do; also UserError if other proposals lie in the folder, for which there
        may be labels, and `overwrite` is false.
    """
    raw, card = Volume.open(config.raw), load_card(config.backbone)
    shape_vx = box_shape_vx(config, raw)
    counts = _zyx(map(_count_cells, shape_vx))
    cell_vx = _zyx(s // n for s, n in zip(shape_vx, counts, strict=True))
    roi = raw.roi if config.roi is None else config.roi.to_roi(raw)
    extent_vx = roi.shape / raw.voxel_size
    if any(s > e for s, e in zip(shape_vx, extent_vx, strict=True)):
        what = f"boxes of {shape_vx} voxels are larger than the {tuple(extent_vx)} that they are looked for in"
        raise UserError(what, "shape_nm", "propose smaller boxes")
    block_vx = config.block_vx or default_block_vx(raw, roi)
    task = make_uncertainty_task(
        raw,
        [config.backbone, *config.committee],
        Uncertainty(
            score=config.score,
            cell_vx=cell_vx,
            histogram=config.reading == "median",
            predict=config.predict,
            fragments=config.fragments,
        ),
        config.output / "uncertainty.zarr" / "cells",
        block_vx=_zyx(-(-b // c) * c for b, c in zip(block_vx, cell_vx, strict=True)),
        roi=roi,
        mask=config.mask,
        any_voxel_size=config.any_voxel_size,
    )
    ledger = config.ledger or f"sqlite:///{config.output / 'ledger.db'}"
    before = None if overwrite or not (config.output / PROPOSALS).exists() else read_proposals(config.output)
    with lock_folder(config.output):
        run_task(task, ledger, config.execution, config.output / "logs", overwrite=overwrite, observe=observe)
        grid = Volume.open(task.output)
        candidates = find_candidates(
            grid,
            counts,
            _zyx(max(1, n // 2) for n in counts),
            reading=config.reading,
            min_tissue=config.min_tissue,
            excluded=config.excluded,
            within=_to_config(roi, raw),  # the last cells may reach beyond it
        )
        chosen, reasons = choose(candidates, config.choose, _embed_by(config.backbone, raw))
        proposals = Proposals(
            volume=config.raw,
            volume_fingerprint=raw.fingerprint,
            voxel_size_nm=raw.voxel_size_nm,
            backbone=card.name,
            backbone_digest=card.digest,
            strategy=config.choose.strategy,
            seed=config.choose.seed,
            settings=_describe(config),
            pool=_describe_pool(candidates),
            proposals=tuple(
                _propose(candidates, index, rank, reason)
                for rank, (index, reason) in enumerate(zip(chosen, reasons, strict=True), start=1)
            ),
        )
        if before is not None and before != proposals:
            raise UserError("other proposals lie here", str(config.output), "give another output, or --overwrite")
        proposals.save(config.output)
        return Found(proposals, grid, candidates.score)


def box_shape_vx(settings: ProposeSettings, raw: Volume) -> Zyx:
    """Return the shape of a box in voxels of raw, zyx."""
    sizes = (max(1, round(s / v)) for s, v in zip(settings.shape_nm, raw.voxel_size_nm, strict=True))
    return _zyx(4 * round(n / 4) if _count_cells(n) == 1 and n >= ROUNDED_VX else n for n in sizes)


def _count_cells(size_vx: int) -> int:
    """Return into how many cells a box is cut along an axis, without a rest."""
    return next((n for n in CELLS if size_vx % n == 0), 1)


def _zyx(values: Iterable[T]) -> tuple[T, T, T]:
    z, y, x = values
    return z, y, x


def _to_config(roi: Roi, raw: Volume) -> RoiConfig:
    offset, shape = ((c / raw.units_per_nm for c in part) for part in (roi.offset, roi.shape))
    return RoiConfig(offset_nm=_zyx(offset), shape_nm=_zyx(shape))


def _embed_by(folder: str, raw: Volume) -> Callable[[Sequence[RoiConfig]], np.ndarray]:
    """Return what embeds boxes: the deepest features of the backbone, at their centres, averaged."""

    def embed(boxes: Sequence[RoiConfig]) -> np.ndarray:
        from neuroadda.backbones.checkpoint import load_backbone
        from neuroadda.domains.embedding import embed_patches, patch_shape_vx, pixel_of
        from neuroadda.domains.patches import Places, read_patches

        backbone = load_backbone(folder)
        centres_nm = np.array([[o + s / 2 for o, s in zip(b.offset_nm, b.shape_nm, strict=True)] for b in boxes])
        centres_vx = ((centres_nm - raw.offset_nm) / raw.voxel_size_nm).astype(np.int64)
        places = Places(centres_vx, np.zeros(len(boxes), np.int64), (0, raw.shape_vx[0]))
        patches = read_patches(raw, places, pixel_of(backbone.card), patch_shape_vx(backbone.card))
        return embed_patches(backbone, patches)["mean"].features

    return embed


def _describe(config: ProposeConfig) -> dict[str, object]:
    kept = set(ProposeSettings.model_fields) - {"choose"}
    told = {key: value for key, value in dump_config(config).items() if key in kept}
    choice = {k: v for k, v in dump_config(config.choose).items() if k not in ("strategy", "seed")}
    return told | {"choose": choice, "excluded": len(config.excluded), "mask": config.mask}


def _describe_pool(candidates: Candidates) -> Pool:
    low, middle, high = np.quantile(candidates.score, [0, 0.5, 1])
    return Pool(candidates=len(candidates.score), lowest=round(low, 6), median=round(middle, 6), highest=round(high, 6))


def _propose(candidates: Candidates, index: int, rank: int, reason: str) -> Proposal:
    box = candidates.box(index)
    score = round(float(candidates.score[index]), 6)
    return Proposal(offset_nm=box.offset_nm, shape_nm=box.shape_nm, rank=rank, score=score, reason=reason)
