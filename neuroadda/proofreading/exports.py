"""Likely errors as a table, as annotations in Neuroglancer, and as skeletons in WEBKNOSSOS."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroadda.config import ZyxFloat
from neuroadda.proofreading.likely_errors import LikelyError
from neuroadda.segmentation.edits import MERGE, SPLIT
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.neuroglancer import (
    Layer,
    annotation_layer,
    check_url,
    dimensions_of,
    neuroglancer_state,
    to_viewer,
)
from neuroadda.volumes.nml import NmlTree, write_nml
from neuroadda.volumes.storage.placing import placing

TABLE, STATE, SKELETONS = "errors.csv", "neuroglancer.json", "webknossos.nml"
POINTS, FRAGMENTS = (("z1", "y1", "x1"), ("z2", "y2", "x2")), ("fragment_1", "fragment_2")
COLUMNS = (
    *("rank", "decision", "kind", *POINTS[0], *POINTS[1]),
    *("who", "expected_gain", "likelihood", "score", "contact", "z", "y", "x"),
    *("segment_1", "segment_2", *FRAGMENTS, "voxels_1", "voxels_2"),
)
COLOURS = {MERGE: "#56b4e9", SPLIT: "#e69f00"}


def write_table(errors: Sequence[LikelyError], target: Path, *, overwrite: bool = False) -> Path:
    """Write one row an error: places are nm of the world. The column ``decision`` is empty, for a person to fill.

    Raises
    ------
    UserError
        If `target` cannot be written, or exists and `overwrite` is false.
    """
    with placing(target, overwrite) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for error in errors:
            first, second = error.points_nm
            chance = (f"{error.gain:.6g}", f"{error.likelihood:.4f}", f"{error.score:.4f}", error.contact)
            pairs = (*error.segments, *error.fragments, *error.sizes)
            table.writerow(
                [
                    *(error.rank, "", error.kind, *map(_plain, (*first, *second)), "", *chance),
                    *(*map(_plain, error.place_nm), *pairs),
                ]
            )
    return target


def write_state(
    errors: Sequence[LikelyError], raw: Volume, target: Path, url: str | None = None, *, overwrite: bool = False
) -> Path:
    """Write the viewer's state (see `errors_state`) as JSON, such as its state editor takes.

    Raises
    ------
    UserError
        If an address is not http(s) or has a user name or password in it, or `target` cannot be written.
    """
    state = errors_state(errors, raw, url)
    with placing(target, overwrite) as partial:
        partial.write_text(json.dumps(state, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return target


def errors_state(errors: Sequence[LikelyError], raw: Volume, url: str | None = None) -> dict[str, Any]:
    """Return a state with a layer of lines for each kind: from the point of one side to that of the other.

    Parameters
    ----------
    url
        http(s) address of the folder of the raw array; without it the state has the annotations alone, to be pasted into another.
    """
    if url is None:
        state: dict[str, Any] = {"dimensions": dimensions_of(raw.voxel_size_nm), "layers": []}
        if errors:
            state["position"] = to_viewer(errors[0].place_nm, state["dimensions"])
    else:
        check_url(url, "--url")
        state = neuroglancer_state([Layer.of(raw, "raw", url, "raw")], errors[0].place_nm if errors else None)
    dimensions = state["dimensions"]
    for kind, colour in COLOURS.items():
        lines = [
            {
                "type": "line",
                "id": error.name,
                "description": f"{error.rank}: {error.question}",
                "pointA": to_viewer(error.points_nm[0], dimensions),
                "pointB": to_viewer(error.points_nm[1], dimensions),
            }
            for error in errors
            if error.kind == kind
        ]
        state["layers"].append(annotation_layer(f"likely {kind}s", dimensions, lines, colour))
    return state


def write_skeletons(
    errors: Sequence[LikelyError], raw: Volume, target: Path, *, dataset: str | None = None, overwrite: bool = False
) -> Path:
    """Write an NML file: a tree for each error, from the point of one side over the place between them to that of the other.

    Raises
    ------
    UserError
        If `target` cannot be written, or exists and `overwrite` is false.
    """

    def to_voxels(place_nm: ZyxFloat) -> list[int]:
        return [int((p - o) // v) for p, o, v in zip(place_nm, raw.offset_nm, raw.voxel_size_nm, strict=True)]

    trees = [
        NmlTree(
            error.name,
            [to_voxels(place) for place in (error.points_nm[0], error.place_nm, error.points_nm[1])],
            ["", error.question, ""],
        )
        for error in errors
    ]
    with placing(target, overwrite) as partial:
        write_nml(partial, raw, trees, dataset=dataset, description="likely errors, found by neuroadda")
    return target


def _plain(number: float) -> str:
    return f"{number:.12g}"
