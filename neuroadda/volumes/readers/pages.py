"""Stacks of images: pages of one shape, read by boxes."""

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.volumes.readers.looks import Look, describe_looks
from neuroadda.volumes.readers.source import AsSeen, Source

IN_MEMORY = 512 * 2**20


def layer_buffer(shape: Zyx, dtype: np.dtype[Any]) -> np.ndarray:
    """Return an array for a layer of pages: in memory, or in a nameless scratch file when it is larger than 512 MiB."""
    if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


@dataclass
class Stack(AbstractContextManager["Stack"]):
    """Pages of one shape, read by boxes; the pages of the last box are kept, so that each is decoded once.

    Attributes
    ----------
    shape, dtype
        zyx; as stored.
    page
        Decodes the page of an index.
    looks
        How each page is shown, or one for all.
    notes
        What people should know of it, one sentence each.
    orientation
        How some viewers turn or mirror its pages: the tag Orientation of a TIFF.
    """

    shape: Zyx
    dtype: np.dtype[Any]
    page: Callable[[int], np.ndarray]
    files: tuple[Path, ...]
    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None
    close: Callable[[], None] = lambda: None
    looks: tuple[Look, ...] = (Look(),)
    notes: tuple[str, ...] = ()
    orientation: int = 1
    _range: tuple[int, int] = (0, 0)
    _pages: np.ndarray | None = field(default=None, repr=False)

    def read(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        """Return a box of voxels."""
        z, y, x = box
        if (z.start, z.stop) != self._range or self._pages is None:
            self._pages = None  # never two layers at a time
            self._pages = layer_buffer((z.stop - z.start, *self.shape[1:]), self.dtype)
            for index in range(z.start, z.stop):
                page = self.page(index)
                if page.shape != self.shape[1:]:
                    raise ValueError(f"page {index} has shape {page.shape}, not {self.shape[1:]}")
                self._pages[index - z.start] = page
            self._range = (z.start, z.stop)
        return np.asarray(self._pages[:, y, x])

    def read_seen(self, box: tuple[slice, slice, slice]) -> np.ndarray:
        """Return a box of the grey values that a viewer shows."""
        pages = self.read(box)
        every = len(self.looks) == 1
        shown = [self.looks[0 if every else box[0].start + n].show(page) for n, page in enumerate(pages)]
        return np.stack(shown).astype(self._seen_dtype, copy=False)

    @property
    def _seen_dtype(self) -> np.dtype[Any]:
        return np.result_type(*{look.dtype or self.dtype for look in self.looks})

    def to_source(self, path: Path) -> Source:
        """Return the stack as a source."""
        what, how = describe_looks(self.looks)
        return Source(
            path,
            self.shape,
            self.dtype,
            self.read,
            files=self.files,
            voxel_size_nm=self.voxel_size_nm,
            offset_nm=self.offset_nm,
            notes=self.notes,
            as_seen=AsSeen(self.read_seen, self._seen_dtype, what, how) if what else None,
        )

    def __exit__(self, *exc: object) -> None:
        self._pages = None
        self.close()
