"""The one place where raw voxels become what a network sees."""

from typing import Literal

import numpy as np

from neuroadda.config import Config
from neuroadda.errors import UserError


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
    if raw.dtype != np.uint8:
        raise UserError(f"raw is {raw.dtype}", None, "networks see uint8 raw: import the volume as uint8")
    return raw.astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)
