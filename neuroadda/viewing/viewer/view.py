"""What a viewer shows of places: runs, volumes, pyramids, published folders, proposals, and states that were exported."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neuroadda.active.exports.neuroglancer import boxes_layer
from neuroadda.active.proposals import PROPOSALS, read_proposals
from neuroadda.errors import UserError, warn
from neuroadda.publishing.publication import WORK
from neuroadda.publishing.webknossos import is_dataset
from neuroadda.pyramids.pyramid import FINEST, PyramidConfig, guess_kind
from neuroadda.segmentation.pipeline import Plan, is_run
from neuroadda.segmentation.recovery import read_run
from neuroadda.viewing.viewer.error_views import ErrorPlace, is_queue, read_queue, show_error
from neuroadda.viewing.viewer.shown import (
    Shown,
    is_precomputed,
    show_precomputed,
    show_pyramid,
    show_volume,
)
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.multiscales import list_images, list_levels
from neuroadda.volumes.identity.derived import find_stale
from neuroadda.volumes.identity.inputs import look_again
from neuroadda.volumes.identity.moved import describe_move
from neuroadda.volumes.neuroglancer import Kind, neuroglancer_state
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.nodes import is_array, read_attributes

OF_A_RUN: tuple[tuple[str, str, Kind, bool], ...] = (
    ("affs", "predict", "affs", False),
    ("fragments", "fragments", "labels", False),
    ("segmentation", "relabel", "labels", True),
)
RIGHT = (
    "a run, a volume, a pyramid, a published folder, proposals, likely errors, or a state that was exported is expected"
)
MARGIN = 1.2  # of the picture in 3-D around the volume
SECTION_PIXELS = 450  # a smaller volume is magnified in the sections to about this width
TILT = (0.9, 0.35, 0.1, 0.25)  # quaternion by which it is looked at in 3-D: from above and aside
DEPTH = 3  # folders below a place in which volumes are looked for


@dataclass(frozen=True)
class View:
    """What is shown.

    Attributes
    ----------
    volumes
        From bottom to top.
    annotations
        More layers, as a viewer's state has them: boxes and points over the volumes.
    errors
        Likely errors, by rank: each has a state of its own.
    """

    volumes: list[Shown] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    errors: dict[int, ErrorPlace] = field(default_factory=dict)

    def __add__(self, other: "View") -> "View":
        """Add what is at another place; of two volumes of one name the later is shown."""
        named = {shown.name: shown for shown in (*self.volumes, *other.volumes)}
        return View(list(named.values()), self.annotations + other.annotations, self.errors | other.errors)

    def to_state(self, address: Callable[[Shown], str], error: int | None = None) -> dict[str, Any]:
        """Return the viewer's state as plain JSON data, at the middle of the first volume.

        Parameters
        ----------
        address
            Returns the http(s) address at which a volume is served.
        error
            Rank of the likely error that is shown, instead of the largest segments.
        """
        first, *_ = self.volumes
        middle_nm = [o + s / 2 for o, s in zip(first.offset_nm, first.shape_nm, strict=True)]
        state = neuroglancer_state([shown.to_layer(address(shown)) for shown in self.volumes], middle_nm)
        voxel_nm = min(first.voxel_size_nm)
        state["crossSectionScale"] = min(1.0, max(first.shape_nm) / voxel_nm / SECTION_PIXELS)
        state["projectionScale"] = MARGIN * math.hypot(*first.shape_nm) / voxel_nm
        selected = [shown.name for shown in self.volumes if shown.segments]
        if selected:  # sections would hide the meshes behind them
            state |= {
                "showSlices": False,
                "projectionOrientation": list(TILT),
                "selectedLayer": {"layer": selected[-1], "visible": False},
            }
        state["layers"] += self.annotations
        if error is not None:
            show_error(state, self.errors[error], self.volumes)
        return state


def find_view(places: Sequence[Location | str], segments: Sequence[int] = ()) -> View:
    """Return what is shown of places, one over the other.

    Parameters
    ----------
    segments
        Ids to select; by default the largest, where a published segmentation tells sizes.

    Raises
    ------
    UserError
        If there is nothing at one of them that can be shown.
    """
    view = View()
    for place in places:
        view += _look_at(to_location(place))
    if not view.volumes:
        raise UserError("there is no volume to show the rest over", str(places[0]), "name a run or a volume, too")
    if segments:
        chosen = [replace(v, segments=tuple(segments)) if v.kind == "labels" else v for v in view.volumes]
        view = replace(view, volumes=chosen)
    # Raw lies below all else, wherever it was found.
    return replace(view, volumes=sorted(view.volumes, key=lambda v: v.kind != "raw"))


def show_plan(plan: Plan) -> View:
    """Return what is shown of a run: raw, and what it has written so far.

    Raises
    ------
    UserError
        If raw is missing.
    """
    for task in plan.tasks:
        if moved := describe_move(to_location(task.output)):
            warn(f"{task.name} is shown where it says that it is; it was edited: {moved}", task.output)
    volumes = [_show(Volume.open(plan.config.raw), "raw", "raw")]
    for name, stage, kind, visible in OF_A_RUN:
        if plan.output(stage).exists():
            volumes.append(_show(Volume.open(plan.output(stage)), name, kind, visible))
    return View(volumes)


def _look_at(place: Location) -> View:
    if isinstance(place, Path):
        if place.is_file():
            return _read_exported(place)
        if is_run(place):
            return show_plan(read_run(place, trust_inputs=True))
        if (place / PROPOSALS).is_file():
            return _show_proposals(place)
        if is_queue(place):
            return View(errors=read_queue(place))
        if not is_array(place):
            found = list(_search(place, DEPTH))
            if not found:
                raise UserError("there is nothing here that can be shown", str(place), RIGHT)
            old = "what is shown was published before that; `neuroadda publish` with --overwrite makes it again"
            look_again(place / WORK).warn(old, old)
            return View(found)
    volume = Volume.open(place)
    return View([_show(volume, place.name, guess_kind(volume))])


def _search(folder: Path, depth: int) -> Iterator[Shown]:
    """Yield the volumes in a folder, or that it is itself; not those of a data set of WEBKNOSSOS."""
    if is_dataset(folder):
        return
    if is_precomputed(folder):
        yield show_precomputed(folder, folder.name)
    elif is_array(folder):
        volume = Volume.open(folder)
        yield _show(volume, folder.name, guess_kind(volume))
    elif images := list_images(read_attributes(folder)):
        levels = [name for name, _ in list_levels(images[0]) if is_array(folder / name)]
        if levels:
            kind = guess_kind(Volume.open(folder / levels[0]))
            yield show_pyramid(folder, folder.name.removesuffix(".zarr").removesuffix(".ome"), kind, levels[0])
    elif folder.is_dir() and depth:
        for child in sorted(folder.iterdir()):
            if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
                yield from _search(child, depth - 1)


def _show(volume: Volume, name: str, kind: Kind, visible: bool = True) -> Shown:
    """Return a volume that is shown, by its pyramid where there is one beside it that is of it as it is."""
    path = volume.path.resolve()
    if isinstance(path, Path) and kind != "affs":  # the shader of affinities names their channels
        group = PyramidConfig(volume=str(path)).group
        linked = (group / FINEST).is_symlink() and (group / FINEST).resolve() == path
        if linked and list_images(read_attributes(group)) and str(group) not in find_stale(path):
            return show_pyramid(group, name, kind, FINEST, visible)
    return show_volume(volume, name, kind, visible)


def _show_proposals(folder: Path) -> View:
    proposals = read_proposals(folder)
    raw = _show(proposals.open_volume(), "raw", "raw")
    dimensions = neuroglancer_state([raw.to_layer("http://localhost")])["dimensions"]
    return View([raw], [boxes_layer(proposals, dimensions)])


def _read_exported(file: Path) -> View:
    """Return the layers of annotations that a viewer's state in a file holds in itself."""
    try:
        layers = json.loads(file.read_text(encoding="utf-8"))["layers"]
        found = [layer for layer in layers if layer.get("type") == "annotation" and "annotations" in layer]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("this file is no state of Neuroglancer", str(file), RIGHT) from error
    if not found:
        raise UserError("this state has no annotations in it", str(file), RIGHT)
    return View([], found)
