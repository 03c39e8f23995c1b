"""Some of the blocks of a grid: those that have tissue, or those that are still to be done."""

import base64
import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

PAGE = 64  # bytes whose bits are counted together


@dataclass(frozen=True, eq=False)
class BlockSet:
    """A set of dense indices, ascending: a bit for each block of the grid, whether it is in the set or not.

    Attributes
    ----------
    bits
        uint8, eight blocks in each.
    size
        Blocks of the grid.
    """

    bits: np.ndarray
    size: int

    @classmethod
    def of(cls, mask: np.ndarray) -> "BlockSet":
        """Return the set of the true ones of bool, by block in C order."""
        return cls(np.packbits(mask.reshape(-1)), mask.size)

    @classmethod
    def full(cls, size: int) -> "BlockSet":
        """Return the set of all blocks."""
        return cls.of(np.ones(size, bool))

    @classmethod
    def load(cls, text: str, size: int) -> "BlockSet":
        """Return the set that `dump` wrote, of a grid of `size` blocks."""
        return cls(np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8), size)

    def dump(self) -> str:
        """Return the set as text, compressed."""
        return base64.b64encode(zlib.compress(self.bits.tobytes(), 1)).decode()

    @property
    def digest(self) -> str:
        """The sha256 of the set."""
        return hashlib.sha256(self.bits.tobytes()).hexdigest()

    def to_mask(self) -> np.ndarray:
        """Return bool, by block."""
        return np.unpackbits(self.bits, count=self.size).view(bool)

    def __len__(self) -> int:
        return int(self._before[-1])

    def __contains__(self, index: int) -> bool:
        return bool(self.bits[index >> 3] >> (7 - (index & 7)) & 1)

    def __iter__(self) -> Iterator[int]:
        for page in range(len(self._before) - 1):
            yield from self._read_page(page).tolist()

    def __getitem__(self, rank: int) -> int:
        """Return the block that so many others of the set come before."""
        if not 0 <= rank < len(self):
            raise IndexError(f"block {rank} of {len(self)}")
        page = int(np.searchsorted(self._before, rank, side="right")) - 1
        return int(self._read_page(page)[rank - self._before[page]])

    def _read_page(self, page: int) -> np.ndarray:
        first = page * PAGE
        return np.flatnonzero(np.unpackbits(self.bits[first : first + PAGE])) + 8 * first

    @cached_property
    def _before(self) -> np.ndarray:
        """Members before each page, and after the last."""
        ones = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.uint8)
        starts = np.arange(0, len(self.bits), PAGE)
        counts = np.add.reduceat(ones[self.bits], starts, dtype=np.int64) if len(starts) else starts
        return np.r_[0, np.cumsum(counts)].astype(np.int64)
