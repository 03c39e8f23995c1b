"""Proposals as boxes over raw in Neuroglancer."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroadda.active.proposals import Proposals
from neuroadda.volumes.neuroglancer import (
    Layer,
    annotation_layer,
    check_url,
    neuroglancer_state,
    to_viewer,
)
from neuroadda.volumes.storage.placing import placing

BOXES = "proposals"


def export_neuroglancer(
    proposals: Proposals, target: Path, url: str, *, layers: Sequence[Layer] = (), overwrite: bool = False
) -> Path:
    """Write the viewer's state (see `proposals_state`) as JSON, such as its state editor takes.

    Raises
    ------
    UserError
        If raw is not the volume of the proposals, an address is not http(s), or `target` cannot be written.
    """
    state = proposals_state(proposals, url, layers)
    with placing(target, overwrite) as partial:
        partial.write_text(json.dumps(state, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return target


def proposals_state(proposals: Proposals, url: str, layers: Sequence[Layer] = ()) -> dict[str, Any]:
    """Return a state of raw and the boxes, centred on the first; `volumes.neuroglancer.state_url` makes it a link.

    Parameters
    ----------
    url
        http(s) address of the folder of the raw array.
    layers
        More volumes, between raw and the boxes.

    Raises
    ------
    UserError
        If raw is not the volume of the proposals, or an address is not http(s) or has a user name or password in it.
    """
    check_url(url, "--url")
    raw = Layer.of(proposals.open_volume(), "raw", url, "raw")
    boxes = proposals.proposals
    centre_nm = [o + s / 2 for o, s in zip(boxes[0].offset_nm, boxes[0].shape_nm, strict=True)] if boxes else None
    state = neuroglancer_state([raw, *layers], centre_nm)
    state["layers"].append(boxes_layer(proposals, state["dimensions"]))
    state["selectedLayer"] = {"layer": BOXES, "visible": True}
    return state


def boxes_layer(proposals: Proposals, dimensions: dict[str, list[Any]]) -> dict[str, Any]:
    """Return a layer of annotations kept in the state itself: one axis-aligned box a proposal.

    Parameters
    ----------
    dimensions
        Of a state of `neuroglancer_state`: zyx, in m.
    """
    annotations = [
        {
            "type": "axis_aligned_bounding_box",
            "id": proposal.name,
            "description": f"{proposal.name}, score {proposal.score:.3g}: {proposal.reason}",
            "pointA": to_viewer(proposal.offset_nm, dimensions),
            "pointB": to_viewer(
                [o + s for o, s in zip(proposal.offset_nm, proposal.shape_nm, strict=True)], dimensions
            ),
        }
        for proposal in proposals.proposals
    ]
    return annotation_layer(BOXES, dimensions, annotations)
