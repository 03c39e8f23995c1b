"""Which file an address below a served folder means: one in that folder, or none."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
ZIPPED = ".gz"  # a suffix that cloud-volume gives to files that it zips, which are asked for without


@dataclass(frozen=True)
class Mount:
    """A folder that is served.

    Attributes
    ----------
    root
        Resolved; nothing outside it is found, whatever links lie in it.
    levels
        Names right below `root` that stand for other resolved folders, each confined as `root` is.
    """

    root: Path
    levels: Mapping[str, Path] = field(default_factory=dict)

    def open(self, address: str) -> tuple[BinaryIO, bool] | None:
        """Open the file that a path of an address, percent-encoded and relative, means.

        Returns
        -------
        BinaryIO, bool
            The file, and whether it is zipped and was asked for without its ``.gz``; None where there is no file, it lies
            elsewhere, or it is none that is made of bytes, such as a folder or a pipe.
        """
        names = [unquote(part, errors="surrogateescape") for part in address.split("/")]
        if any(name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name for name in names):
            return None
        root = self.levels.get(names[0])
        inside = names if root is None else names[1:]
        root = root or self.root
        for suffix in ("", ZIPPED):
            if inside and (file := _open_inside(root, "/".join(inside) + suffix)) is not None:
                return file, bool(suffix)
        return None


def _open_inside(root: Path, name: str) -> BinaryIO | None:
    try:
        path = (root / name).resolve(strict=True)
        if not path.is_relative_to(root):
            return None
        # It is resolved: a link now, or a pipe, which would wait for a writer, was put there since.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError, RuntimeError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last that a ``Range`` asks for; all of them where it is no single range of bytes.

    Parameters
    ----------
    size
        Of the file.

    Returns
    -------
    tuple[int, int] or None
        None where the range lies outside.
    """
    found = RANGE.fullmatch((header or "").strip())
    if found is None or found[0] == "bytes=-":
        return 0, size
    first, last = found.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    if last and int(last) < int(first):
        return 0, size  # malformed: as if there was none
    return (int(first), min(size, int(last) + 1) if last else size) if int(first) < size else None
