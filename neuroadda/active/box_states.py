"""What became of the proposed boxes: labelled, left out by a person, or still waited for."""

from pathlib import Path
from typing import Literal

from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.config import dump_config, load_config_file, parse_config, write_json
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.storage.placing import placing

State = Literal["labelled", "skipped", "waiting"]


def labels_path(box: Proposal, folder: Path) -> Path:
    """Return where the labels of a box belong in the folder of the labels."""
    return folder / f"{box.name}.zarr" / "labels"


def is_labelled(box: Proposal, folder: Path) -> bool:
    """Return whether a box has labels; those of one that was proposed before, elsewhere, are not its own."""
    path = labels_path(box, folder)
    if not path.exists():
        return False
    labels = Volume.open(path)
    shape_vx = tuple(round(s / v) for s, v in zip(box.shape_nm, labels.voxel_size_nm, strict=True))
    return labels.offset_nm == box.offset_nm and labels.shape_vx == shape_vx


def is_skipped(box: Proposal, folder: Path) -> bool:
    """Return whether a person left a box out; labels of it undo that."""
    path = _skip_path(box, folder)
    return path.exists() and not is_labelled(box, folder) and _read_box(path) == box.box


def state_of(box: Proposal, folder: Path) -> State:
    """Return what became of a box."""
    if is_labelled(box, folder):
        return "labelled"
    return "skipped" if is_skipped(box, folder) else "waiting"


def skip_box(proposals: Proposals, rank: int, folder: Path) -> Path:
    """Leave a proposed box out: it is not waited for. Return where that is recorded, beside the labels.

    Raises
    ------
    UserError
        If there is no such box, or it has labels.
    """
    ranks = [box.rank for box in proposals.proposals]
    if rank not in ranks:
        raise UserError(f"there is no roi_{rank}", "RANK", f"proposed were {min(ranks)} to {max(ranks)}")
    box = proposals.proposals[ranks.index(rank)]
    if is_labelled(box, folder):
        raise UserError("it has labels", str(labels_path(box, folder)), "delete them to leave the box out")
    with placing(_skip_path(box, folder), overwrite=True) as partial:
        write_json(partial, dump_config(box.box))
    return _skip_path(box, folder)


def _skip_path(box: Proposal, folder: Path) -> Path:
    return folder / f"{box.name}.skipped.json"


def _read_box(path: Path) -> RoiConfig:
    return parse_config(RoiConfig, load_config_file(path), str(path))
