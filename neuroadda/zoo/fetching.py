"""Files from elsewhere, fetched into a cache: nothing is used before its size and digest are what they should be."""

import base64
import hashlib
import os
import posixpath
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import fsspec
from pydantic import Field

from neuroadda import __version__
from neuroadda.config import Config
from neuroadda.errors import UserError

CACHE_VARIABLE = "NEUROADDA_CACHE"
TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 1 << 20


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


class Remote:
    """A folder at an http(s) URL, or at one that fsspec knows (``s3://``, ``file://``, ``memory://`` ...).

    Parameters
    ----------
    url
        Of the folder. Credentials in it are used and never shown.

    Raises
    ------
    UserError
        If the URL makes no sense, or nothing that is installed can read it.
    """

    def __init__(self, url: str) -> None:
        if "::" in url:
            raise UserError("chained URLs are not read", url.partition("::")[0] + "::...")
        try:
            self._parts = urlsplit(url)
            host = self._parts.netloc.rpartition("@")[2]
            if self._parts.scheme in ("http", "https") and "@" in self._parts.path:
                raise ValueError("a password with a slash in it")
            self.name = urlunsplit((self._parts.scheme, host, self._parts.path.rstrip("/"), "", ""))
        except ValueError as error:
            raise UserError("the URL is malformed", url.partition("://")[0] + "://...") from error
        self._secret = self._parts.netloc != host or bool(self._parts.query)
        self._files: Any = None
        if self._parts.scheme not in ("http", "https"):
            try:
                self._files, self._root = fsspec.core.url_to_fs(url)
            except Exception as error:  # whatever an fsspec file system raises
                raise self._failed(error) from error

    def read(self, path: str, limit: int) -> bytes:
        """Return the file at `path` below the folder.

        Raises
        ------
        UserError
            If it cannot be read or has more than `limit` bytes.
        """
        data = b""
        for chunk in self._stream(path):
            data += chunk
            if len(data) > limit:
                raise UserError(f"the file has more than {limit} bytes", f"{self.name}/{path}")
        return data

    def fetch(self, path: str, target: Path, expected: FileRecord) -> None:
        """Bring the file at `path` to `target`, which appears whole and verified or not at all.

        Any number of processes may fetch the same file at once.

        Raises
        ------
        UserError
            If it cannot be read, is not the file `expected`, or cannot be written.
        """
        where = f"{self.name}/{path}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
            try:
                digest, size = hashlib.sha256(), 0
                with os.fdopen(handle, "wb") as file:
                    for chunk in self._stream(path):
                        digest.update(chunk)
                        size += len(chunk)
                        if size > expected.size:
                            raise UserError(f"the file has more bytes than its record says ({expected.size})", where)
                        file.write(chunk)
                expected.check(FileRecord(sha256=digest.hexdigest(), size=size), where)
                os.replace(partial, target)
            finally:
                Path(partial).unlink(missing_ok=True)
        except OSError as error:
            right = f"set {CACHE_VARIABLE} to a folder that can"
            raise UserError(f"the cache cannot be written: {error.strerror}", str(target.parent), right) from error

    def _stream(self, path: str) -> Iterator[bytes]:
        try:
            with self._open(path) as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except Exception as error:  # whatever an fsspec file system or a server's answer raises
            raise self._failed(error, path) from error

    def _open(self, path: str) -> IO[bytes]:
        if self._files is not None:
            opened: IO[bytes] = self._files.open(posixpath.join(self._root, path), "rb")
            return opened
        # fsspec reads http only with aiohttp, which nothing else here needs.
        user, at, host = self._parts.netloc.rpartition("@")
        url = urlunsplit((self._parts.scheme, host, f"{self._parts.path.rstrip('/')}/{path}", self._parts.query, ""))
        request = urllib.request.Request(url, headers={"User-Agent": f"neuroadda/{__version__}"})
        if at:
            token = base64.b64encode(unquote(user).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        answer: IO[bytes] = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
        return answer

    def _failed(self, error: Exception, path: str = "") -> UserError:
        told = type(error).__name__ if self._secret else str(error).partition("\n")[0] or type(error).__name__
        return UserError(f"it cannot be read ({told})", f"{self.name}/{path}".rstrip("/"))
