"""The metadata by which OME-NGFF 0.4 readers know a zarr group of arrays as the levels of one image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroadda.config import write_json
from neuroadda.pyramids.downsampling import Method
from neuroadda.volumes.arrays import Volume

VERSION = "0.4"


def write_multiscales(
    group: Path,
    levels: Mapping[str, Volume],
    name: str,
    method: Method | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Make a folder of arrays an image.

    Parameters
    ----------
    levels
        Path of each array below the group, from fine to coarse.
    method
        What made the coarser levels, where there are any.
    attributes
        More JSON attributes of the group, such as those of `label_image`.
    """
    write_json(group / ".zgroup", {"zarr_format": 2})
    write_json(group / ".zattrs", {"multiscales": [describe_levels(levels, name, method)], **(attributes or {})})


def label_image(image: str | None = None) -> dict[str, Any]:
    """Return the attribute that makes an image one of labels; `image` is the relative path of the image that is labelled."""
    source = {} if image is None else {"source": {"image": image}}
    return {"image-label": {"version": VERSION, **source}}


def describe_levels(levels: Mapping[str, Volume], name: str, method: Method | None = None) -> dict[str, Any]:
    """Return an entry of ``multiscales``: axes in nm, and for each level scale and translation.

    A translation is where the centre of the first voxel lies, since readers take whole coordinates for centres; our
    offsets are corners. So half a voxel is added, which is more for coarser levels, and all levels share their corner.
    """
    channels = next(iter(levels.values())).channels is not None
    lead = [{"name": "c", "type": "channel"}] if channels else []
    datasets = []
    for path, volume in levels.items():
        scale = [*([1.0] * len(lead)), *volume.voxel_size_nm]
        first = [o + v / 2 for o, v in zip(volume.offset_nm, volume.voxel_size_nm, strict=True)]
        place = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [*([0.0] * len(lead)), *first]},
        ]
        datasets.append({"path": path, "coordinateTransformations": place})
    image = {
        "version": VERSION,
        "name": name,
        "axes": [*lead, *({"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx")],
        "datasets": datasets,
    }
    if method is None:
        return image
    metadata = {"method": "neuroadda.pyramids.downsampling.downsample", "kwargs": {"method": method}}
    return image | {"type": method, "metadata": metadata}
