"""A likely error in the viewer: the segments at its two points, a line from one to the other through their contact."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.proofreading.exports import POINTS, TABLE
from neuroadda.textfiles import read_text
from neuroadda.viewing.error_sheet import COLOURS
from neuroadda.viewing.viewer.shown import Shown
from neuroadda.volumes.neuroglancer import FAINT, annotation_layer, to_viewer

PLACE, LIKELIHOOD = ("z", "y", "x"), "likelihood"
PIXEL_NM, SPACE_NM = 4.0, 2500.0  # around the contact: a pixel of a section, the height of the picture in 3-D
MESH_ALPHA = 0.8  # the line is seen through the meshes
LINE_COLOUR = "#ffffff"


@dataclass(frozen=True)
class ErrorPlace:
    """A row of a queue's table; see `neuroadda.proofreading.likely_errors.LikelyError`.

    Attributes
    ----------
    table
        The file that it is in, where a person writes the decision.
    """

    rank: int
    kind: str
    likelihood: float
    points_nm: tuple[ZyxFloat, ZyxFloat]
    place_nm: ZyxFloat
    table: Path

    def describe(self, volumes: Sequence[Shown]) -> str:
        """Return in a line what it is, and which segments its points are in now."""
        found = [find_segments(shown, self) for shown in _labels(volumes)]
        ids = [str(id_) for id_ in dict.fromkeys(found[-1] if found else ()) if id_]
        told = f"error {self.rank}, {self.kind}, likelihood {self.likelihood:.2f}"
        return told + (f": its points are in segment{'s' * (len(ids) > 1)} {' and '.join(ids)}" if ids else "")


def is_queue(folder: Path) -> bool:
    """Tell whether a folder is what `neuroadda errors` wrote."""
    return (folder / TABLE).is_file()


def read_queue(folder: Path) -> dict[int, ErrorPlace]:
    """Return the rows of the table in a folder, by rank; decisions and other columns are not read.

    Raises
    ------
    UserError
        If a column is missing, or a value is no number.
    """
    table = folder / TABLE
    rows = csv.DictReader(io.StringIO(read_text(table, "the table").removeprefix("\ufeff"), newline=""))
    found = {}
    for row in rows:
        try:
            first, second, place = ((float(row[z]), float(row[y]), float(row[x])) for z, y, x in (*POINTS, PLACE))
            if not all(map(math.isfinite, (*first, *second, *place))):
                raise ValueError("a place is infinite")
            rank, likelihood = int(row["rank"]), float(row[LIKELIHOOD])
            found[rank] = ErrorPlace(rank, str(row["kind"]), likelihood, (first, second), place, table)
        except (KeyError, TypeError, ValueError) as error:
            what = f"it is no row of a queue of likely errors ({error!r})"
            raise UserError(
                what, f"{table}, line {rows.line_num}", "give the table that `neuroadda errors` wrote"
            ) from error
    return found


def find_segments(shown: Shown, error: ErrorPlace) -> tuple[int, int]:
    """Return the ids at both points in what is shown; 0 outside."""
    first, second = (shown.read_id(point) for point in error.points_nm)
    return first, second


def show_error(state: dict[str, Any], error: ErrorPlace, volumes: Sequence[Shown]) -> None:
    """Change a state so that it shows an error: the segments at its points alone, in the colours of ``errors.html``."""
    dimensions: Mapping[str, Any] = state["dimensions"]
    voxel_nm = min(size for size, _ in dimensions.values()) * 1e9
    middle, *ends = (to_viewer(place, state["dimensions"]) for place in (error.place_nm, *error.points_nm))
    state["position"] = middle
    for scale, seen_nm in (("crossSectionScale", PIXEL_NM), ("projectionScale", SPACE_NM)):
        state[scale] = min(state[scale], seen_nm / voxel_nm)
    for shown in _labels(volumes):
        ids = find_segments(shown, error)
        # Of one id that is at both points the first colour is shown.
        colours = {str(id_): _to_hex(colour) for id_, colour in zip(ids[::-1], COLOURS[::-1], strict=True) if id_}
        layer = next(layer for layer in state["layers"] if layer["name"] == shown.name)
        layer |= {"segments": sorted(colours, key=int), "segmentColors": colours}
        layer |= {"notSelectedAlpha": FAINT, "objectAlpha": MESH_ALPHA}
    lines = [
        {"type": "line", "id": f"error_{error.rank}_{side}", "pointA": end, "pointB": middle}
        for side, end in enumerate(ends, 1)
    ]
    state["layers"].append(
        annotation_layer(f"error {error.rank}: {error.kind}?", state["dimensions"], lines, LINE_COLOUR)
    )


def _labels(volumes: Sequence[Shown]) -> list[Shown]:
    return [shown for shown in volumes if shown.kind == "labels" and shown.visible]


def _to_hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
