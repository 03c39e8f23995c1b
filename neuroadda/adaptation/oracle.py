"""An oracle stands in for the person who labels boxes, for experiments."""

from pathlib import Path

from neuroadda.active.box_states import is_labelled, is_skipped, labels_path
from neuroadda.active.labels import import_labels, read_oracle
from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.errors import UserError
from neuroadda.evaluation.sweep import check_labels
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_checks import look_at
from neuroadda.volumes.contents.label_ids import read_ids
from neuroadda.volumes.storage.locations import remove


def open_oracle(path: Path | str, raw: Volume) -> Volume:
    """Open the labels of a volume.

    Raises
    ------
    UserError
        If they are no labels on the voxels of raw.
    """
    oracle = Volume.open(path)
    check_labels(oracle, raw)
    look_at(oracle, oracle.roi.intersect(raw.roi)).refuse_raw(str(oracle.path))
    return oracle


def ask_oracle(
    proposals: Proposals, oracle: Volume, folder: Path, *, overwrite: bool = False, content: str | None = None
) -> None:
    """Import an oracle's labels of the boxes that no person has labelled or skipped; it need not have any in a box.

    Parameters
    ----------
    content
        What determines the oracle's content, see `neuroadda.volumes.identity.inputs.Inputs`; by default its fingerprint.

    Raises
    ------
    UserError
        If labels of another oracle lie there and `overwrite` is false.
    """
    raw, content = proposals.open_volume(), content or oracle.fingerprint
    wanted = [box for box in proposals.proposals if _is_wanted(box, content, folder, overwrite)]
    rois = {box: box.to_roi(raw) for box in wanted}
    known = [box for box, roi in rois.items() if oracle.roi.contains(roi) and read_ids(oracle, roi).any()]
    for box in wanted:
        if box not in known:
            remove(labels_path(box, folder))  # another oracle's
    if known:
        boxes = proposals.model_copy(update={"proposals": tuple(known)})
        import_labels(boxes, str(oracle.path), folder, overwrite=True, oracle=content)


def _is_wanted(box: Proposal, oracle: str, folder: Path, overwrite: bool) -> bool:
    path = labels_path(box, folder)
    if not path.exists():
        return not is_skipped(box, folder)
    other = read_oracle(path)
    if other is None:
        return False
    if not is_labelled(box, folder):  # of a box that was proposed before
        return True
    if other != oracle and not overwrite:
        raise UserError("labels of another oracle lie here", str(path), "give another output, or --overwrite")
    return other != oracle
