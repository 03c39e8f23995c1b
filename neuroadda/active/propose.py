"""Propose the boxes of a volume that are worth a person's hour: score it blockwise, then choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from funlib.geometry import Roi

from neuroadda.active.exports import NAMES
from neuroadda.active.labels import read_oracle
from neuroadda.active.lattice import to_zyx
from neuroadda.active.pool import Candidates, find_candidates
from neuroadda.active.proposals import LABELS, PROPOSALS, Pool, Proposal, Proposals, Request, read_proposals
from neuroadda.active.propose_config import ProposeConfig, ProposeSettings, box_shape_vx, cut_box, make_request
from neuroadda.active.replaced import set_aside
from neuroadda.active.strategies import Embed, choose
from neuroadda.active.uncertainty import Uncertainty, make_uncertainty_task
from neuroadda.backbones.card import Card, load_card
from neuroadda.blockwise.engine import Observer, run_task
from neuroadda.blockwise.task import Task
from neuroadda.config import Zyx
from neuroadda.domains.selection import find_start
from neuroadda.errors import UserError, warn
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import SQLITE, ledger_url
from neuroadda.locks import lock_folder
from neuroadda.prediction.members import identify_members
from neuroadda.runs.folder import check_run_folder
from neuroadda.segmentation.resolving import default_block_vx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.masks import Mask
from neuroadda.volumes.coverage.no_data_setting import (
    AUTO,
    identify_mask,
    open_no_data,
    recall_no_data,
    resolve_no_data,
)
from neuroadda.volumes.coverage.tissue import NO_DATA
from neuroadda.volumes.geometry.regions import RoiConfig, roi_or_all
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.identity.relocation import to_absolute
from neuroadda.volumes.storage.completeness import check_stored
from neuroadda.zoo.finding import find_backbone

__all__ = ["Found", "ProposeConfig", "ProposeSettings", "box_shape_vx", "propose_boxes"]


@dataclass(frozen=True)
class Found:
    """Proposals with what they were chosen from.

    Attributes
    ----------
    grid
        The uncertainty of the volume, see `neuroadda.active.uncertainty.Uncertainty`; None if it is gone.
    scores
        float32: of every candidate; None for proposals that were there before.
    cards
        Of the backbone that scores, and of its committee.
    """

    proposals: Proposals
    grid: Volume | None
    scores: np.ndarray | None
    cards: Sequence[Card]


def propose_boxes(
    config: ProposeConfig, *, overwrite: bool = False, observe: Observer = lambda task, summary: None
) -> Found:
    """Score a volume and write ``proposals.json``; blocks that are scored already are not scored again.

    Proposals that were asked for in the same way, on whatever machine, are returned as they are: there may be labels of them.
    Fewer boxes than were asked for are proposed if no more fit.

    Parameters
    ----------
    overwrite
        Replace other proposals; what was made of their boxes is moved into ``replaced_<n>``.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `Engine.run`, `find_candidates` and `choose` do; also UserError if other proposals lie in the folder and `overwrite` is
        false.
    """
    check_run_folder(config.output)
    raw, inputs = check_stored(Volume.open(config.raw)), Inputs(config.output, trust=config.trust_inputs)
    content = inputs.identify("raw", raw)
    if config.mask is not None:
        inputs.identify("mask", Volume.open(config.mask))
    begun = not overwrite and not inputs.changed and (config.output / PROPOSALS).exists()
    start, _ = find_start(raw, config.backbone, config.select, config.output, begun=begun, content=content)
    folders = [str(start), *(str(find_backbone(one, config.select.zoo)) for one in config.committee)]
    members = [(Path(folder), load_card(folder)) for folder in folders]
    cards = [card for _, card in members]
    identify_members(inputs, members)
    roi = roi_or_all(config.roi, raw)
    no_data = open_no_data(recall_no_data(config.no_data, raw, config.output, content), raw)
    if no_data is not None:
        identify_mask(inputs, NO_DATA, no_data)
    request = make_request(config, raw, roi, cards, no_data)
    if (known := find_known(config, request, members, overwrite, inputs)) is not None:
        inputs.keep()
        return known
    inputs.warn("boxes are proposed again (unless inputs are trusted)")
    cells, task = plan_proposals(config, raw, roi, folders, inputs, no_data)
    ledger = ledger_url(config.output, config.ledger)
    if not ledger.startswith(SQLITE):
        open_ledger(ledger).close()  # before anything is written
    with lock_folder(config.output):
        no_data = open_no_data(resolve_no_data(config.no_data, raw, config.output, content), raw)
        request = make_request(config, raw, roi, cards, no_data)
        known = find_known(config, request, members, overwrite, inputs)
        if known is not None:  # by a run that has just ended
            inputs.keep()
            return known
        cells, task = plan_proposals(config, raw, roi, folders, inputs, no_data)
        inputs.keep_unless_changed()
        replace = overwrite or inputs.changed
        run_task(task, ledger, config.execution, config.output / "logs", overwrite=replace, observe=observe)
        grid = Volume.open(task.output)
        candidates = find_candidates(
            grid,
            to_zyx(n for n, _ in cells),
            to_zyx(max(1, n // 2) for n, _ in cells),
            reading=config.reading,
            min_tissue=config.min_tissue,
            excluded=config.excluded,
            min_distance_nm=config.choose.min_distance_nm,
            within=request.roi,  # the last cells may reach beyond it
        )
        chosen, reasons = choose(candidates, config.choose, embed_by(folders[0], raw))
        proposals = Proposals(
            **dict(request),
            volume=to_absolute(config.raw),
            backbone=cards[0].name,
            pool=_describe_pool(candidates),
            proposals=tuple(
                _propose(candidates, index, rank, reason)
                for rank, (index, reason) in enumerate(zip(chosen, reasons, strict=True), start=1)
            ),
        )
        set_aside(config.output, proposals)
        proposals.save(config.output)
        if inputs.changed and (crops := config.output / NAMES["crops"]).exists():
            warn("these crops were exported before raw was edited; export them again", str(crops))
        inputs.keep()
        return Found(proposals, grid, candidates.score, cards)


def plan_proposals(
    config: ProposeConfig,
    raw: Volume,
    roi: Roi,
    folders: Sequence[str],
    inputs: Inputs,
    no_data: Mask | None = None,
) -> tuple[list[tuple[int, int]], Task]:
    """Return the cells of a box, as `cut_box` does, and the task that scores the volume; nothing is written.

    Parameters
    ----------
    folders
        Of the backbone, and of its committee.
    inputs
        What is known of raw and mask.
    no_data
        Where raw has data, as far as that is known.

    Raises
    ------
    UserError
        If an input does not fit the others, or boxes are larger than the ROI.
    """
    cells = cut_box(config, raw, roi)
    block_vx = config.block_vx or default_block_vx(raw, roi)
    return cells, make_uncertainty_task(
        raw,
        folders,
        Uncertainty(
            score=config.score,
            cell_vx=to_zyx(c for _, c in cells),
            histogram=config.reading == "median",
            predict=config.predict,
            fragments=config.fragments,
        ),
        _grid_path(config),
        block_vx=to_zyx(-(-b // c) * c for b, (_, c) in zip(block_vx, cells, strict=True)),
        roi=roi,
        mask=config.mask,
        no_data=no_data,
        any_voxel_size=config.any_voxel_size,
        known=inputs,
    )


def find_known(
    config: ProposeConfig, request: Request, members: Sequence[tuple[Path, Card]], overwrite: bool, inputs: Inputs
) -> Found | None:
    """Return the proposals in the folder if they are those asked for; if not, they must be allowed to be replaced."""
    if not (config.output / PROPOSALS).exists():
        return None
    try:
        before = read_proposals(config.output)
    except UserError:
        if overwrite:
            return None
        raise
    if before.request == request and not inputs.changed:
        return Found(before, _open_grid(config, members, inputs), None, [card for _, card in members])
    if inputs.changed and config.no_data == AUTO:  # where there is no data follows from what was edited
        request = request.model_copy(update={"no_data_fingerprint": before.no_data_fingerprint})
    if before.request == request and not overwrite:
        if not _has_labels(config.output / LABELS):
            return None
        inputs.warn("people have labelled the boxes that were proposed in it")
        right = (
            "--trust-inputs keeps them as they are, --overwrite proposes again and moves labels of other boxes aside"
        )
        raise UserError(
            "the volume, its mask or a card was edited, and its boxes are labelled", str(config.output), right
        )
    if not overwrite:
        with inputs.explain():
            raise UserError("other proposals lie here", str(config.output), "give another output, or --overwrite")
    return None


def _has_labels(folder: Path) -> bool:
    """Tell whether there are labels that a person made."""
    return any(read_oracle(labels) is None for labels in folder.glob("roi_*.zarr/labels"))


def _open_grid(config: ProposeConfig, members: Sequence[tuple[Path, Card]], inputs: Inputs) -> Volume | None:
    """Return the map that lies beside proposals, unless it is gone or of something else."""
    try:
        grid = Volume.open(_grid_path(config))
    except UserError:
        return None
    arrays = {"raw": config.raw} | ({} if config.mask is None else {"mask": config.mask})
    made_from = {inputs.identify(name, Volume.open(path)) for name, path in arrays.items()}
    raw = Volume.open(config.raw)
    found = recall_no_data(config.no_data, raw, config.output, inputs.identify("raw", raw))
    if (no_data := open_no_data(found, raw)) is not None:
        made_from.add(identify_mask(inputs, NO_DATA, no_data))
    made_from.update(identify_members(inputs, members))
    same = set(grid.attrs.get("input_fingerprints", {}).values()) == made_from
    return grid if same and grid.attrs["parameters"]["score"] == config.score else None


def _grid_path(config: ProposeConfig) -> Path:
    return config.output / "uncertainty.zarr" / "cells"


def embed_by(folder: str, raw: Volume, bottom_vx: Zyx | None = None) -> Embed:
    """Return what embeds boxes: the deepest features of the backbone, at their centres, averaged.

    `bottom_vx` is over how many of them, as `neuroadda.domains.embedding.patch_shape_vx` reads it.
    """

    def embed(boxes: Sequence[RoiConfig]) -> np.ndarray:
        from neuroadda.backbones.checkpoint import load_backbone
        from neuroadda.domains.embedding import BOTTOM_VX, embed_patches, patch_shape_vx, pixel_of
        from neuroadda.domains.patches import Places, read_patches

        backbone = load_backbone(folder)
        centres_nm = np.array([[o + s / 2 for o, s in zip(b.offset_nm, b.shape_nm, strict=True)] for b in boxes])
        centres_vx = ((centres_nm - raw.offset_nm) / raw.voxel_size_nm).astype(np.int64)
        places = Places(centres_vx, np.zeros(len(boxes), np.int64), (0, raw.shape_vx[0]))
        shape_vx = patch_shape_vx(backbone.card, bottom_vx or BOTTOM_VX)
        patches = read_patches(raw, places, pixel_of(backbone.card), shape_vx)
        return embed_patches(backbone, patches)["mean"].features

    return embed


def _describe_pool(candidates: Candidates) -> Pool:
    low, middle, high = np.quantile(candidates.score, [0, 0.5, 1])
    return Pool(candidates=len(candidates.score), lowest=round(low, 6), median=round(middle, 6), highest=round(high, 6))


def _propose(candidates: Candidates, index: int, rank: int, reason: str) -> Proposal:
    box = candidates.box(index)
    score = round(float(candidates.score[index]), 6)
    return Proposal(offset_nm=box.offset_nm, shape_nm=box.shape_nm, rank=rank, score=score, reason=reason)
