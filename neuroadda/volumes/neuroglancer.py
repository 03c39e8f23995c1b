"""Neuroglancer states for zarr volumes that any static file server offers (it must allow cross-origin requests)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume

Kind = Literal["raw", "affs", "labels"]
Scheme = Literal["zarr", "precomputed"]

VIEWER = "https://neuroglancer-demo.appspot.com"
FAINT = 0.15
AFFS_SHADER = """void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));
}
"""


@dataclass(frozen=True)
class Layer:
    """A volume as the viewer finds it.

    Attributes
    ----------
    url
        http(s) address of its folder.
    kind
        "raw" (grey), "affs" (czyx, at least 3 channels, in red, green, blue) or "labels" (any ids).
    voxel_size_nm, offset_nm
        Its place, zyx.
    scheme
        "zarr" (also an OME-NGFF image) or "precomputed".
    places_itself
        Whether the viewer finds the place in its metadata, as in those of an OME-NGFF image and of a precomputed volume.
    visible
        Whether it is drawn when the viewer opens.
    segments
        Ids that are selected: their meshes and skeletons are drawn.
    """

    name: str
    url: str
    kind: Kind
    voxel_size_nm: ZyxFloat
    offset_nm: ZyxFloat = (0.0, 0.0, 0.0)
    scheme: Scheme = "zarr"
    places_itself: bool = False
    visible: bool = True
    segments: tuple[int, ...] = ()

    @classmethod
    def of(cls, volume: Volume, name: str, url: str, kind: Kind) -> "Layer":
        """Return the layer of a volume served at `url`."""
        z, y, x = volume.voxel_size_nm
        oz, oy, ox = volume.offset_nm
        return cls(name, url, kind, (z, y, x), (oz, oy, ox))


def neuroglancer_state(
    layers: Sequence[Layer], position_nm: Sequence[float] | None = None, voxel_size_nm: Sequence[float] | None = None
) -> dict[str, Any]:
    """Return the viewer's state as plain JSON data.

    Parameters
    ----------
    layers
        From bottom to top. Labels above raw are seen through.
    position_nm
        What to look at, zyx; the first layer's corner by default.
    voxel_size_nm
        Unit of the viewer's coordinates, zyx; the first layer's by default.

    Raises
    ------
    UserError
        If there are no layers, two share a name, or an address is not http(s).
    """
    if not layers:
        raise UserError("there is nothing to view", "layers")
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise UserError(f"layers share a name: {', '.join(names)}", "layers")
    voxel_size_nm = layers[0].voxel_size_nm if voxel_size_nm is None else voxel_size_nm
    position_nm = layers[0].offset_nm if position_nm is None else position_nm
    return {
        "dimensions": dimensions_of(voxel_size_nm),
        "displayDimensions": ["x", "y", "z"],  # else z runs to the right, and sections are mirrored
        "position": [p / v for p, v in zip(position_nm, voxel_size_nm, strict=True)],
        "crossSectionScale": 1,
        "projectionScale": 2048,
        "layers": [_layer_state(layer) for layer in layers],
        "layout": "4panel",
    }


def annotation_layer(
    name: str, dimensions: dict[str, list[Any]], annotations: Sequence[dict[str, Any]], colour: str = "#ff9900"
) -> dict[str, Any]:
    """Return a layer of annotations that are kept in the state itself.

    Parameters
    ----------
    dimensions
        Of a state of `neuroglancer_state`: zyx, in m.
    annotations
        As the viewer has them; coordinates are zyx, in units of the dimensions.
    """
    return {
        "type": "annotation",
        "name": name,
        "source": {"url": "local://annotations", "transform": {"outputDimensions": dimensions}},
        "tab": "annotations",
        "annotationColor": colour,
        "annotations": list(annotations),
    }


def to_viewer(place_nm: Sequence[float], dimensions: dict[str, list[Any]]) -> list[float]:
    """Return a place (zyx nm) in units of the dimensions."""
    return [round(p / (size * 1e9), 3) for p, (size, _) in zip(place_nm, dimensions.values(), strict=True)]


def check_url(url: str, where: str) -> None:
    """Raise UserError if an address is not http(s), or has a user name or password, which would be in the state and the link."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UserError("the address has a user name or password in it", where, "serve raw without")
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{url!r} is not an http(s) address", where, "serve the folder first")


def dimensions_of(voxel_size_nm: Sequence[float]) -> dict[str, list[Any]]:
    """Return the dimensions of a state: zyx, in m."""
    return {axis: [size / 1e9, "m"] for axis, size in zip("zyx", voxel_size_nm, strict=True)}


def state_url(state: dict[str, Any], viewer: str = VIEWER) -> str:
    """Return the address that opens `state` in a viewer."""
    return f"{viewer.rstrip('/')}/#!{quote(json.dumps(state, separators=(',', ':')), safe='')}"


def _layer_state(layer: Layer) -> dict[str, Any]:
    check_url(layer.url, f"layer {layer.name!r}")
    state: dict[str, Any] = {
        "type": "segmentation" if layer.kind == "labels" else "image",
        "name": layer.name,
        "source": {"url": f"{layer.scheme}://{layer.url.rstrip('/')}"},
    }
    if not layer.places_itself:
        state["source"]["transform"] = _transform(layer)
    if not layer.visible:
        state["visible"] = False
    if layer.segments:
        # Ids as text: JavaScript's numbers hold no 64 bits. What is not selected stays faintly visible in sections.
        state |= {"segments": [str(segment) for segment in layer.segments], "notSelectedAlpha": FAINT}
        state["skeletonRendering"] = {
            "mode2d": "lines",
            "lineWidth2d": 1,
            "mode3d": "lines",
        }  # else they hide the sections
    if layer.kind == "affs":
        state |= {"shader": AFFS_SHADER, "opacity": 0.5}
    return state


def _transform(layer: Layer) -> dict[str, Any]:
    """Name and scale the array's axes: our arrays keep voxel size and offset where the viewer does not look."""
    lead: dict[str, list[Any]] = {"c^": [1, ""]} if layer.kind == "affs" else {}
    output = lead | dimensions_of(layer.voxel_size_nm)
    offset_vx = [0.0] * len(lead) + [o / v for o, v in zip(layer.offset_nm, layer.voxel_size_nm, strict=True)]
    rank = len(output)
    matrix = [[*(float(row == column) for column in range(rank)), offset_vx[row]] for row in range(rank)]
    return {
        "inputDimensions": {f"d{axis}": scale for axis, scale in enumerate(output.values())},
        "outputDimensions": output,
        "matrix": matrix,
    }
