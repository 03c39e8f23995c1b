"""Proposals as a WEBKNOSSOS annotation: bounding boxes, and a commented node in each."""

from pathlib import Path

from neuroadda.active.proposals import Proposals
from neuroadda.volumes.nml import NmlBox, NmlTree, write_nml
from neuroadda.volumes.storage.placing import placing


def export_webknossos(
    proposals: Proposals, target: Path, *, dataset: str | None = None, overwrite: bool = False
) -> Path:
    """Write an NML file to be uploaded to WEBKNOSSOS; its name should end in ``.nml``.

    Coordinates are voxels, and the dataset's first is taken to be raw's first, wherever raw lies in the world. Each box
    is a user bounding box named ``roi_<rank>``; the node at its centre has score and reason as a comment.

    Parameters
    ----------
    dataset
        Its name in WEBKNOSSOS; the volume's container or folder by default.

    Raises
    ------
    UserError
        If raw is not the volume of the proposals, a box is not in it, or `target` cannot be written.
    """
    raw = proposals.open_volume()
    trees, boxes = list[NmlTree](), list[NmlBox]()
    for proposal in sorted(proposals.proposals, key=lambda one: one.rank):
        place = raw.to_slices(proposal.to_roi(raw))
        boxes.append(NmlBox(proposal.name, [s.start for s in place], [s.stop - s.start for s in place]))
        comment = f"{proposal.name}, score {proposal.score:.3g}: {proposal.reason}"
        trees.append(NmlTree(proposal.name, [[(s.start + s.stop) // 2 for s in place]], [comment]))
    with placing(target, overwrite) as partial:
        write_nml(partial, raw, trees, boxes, dataset=dataset, description="ROIs proposed by neuroadda")
    return target
