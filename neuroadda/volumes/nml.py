"""Skeletons and boxes as NML, which WEBKNOSSOS imports as an annotation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location

COLOUR = {"color.r": "1", "color.g": "0.6", "color.b": "0", "color.a": "1"}

Zyx = Sequence[float]


@dataclass(frozen=True)
class NmlTree:
    """Nodes that are joined in their order.

    Attributes
    ----------
    name
        Of the tree.
    nodes_vx
        zyx, in voxels from raw's first.
    comments
        One a node, "" for none.
    """

    name: str
    nodes_vx: Sequence[Zyx]
    comments: Sequence[str]


@dataclass(frozen=True)
class NmlBox:
    """A user bounding box: offset and shape, zyx voxels."""

    name: str
    offset_vx: Sequence[int]
    shape_vx: Sequence[int]


def write_nml(
    target: Path,
    raw: Volume,
    trees: Sequence[NmlTree],
    boxes: Sequence[NmlBox] = (),
    *,
    dataset: str | None = None,
    description: str,
) -> None:
    """Write an NML file; trees and boxes are numbered 1, 2, ..., and so are all nodes.

    Coordinates are voxels, and the dataset's first is taken to be raw's first, wherever raw lies in the world.

    Parameters
    ----------
    dataset
        Its name in WEBKNOSSOS; raw's container or folder by default.
    """
    things = ElementTree.Element("things")
    parameters = ElementTree.SubElement(things, "parameters")
    name = _dataset_name(raw.path) if dataset is None else dataset
    ElementTree.SubElement(parameters, "experiment", name=name, description=description)
    ElementTree.SubElement(parameters, "scale", _xyz(raw.voxel_size_nm), unit="nanometer")
    if trees:
        ElementTree.SubElement(parameters, "editPosition", _xyz(trees[0].nodes_vx[0]))
    for number, box in enumerate(boxes, 1):
        x, y, z = (str(offset) for offset in reversed(box.offset_vx))
        width, height, depth = (str(size) for size in reversed(box.shape_vx))
        place = {"topLeftX": x, "topLeftY": y, "topLeftZ": z, "width": width, "height": height, "depth": depth}
        label = {"id": str(number), "name": box.name, "isVisible": "true"}
        ElementTree.SubElement(parameters, "userBoundingBox", label | COLOUR | place)
    comments, node = list[tuple[int, str]](), 0
    for number, tree in enumerate(trees, 1):
        thing = ElementTree.SubElement(things, "thing", {"id": str(number), "name": tree.name} | COLOUR)
        nodes, edges = ElementTree.SubElement(thing, "nodes"), ElementTree.SubElement(thing, "edges")
        for place_vx, comment in zip(tree.nodes_vx, tree.comments, strict=True):
            node += 1
            ElementTree.SubElement(nodes, "node", {"id": str(node), "radius": "1"} | _xyz(place_vx))
            if len(nodes) > 1:
                ElementTree.SubElement(edges, "edge", source=str(node - 1), target=str(node))
            if comment:
                comments.append((node, comment))
    ElementTree.SubElement(things, "branchpoints")
    listed = ElementTree.SubElement(things, "comments")
    for number, comment in comments:
        ElementTree.SubElement(listed, "comment", node=str(number), content=comment)
    ElementTree.SubElement(things, "groups")
    ElementTree.indent(things)
    ElementTree.ElementTree(things).write(target, encoding="utf-8", xml_declaration=True)


def _xyz(zyx: Zyx) -> dict[str, str]:
    return {axis: str(float(value)) for axis, value in zip("xyz", reversed(zyx), strict=True)}


def _dataset_name(path: Location) -> str:
    path = path.resolve()
    return next((p.stem for p in (path, *path.parents) if p.suffix in (".zarr", ".n5")), path.name)
