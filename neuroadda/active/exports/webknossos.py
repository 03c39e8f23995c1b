"""Proposals as a WEBKNOSSOS annotation: bounding boxes, and a commented node in each."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from neuroadda.active.proposals import Proposals
from neuroadda.volumes.locations import Location
from neuroadda.volumes.placing import placing

COLOUR = {"color.r": "1", "color.g": "0.6", "color.b": "0", "color.a": "1"}


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
    boxes = [(p, raw.to_slices(p.to_roi(raw))) for p in proposals.proposals]
    centres = [[(s.start + s.stop) // 2 for s in box] for _, box in boxes]

    things = ElementTree.Element("things")
    parameters = ElementTree.SubElement(things, "parameters")
    name = _dataset_name(raw.path) if dataset is None else dataset
    ElementTree.SubElement(parameters, "experiment", name=name, description="ROIs proposed by neuroadda")
    ElementTree.SubElement(parameters, "scale", _xyz(raw.voxel_size_nm), unit="nanometer")
    if centres:
        ElementTree.SubElement(parameters, "editPosition", _xyz(centres[0]))
    for proposal, box in boxes:
        x, y, z = (str(s.start) for s in reversed(box))
        width, height, depth = (str(s.stop - s.start) for s in reversed(box))
        place = {"topLeftX": x, "topLeftY": y, "topLeftZ": z, "width": width, "height": height, "depth": depth}
        label = {"id": str(proposal.rank), "name": proposal.name, "isVisible": "true"}
        ElementTree.SubElement(parameters, "userBoundingBox", label | COLOUR | place)
    for (proposal, _), centre in zip(boxes, centres, strict=True):  # one tree each: a tree must be connected
        tree = ElementTree.SubElement(things, "thing", {"id": str(proposal.rank), "name": proposal.name} | COLOUR)
        nodes = ElementTree.SubElement(tree, "nodes")
        ElementTree.SubElement(nodes, "node", {"id": str(proposal.rank), "radius": "1"} | _xyz(centre))
        ElementTree.SubElement(tree, "edges")
    ElementTree.SubElement(things, "branchpoints")
    comments = ElementTree.SubElement(things, "comments")
    for proposal, _ in boxes:
        content = f"{proposal.name}, score {proposal.score:.3g}: {proposal.reason}"
        ElementTree.SubElement(comments, "comment", node=str(proposal.rank), content=content)
    ElementTree.SubElement(things, "groups")

    ElementTree.indent(things)
    with placing(target, overwrite) as partial:
        ElementTree.ElementTree(things).write(partial, encoding="utf-8", xml_declaration=True)
    return target


def _xyz(zyx: Sequence[float]) -> dict[str, str]:
    return {axis: str(float(value)) for axis, value in zip("xyz", reversed(zyx), strict=True)}


def _dataset_name(path: Location) -> str:
    path = path.resolve()
    return next((p.stem for p in (path, *path.parents) if p.suffix in (".zarr", ".n5")), path.name)
