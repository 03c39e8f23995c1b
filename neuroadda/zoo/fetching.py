"""Files from elsewhere, fetched into a cache: nothing is used before its size and digest are what they should be."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from neuroadda.config import Config
from neuroadda.errors import UserError
from neuroadda.volumes.storage.urls import Url

CACHE_VARIABLE = "NEUROADDA_CACHE"


class FileRecord(Config):
    """What a file must be: its sha256 (hex) and its size in bytes."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)

    @classmethod
    def of(cls, path: Path) -> "FileRecord":
        """Return the record of a file as it is."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(sha256=digest, size=file.tell())

    def check(self, found: "FileRecord", where: str) -> None:
        """Raise UserError if what was found in `where` is something else."""
        if found.size != self.size:
            raise UserError(f"the file has {found.size} bytes, its record says {self.size}", where, "it is damaged")
        if found.sha256 != self.sha256:
            what = f"the file's sha256 is {found.sha256[:12]}, its record says {self.sha256[:12]}"
            raise UserError(what, where, "it is damaged or was replaced")


def cache_folder() -> Path:
    """Return the folder that fetched files are kept in: NEUROADDA_CACHE, or ``~/.cache/neuroadda``."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache" / "neuroadda"


def fetch(source: Url, target: Path, expected: FileRecord) -> None:
    """Bring a file to `target`, which appears whole and verified or not at all.

    Any number of processes may fetch the same file at once.

    Raises
    ------
    UserError
        If it cannot be read, is not the file `expected`, or cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
        try:
            digest, size = hashlib.sha256(), 0
            with os.fdopen(handle, "wb") as file:
                for piece in _stream(source):
                    digest.update(piece)
                    size += len(piece)
                    if size > expected.size:
                        raise UserError(f"the file has more bytes than its record says ({expected.size})", str(source))
                    file.write(piece)
            expected.check(FileRecord(sha256=digest.hexdigest(), size=size), str(source))
            os.replace(partial, target)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        right = f"set {CACHE_VARIABLE} to a folder that can"
        raise UserError(f"the cache cannot be written: {error.strerror}", str(target.parent), right) from error


def _stream(source: Url) -> Iterator[bytes]:
    try:
        yield from source.stream()
    except FileNotFoundError as error:
        raise missing_file(source, error) from error


def missing_file(source: Url, error: FileNotFoundError) -> UserError:
    """Return what to raise for a file of a zoo that is not there."""
    return UserError(f"it cannot be read ({error})", str(source))
