"""What a source says about itself: JSON metadata and attributes."""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from neuroadda.errors import UserError
from neuroadda.volumes.geometry.places import PLACE_KEYS

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
    """Return those attributes that are short and fit into JSON; others are left out.

    Of those that say a place, what does not fit is kept as text, which is refused where the place is read: left out, it would be
    taken for a place that is not said.
    """
    plain = {}
    for key, given in attrs.items():
        value = given
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist() if value.size <= 16 else None
        if isinstance(value, list):
            value = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in value]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if value is not None and _fits(value):
            plain[str(key)] = value
        elif key in PLACE_KEYS and given is not None:
            plain[str(key)] = str(given)
    return plain


def _fits(value: Any) -> bool:
    """Tell whether a value fits into JSON: of HDF5, references do not."""
    if isinstance(value, float):
        return math.isfinite(value)
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
