"""What was made of boxes that are replaced by others is kept: labels cost a person hours."""

from pathlib import Path

from neuroadda.active.exports import NAMES
from neuroadda.active.proposals import LABELS, PROPOSALS, SHEET, Proposals, read_proposals
from neuroadda.errors import UserError

KEPT = (LABELS, *NAMES.values())


def set_aside(folder: Path, proposals: Proposals) -> Path | None:
    """Move labels and exports of a folder's earlier boxes into a new ``replaced_<n>`` there, with the boxes they are of.

    Returns
    -------
    Path or None
        Where they are; None if there are none, or the boxes are the same.

    Raises
    ------
    UserError
        If they cannot be moved.
    """
    kept = [name for name in KEPT if (folder / name).exists()]
    if not kept or not (folder / PROPOSALS).exists() or _list_boxes(folder) == proposals.boxes:
        return None
    number = 1
    while (aside := folder / f"replaced_{number}").exists():
        number += 1
    try:
        aside.mkdir()
        sheets = (SHEET, str(Path(SHEET).with_suffix(".png")))
        for name in (*kept, *(n for n in sheets if (folder / n).exists()), PROPOSALS):  # without it, all is new
            (folder / name).rename(aside / name)
    except OSError as error:
        raise UserError(f"what is replaced cannot be moved aside: {error.strerror}", str(aside)) from error
    return aside


def _list_boxes(folder: Path) -> object:
    try:
        return read_proposals(folder).boxes
    except UserError:  # of whatever boxes they were
        return None
