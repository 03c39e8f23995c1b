"""What a source tells of itself: JSON metadata, attributes, voxel size and offset by the names that the field uses."""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.axes import NM, in_nm, read_units

REL_TOLERANCE = 1e-3
EACH_NM: ZyxFloat = (1.0, 1.0, 1.0)
M = TypeVar("M", bound=BaseModel)


def parse_metadata(model: type[M], data: bytes, where: str) -> M:
    """Return JSON metadata as `model`.

    Raises
    ------
    UserError
        If it is not that.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(f"the metadata is malformed: {key}: {first['msg']}", where) from error


def plain_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those attributes that are short and fit into JSON; others are left out."""
    plain = {}
    for key, value in attrs.items():
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist() if value.size <= 16 else None
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str | int | bool | list | dict) or (isinstance(value, float) and math.isfinite(value)):
            plain[str(key)] = value
    return plain


def take_place(attributes: dict[str, Any], where: str) -> tuple[ZyxFloat | None, ZyxFloat | None]:
    """Take voxel size and offset (nm, zyx) out of `attributes`, by any name the field uses.

    ``voxel_size`` (with ``units``, one for all axes or one for each), ``resolution`` (CREMI, nm), ``element_size_um``
    (ilastik), ``pixelResolution`` (N5, xyz).
    """
    nm = read_units(attributes.pop("units", None), where)
    found: list[tuple[Any, ZyxFloat]] = []
    for name, scale in (("voxel_size", nm), ("resolution", EACH_NM), ("element_size_um", (1e3, 1e3, 1e3))):
        if name in attributes:
            found.append((attributes.pop(name), scale))
    if isinstance(n5 := attributes.pop("pixelResolution", None), dict):
        one = NM.get(str(n5.get("unit", "nm")), math.nan)
        found.append((list(n5.get("dimensions", ()))[::-1], (one, one, one)))
    offset = attributes.pop("offset", None)
    voxel_size = None if not found else _triple(*found[0], where, "voxel size")
    return voxel_size, None if offset is None else _triple(offset, nm, where, "offset")


def _triple(values: Any, nm: ZyxFloat, where: str, what: str) -> ZyxFloat:
    try:
        z, y, x = in_nm([float(v) for v in values], nm)
    except (TypeError, ValueError) as error:
        raise UserError(f"its {what} is {values!r}", where, "three numbers (z, y, x) are expected") from error
    if not all(map(math.isfinite, (z, y, x))):
        raise UserError(f"its {what} is {values!r}", where, "three numbers (z, y, x) are expected")
    return z, y, x


def same_size(first: ZyxFloat, second: ZyxFloat) -> bool:
    """Tell whether two voxel sizes are the same but for the rounding of a file format."""
    return all(math.isclose(a, b, rel_tol=REL_TOLERANCE) for a, b in zip(first, second, strict=True))


def describe_size(size: ZyxFloat) -> str:
    """Return a voxel size as ``40 x 4 x 4 nm (zyx)``."""
    return " x ".join(f"{s:g}" for s in size) + " nm (zyx)"
