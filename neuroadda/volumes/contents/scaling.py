"""Grey values as uint8: how integers of other types are scaled, and values that no raw and no labels have."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroadda.volumes.readers.source import Source

PERCENTILES = (0.1, 99.9)
LAYERS = 16
PADDING_SHARE = 0.01  # a value that fills more of a volume's sample, far from all others, is padding
NARROW = 32  # grey values of 256


@dataclass(frozen=True)
class Scale:
    """Linear scaling of integers to uint8, clipped.

    Attributes
    ----------
    dtype
        Of what is scaled.
    low, high
        The values that become 0 and 255.
    padding
        Values that were left out to find them.
    """

    dtype: np.dtype[Any]
    low: float
    high: float
    padding: tuple[int, ...] = ()

    @property
    def changes_result(self) -> bool:
        """Whether the scale is another than that of the percentiles of all values."""
        return bool(self.padding) or self.dtype == bool

    def apply(self, voxels: np.ndarray) -> np.ndarray:
        """Return voxels as uint8."""
        scaled = (voxels.astype(np.float32) - np.float32(self.low)) * np.float32(255 / (self.high - self.low))
        return np.rint(scaled.clip(0, 255)).astype(np.uint8)

    def describe(self) -> str:
        """Return in a sentence what is done."""
        if self.dtype == bool:
            return "its values have 1 bit; raw is 0 and 255"
        limits = np.iinfo(self.dtype)
        share = (self.high - self.low) / (int(limits.max) - int(limits.min))
        padded = f"; {' and '.join(map(str, self.padding))}, taken for padding, is left out" if self.padding else ""
        return (
            f"{self.dtype} is scaled to uint8: {self.low:g} becomes 0, {self.high:g} becomes 255, what lies beyond is clipped"
            f" ({share:.2%} of the type's range{padded})"
        )

    def to_data(self) -> dict[str, Any]:
        """Return it for the provenance."""
        told = {"from": str(self.dtype), "low": self.low, "high": self.high, "percentiles": PERCENTILES}
        return told | {"padding": list(self.padding)} if self.padding else told


def find_scale(source: Source) -> Scale:
    """Return the scale of raw, from sections spread evenly over the stack.

    Their 0.1st and 99.9th percentile become 0 and 255. The lowest or highest value is left out as padding if it fills more than
    1 % of them and the others, without it, have less than half the range.
    """
    if source.dtype == bool:
        return Scale(source.dtype, 0, 1)
    depth, height, width = source.shape
    step = max(1, math.ceil(math.sqrt(height * width / 2**18)))
    layers = np.unique(np.linspace(0, depth - 1, min(depth, LAYERS)).round().astype(int))
    parts = [
        source.read((slice(z, z + 1), slice(0, height), slice(0, width)))[:, ::step, ::step].ravel() for z in layers
    ]
    sample, padding = np.concatenate(parts), []
    low, high = _percentiles(sample)
    for value in (sample.min(), sample.max()):
        rest = sample[sample != value]
        if not PADDING_SHARE * sample.size < sample.size - rest.size < sample.size:
            continue
        inner = _percentiles(rest)
        if 0 < inner[1] - inner[0] < (high - low) / 2:
            sample, (low, high) = rest, inner
            padding.append(int(value))
    return Scale(source.dtype, low, max(high, low + 1), tuple(padding))


def _percentiles(sample: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(sample, PERCENTILES, method="nearest")
    return float(low), float(high)


class ValueRange:
    """The values of what is written: the lowest, the highest, and all of them as long as there are no more than two."""

    def __init__(self) -> None:
        self.lowest: int | None = None
        self.highest = 0
        self.few: frozenset[int] | None = frozenset()

    def add(self, voxels: np.ndarray) -> None:
        """Take in a box of voxels."""
        low, high = int(voxels.min()), int(voxels.max())
        self.lowest, self.highest = min(low, low if self.lowest is None else self.lowest), max(high, self.highest)
        if self.few is not None:
            few = self.few | {low, high}
            is_few = len(few) <= 2 and bool(
                np.all((voxels == voxels.dtype.type(low)) | (voxels == voxels.dtype.type(high)))
            )
            self.few = few if is_few else None

    def describe(self, kind: Literal["raw", "labels"]) -> tuple[str, ...]:
        """Return what is doubtful about the values, as raw or as labels, a sentence each."""
        if self.lowest is None or (kind == "labels" and self.few == {0}):  # empty labels are told where they are used
            return ()
        values = " and ".join(map(str, sorted(self.few or ())))
        if self.few is not None and len(self.few) == 1:
            return (f"every voxel is {values}",)
        if self.few is not None and kind == "raw":
            return (f"its only values are {values}: it looks like a mask, not like raw",)
        if self.few is not None:
            return (
                f"its only labels are {values}: it looks like a mask, not like neurons; label its components first",
            )
        if kind == "raw" and self.highest - self.lowest < NARROW:
            return (f"its grey values lie between {self.lowest} and {self.highest}: there is little contrast",)
        return ()
