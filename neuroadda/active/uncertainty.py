"""How unsure a network is of a volume, block by block, as a grid of cells."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from funlib.geometry import Coordinate, Roi
from pydantic import Field

from neuroadda.active.scores import BINS, reduce_to_cells, score_ambiguity, score_entropy, score_variance
from neuroadda.backbones.card import NEAREST, Card, load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.backbones.devices import set_up_thread
from neuroadda.blockwise.grid import Block, BlockGrid, BlockSet
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.config import Zyx
from neuroadda.device_leases import Lease
from neuroadda.errors import SettingError, UserError
from neuroadda.prediction.augmented import AugmentedPredictor
from neuroadda.prediction.ensemble import make_predictors
from neuroadda.prediction.members import identify_members, list_members, name_members
from neuroadda.prediction.predict import Predict, check_raw
from neuroadda.prediction.resolving import resolve_each
from neuroadda.prediction.symmetries import list_symmetries
from neuroadda.segmentation.fragments import Fragments, context_vx, find_fragments
from neuroadda.volumes.arrays import Volume, describe_roi
from neuroadda.volumes.coverage.boxes import find_boxes
from neuroadda.volumes.coverage.masks import Mask, open_mask
from neuroadda.volumes.coverage.no_data_setting import identify_mask
from neuroadda.volumes.coverage.tissue import MASK, NO_DATA, Tissue, open_filled, open_tissue
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.locations import Location

Score = Literal["entropy", "augmented", "committee", "ambiguity"]


class Uncertainty(Stage):
    """Parameters of the uncertainty.

    Its output is a uint16 array (0 to 65535 for 0 to 1), one voxel a cell: the mean score of the cell's tissue, its part of
    tissue, and, with `histogram`, the distribution of the scores; see `reduce_to_cells`. Only the nearest neighbours'
    affinities count, and of them those that the network predicts.

    Attributes
    ----------
    score
        ``entropy``: of each affinity; ``augmented``: variance over flips and transpositions of the section; ``committee``: variance
        over several networks; ``ambiguity``: entropy of the mean affinity between two touching fragments, where they touch.
    cell_vx
        Shape of a cell, zyx.
    histogram
        Store the distribution of the scores in each cell, too.
    predict
        How networks run.
    fragments
        Of ``ambiguity``.
    tiles_vx
        The tile of each network, decided by `make_uncertainty_task`.
    """

    kind: ClassVar[str] = "uncertainty"
    version: ClassVar[int] = 3

    score: Score = "entropy"
    cell_vx: Zyx
    histogram: bool = False
    predict: Predict = Field(default_factory=Predict)
    fragments: Fragments = Field(default_factory=Fragments)
    tiles_vx: tuple[Zyx, ...] = ()

    def create_output(self, task: Task) -> None:
        """Create the empty grid of cells; a block has one chunk."""
        raw, grid = Volume.open(task.inputs["raw"]), task.grid
        cell, bins = raw.voxel_size * Coordinate(self.cell_vx), BINS if self.histogram else 0
        Volume.create(
            task.output,
            tuple(-(-s // c) for s, c in zip(grid.shape, cell, strict=True)),
            tuple(c / raw.units_per_nm for c in cell),
            np.uint16,
            offset_nm=tuple(o / raw.units_per_nm for o in grid.offset),
            channels=2 + bins,
            chunk_vx=tuple(b // c for b, c in zip(grid.block, cell, strict=True)),
            attrs=task.tag | {"cell_vx": list(self.cell_vx), "bins": bins},
        )

    @property
    def accelerated(self) -> bool:
        """Whether its networks may be on a GPU."""
        return self.predict.accelerated

    def take_device(self) -> tuple["Uncertainty", Lease]:
        """Return the stage with its networks on a device of this worker's own."""
        predict, lease = self.predict.take_device()
        return self.model_copy(update={"predict": predict}), lease

    def open(self, task: Task) -> BlockFunction:
        """Return the function that scores a block and reports its voxels of tissue."""
        set_up_thread(self.predict.device, self.predict.threads)
        raw, cells = Volume.open(task.inputs["raw"]), Volume.open(task.output, "r+")
        inside = open_tissue(task.inputs, raw)
        score = self._make_scorer(task, raw, inside)
        block_cells = Coordinate(task.grid.block_vx) / Coordinate(self.cell_vx)

        def measure(block: Block) -> dict[str, Any]:
            shape = block.write_roi.shape / raw.voxel_size
            tissue = np.ones(shape, bool) if inside is None else inside.read(block.write_roi)
            reduced = reduce_to_cells(score(block), tissue, self.cell_vx, self.histogram)
            begin = cells.roi.begin + Coordinate(block.position) * block_cells * cells.voxel_size
            cells.write(Roi(begin, Coordinate(reduced.shape[1:]) * cells.voxel_size), reduced)
            return {"tissue": int(tissue.sum())}

        return measure

    def _make_scorer(self, task: Task, raw: Volume, tissue: Tissue | None) -> Callable[[Block], np.ndarray]:
        """Return the function that gives the scores (uint16, zyx) of a block's voxels."""
        backbones = [load_backbone(folder) for folder in list_members(task.inputs)]
        cards = [backbone.card for backbone in backbones]
        predictors = make_predictors(backbones, self.predict, self.tiles_vx)
        reach_vx = Coordinate(
            max(sizes) for sizes in zip(*(card.architecture.context_vx for card in cards), strict=True)
        )
        seen = open_filled(task.inputs, raw, reach_vx)
        shared = [o for o in NEAREST if all(o in card.offsets for card in cards)]
        channels = [NEAREST.index(o) for o in shared]  # of every prediction, since it begins with them

        def score_by_entropy(block: Block) -> np.ndarray:
            return score_entropy(predictors[0](seen, block.write_roi)[0][channels])

        def score_by_committee(block: Block) -> np.ndarray:
            return score_variance(predictor(seen, block.write_roi)[0][channels] for predictor in predictors)

        def score_by_augmentation(block: Block) -> np.ndarray:
            return score_variance(affs[own] for affs in augmented(seen, block.write_roi))

        def score_by_ambiguity(block: Block) -> np.ndarray:
            read_roi = block.read_roi.intersect(task.grid.roi)
            affs = predictors[0](seen, read_roi)[0][:3]
            within = None if tissue is None else tissue.read(read_roi)
            found = find_fragments(affs, raw.voxel_size_nm, self.fragments, within)
            inside = ((block.write_roi - read_roi.begin) / raw.voxel_size).to_slices()
            return score_ambiguity(affs, found)[inside]

        if self.score == "augmented":
            augmented = AugmentedPredictor(predictors[0], cards[0], list_symmetries(raw.voxel_size))
            own = [augmented.offsets.index(o) for o in shared]
        return {
            "entropy": score_by_entropy,
            "augmented": score_by_augmentation,
            "committee": score_by_committee,
            "ambiguity": score_by_ambiguity,
        }[self.score]


def make_uncertainty_task(
    raw: Volume,
    backbones: Sequence[Path | str],
    stage: Uncertainty,
    output: Path,
    *,
    block_vx: Zyx,
    roi: Roi | None = None,
    mask: Location | str | None = None,
    no_data: Mask | None = None,
    any_voxel_size: bool = False,
    known: Inputs | None = None,
) -> Task:
    """Check the inputs, decide what is open, and bind the stage; nothing is written.

    Parameters
    ----------
    backbones
        Folders; one, or several for a committee.
    block_vx
        Shape of a block, a multiple of the cell.
    roi
        Part of the volume, in its world units; all of it by default.
    mask
        Array on the voxel grid of raw or one coarser by whole factors, at least as large as `roi`; where it is 0 is no tissue.
    no_data
        Where raw has data, 0 where it has none.
    any_voxel_size
        As in `check_raw`.
    known
        Inputs of the folder that the output belongs to; without it, arrays have the content that their fingerprint says.

    Raises
    ------
    UserError
        If an input is missing or does not fit the others.
    """
    roi = raw.roi if roi is None else roi
    raw.to_slices(roi)
    if any(c < 1 or b % c for b, c in zip(block_vx, stage.cell_vx, strict=True)):
        what = f"blocks of {block_vx} voxels are not made of cells of {stage.cell_vx}"
        raise SettingError(what, "block_vx", "choose a multiple of cell_vx")
    if (len(backbones) > 1) != (stage.score == "committee") or not backbones:
        what = f"the score {stage.score!r} is given {len(backbones)} backbones"
        raise SettingError(what, "score", "a committee takes several backbones, every other score one")
    if stage.predict.augment != "none":
        raise SettingError(
            "scores are of plain predictions", "predict.augment", 'leave it out; score = "augmented" flips'
        )
    cards = [load_card(folder) for folder in backbones]
    for card in cards:
        check_raw(raw, card, any_voxel_size)
    stage = _resolve(stage, raw, cards, block_vx)
    members = [(Path(at), card) for at, card in zip(backbones, cards, strict=True)]
    networks = identify_members(known, members) if known else [card.digest for card in cards]
    names = zip(name_members(len(cards)), members, networks, strict=True)
    inputs = {"raw": (raw.path, known.identify("raw", raw) if known else raw.fingerprint)} | {
        name: (at, one) for name, (at, _), one in names
    }
    around = _around_fragments_vx(stage.fragments, raw) if stage.score == "ambiguity" else (0, 0, 0)
    grid = BlockGrid.make(roi, raw.voxel_size, block_vx, around)
    given = {MASK: None if mask is None else open_mask(mask, raw, roi), NO_DATA: no_data}
    masks = {name: opened for name, opened in given.items() if opened is not None}
    inputs |= {name: (opened.volume.path, identify_mask(known, name, opened)) for name, opened in masks.items()}
    found = find_boxes(masks.values(), roi, block_vx)
    tissue = None if found is None else BlockSet.of(found)
    if tissue is not None and not len(tissue):
        why = "there is no data" if mask is None else "the mask is 0 everywhere"
        what = f"no box has tissue, the most is 0%: {why} in {describe_roi(roi)}"
        raise UserError(what, str(raw.path if mask is None else mask))
    return Task.make(stage, inputs, output, grid, block_vx, blocks=tissue)


def _resolve(stage: Uncertainty, raw: Volume, cards: list[Card], block_vx: Zyx) -> Uncertainty:
    """Return the stage with tiles, device, precision and the kind of fragments decided."""
    offsets = cards[0].offsets
    if NEAREST[0] not in offsets and stage.fragments.sections is False and stage.score == "ambiguity":
        what = f"{cards[0].name} knows single sections only"
        raise SettingError(what, "fragments.sections", "find fragments section by section")
    fragments = stage.fragments.resolve(raw.voxel_size_nm, offsets)
    z, y, x = block_vx
    if stage.score == "augmented":  # turned blocks need not begin on the network's alignment
        y, x = y + cards[0].architecture.alignment_vx[1], x + cards[0].architecture.alignment_vx[2]
    elif stage.score == "ambiguity":
        z, y, x = (b + 2 * c for b, c in zip(block_vx, _around_fragments_vx(fragments, raw), strict=True))
    predict, tiles_vx = resolve_each(stage.predict, [card.architecture for card in cards], (z, y, x))
    return stage.model_copy(update={"fragments": fragments, "predict": predict, "tiles_vx": tiles_vx})


def _around_fragments_vx(fragments: Fragments, raw: Volume) -> Zyx:
    """Return the context of a block in which fragments are found: at least a voxel, to see what touches across its border."""
    z, y, x = (max(1, c) for c in context_vx(fragments, raw.voxel_size_nm))
    return z, y, x
