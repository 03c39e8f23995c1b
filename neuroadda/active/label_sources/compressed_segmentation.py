"""The compressed segmentation encoding of Neuroglancer's precomputed format: small blocks, each with a table of its ids.

Written from the format's description, google/neuroglancer, src/sliceview/compressed_segmentation/README.md.
"""

from itertools import product
from typing import Any

import numpy as np

from neuroadda.config import Zyx

WIDTHS = (0, 1, 2, 4, 8, 16, 32)


def decode_compressed_segmentation(data: bytes, shape: Zyx, block: Zyx, dtype: np.dtype[Any]) -> np.ndarray:
    """Return a chunk of one channel.

    Parameters
    ----------
    shape, block
        Of the chunk and of the blocks in it, zyx.
    dtype
        uint32 or uint64.

    Raises
    ------
    ValueError, IndexError
        If it is damaged.
    """
    words = np.frombuffer(data, "<u4")
    words = words[int(words[0]) :]
    size = int(np.prod(block))
    grid = [-(-s // b) for s, b in zip(shape, block, strict=True)]
    out = np.empty(shape, dtype)
    for number, cell in enumerate(product(*map(range, grid))):
        head, values = int(words[2 * number]), int(words[2 * number + 1])
        table, width = head & 0xFFFFFF, head >> 24
        if width not in WIDTHS:
            raise ValueError(f"a block's ids have {width} bits")
        index = np.zeros(size, np.uint32)
        if width:
            packed = words[values : values + -(-size * width // 32)]
            shifts = np.arange(0, 32, width, dtype=np.uint32)
            index = (packed[:, None] >> shifts & np.uint32(2**width - 1)).ravel()[:size]
        if dtype.itemsize == 8:
            low, high = (words[table + 2 * index.astype(np.int64) + part].astype(np.uint64) for part in (0, 1))
            ids = low | high << np.uint64(32)
        else:
            ids = words[table + index.astype(np.int64)]
        begin = [c * b for c, b in zip(cell, block, strict=True)]
        place = tuple(slice(b, min(b + n, s)) for b, n, s in zip(begin, block, shape, strict=True))
        inside = tuple(slice(p.stop - p.start) for p in place)
        out[place] = ids.reshape(block)[inside]
    return out
