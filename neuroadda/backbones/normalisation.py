"""The one place where raw voxels become what a network sees."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuroadda.config import Config
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


class Normalisation(Config):
    """How raw is normalised; ``unit`` maps uint8 0..255 to -1..1."""

    method: Literal["unit"] = "unit"


def normalise(raw: np.ndarray, normalisation: Normalisation | None = None) -> np.ndarray:
    """Return raw (uint8, any shape) as float32 in -1..1: ``raw / 127.5 - 1``.

    Raises
    ------
    UserError
        If raw is not uint8.
    """
    _check(raw.dtype)
    return raw.astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)


def normalise_tensor(raw: "Tensor", normalisation: Normalisation | None = None) -> "Tensor":
    """Return the same of a tensor, on its device: a quarter of the bytes had to get there."""
    _check(raw.dtype)
    return raw.float().mul_(1 / 127.5).sub_(1)


def _check(dtype: Any) -> None:
    name = str(dtype).removeprefix("torch.")
    if name != "uint8":
        raise UserError(f"raw is {name}", None, "networks see uint8 raw: import the volume as uint8")
