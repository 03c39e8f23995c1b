"""What a viewer shows of a run."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from neuroadda.errors import UserError, warn
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.locations import Location, to_location
from neuroadda.volumes.moved import describe_move
from neuroadda.volumes.neuroglancer import Kind, Layer, neuroglancer_state, state_url
from neuroadda.volumes.urls import Url

ADDRESS = "%/:@[]?#&=+,;!$()*~"  # what an address is made of, and what is encoded in it already
LAYERS: tuple[tuple[str, str, Kind], ...] = (
    ("affs", "predict", "affs"),
    ("fragments", "fragments", "labels"),
    ("segmentation", "relabel", "labels"),
)


def served_address(path: Path, root: Path, base_url: str) -> str:
    """Return the address of a folder below `root`, which is served at `base_url`; names are percent-encoded.

    Raises
    ------
    UserError
        If it is not below `root`.
    """
    try:
        place = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise UserError(
            f"it is not below {root}, the folder that is served", str(path), "give another --root"
        ) from error
    return f"{quote(base_url.rstrip('/'), safe=ADDRESS)}/{quote(place)}"


def view_plan(plan: Plan, root: Path, base_url: str) -> dict[str, Any]:
    """Return a Neuroglancer state of a run's volumes, and the link that opens it.

    Parameters
    ----------
    root
        The folder that is served at `base_url`; it holds raw and the run, or what of them is at no URL of its own.

    Raises
    ------
    UserError
        If raw or an output is missing.
    """

    def layer(name: str, path: Location, kind: Kind) -> Layer:
        if isinstance(path, Url):
            return Layer.of(Volume.open(path), name, str(path), kind)
        return Layer.of(Volume.open(path), name, served_address(path, root, base_url), kind)

    for task in plan.tasks:
        if moved := describe_move(to_location(task.output)):
            warn(f"{task.name} is shown where it says that it is; it was edited: {moved}", task.output)
    layers = [layer("raw", to_location(plan.config.raw), "raw")]
    layers += [layer(name, plan.output(stage), kind) for name, stage, kind in LAYERS if plan.output(stage).exists()]
    centre = plan.task("relabel").grid.roi.center
    position_nm = [c / Volume.open(plan.config.raw).units_per_nm for c in centre]
    state = neuroglancer_state(layers, position_nm)
    return {"state": state, "url": state_url(state)}
