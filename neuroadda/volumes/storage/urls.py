"""A URL of a server or an object store, with the part of `pathlib.Path` that is needed here.

Not universal_pathlib's `UPath`, which shows credentials in its text and errors, raises whatever the file system raises, and moves
an array's metadata in any order.
"""

import base64
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from neuroadda import __version__
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

ATTRIBUTES = ".zattrs"
ARRAY_METADATA = (".zarray", "zarr.json")  # without one of them nothing is taken for an array
LAYERS = ("precomputed://", "zarr://", "zarr2://")  # as Neuroglancer writes the address of a layer
NO_BUCKET = "bucket does not exist"  # S3 reports it as a missing object, too
CHANGES = {"use_listings_cache": False}  # other processes write to the same location
WITH_LOGIN = ("http", "https", "ftp", "sftp", "ssh", "smb")  # schemes whose URLs name a user of the host
TIMEOUT_SECONDS = 60.0
PIECE_BYTES = 1 << 20
VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")


@dataclass(frozen=True)
class Url:
    """A URL such as ``s3://bucket/run.zarr/raw``.

    A URL with a user name, a password or a query is refused: endpoint and credentials come from the environment.
    `Url.with_credentials` accepts one, for locations that are only read. Every method raises `UserError`, one line without
    credentials, where the location cannot be reached.

    Attributes
    ----------
    url
        Without credentials, as it is shown.
    login, query
        What comes before ``@`` and after ``?``; used and never shown.
    """

    url: str
    login: str = field(default="", repr=False)
    query: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        scheme, _, rest = self.url.partition("://")
        if "::" in self.url or not rest.strip("/"):
            raise UserError("the URL makes no sense", f"{scheme}://...", "such as s3://bucket/volume.zarr/raw")
        if "@" in rest.partition("/")[0] or "?" in rest or (self.login and scheme not in WITH_LOGIN):
            right = "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; see docs/storage.md"
            raise UserError(
                "credentials do not belong into a URL: set them in the environment", f"{scheme}://...", right
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))

    @classmethod
    def with_credentials(cls, text: str) -> "Url":
        """Return the URL in a text that may hold credentials.

        Raises
        ------
        UserError
            If it is malformed, or a URL of its scheme holds no credentials.
        """
        scheme = text.partition("://")[0]
        if "::" in text:
            raise UserError("chained URLs are not read", f"{scheme.partition('::')[0]}::...")
        try:
            parts = urlsplit(text)
            login, _, host = parts.netloc.rpartition("@")
            if scheme in ("http", "https") and "@" in parts.path:
                raise ValueError("a password with a slash in it")
        except ValueError as error:
            raise UserError("the URL is malformed", f"{scheme}://...") from error
        return cls(f"{scheme}://{host}{parts.path}", login, parts.query)

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Url":
        return Url(f"{self.url}/{name.strip('/')}", self.login, self.query)

    @property
    def name(self) -> str:
        """The last part."""
        return posixpath.basename(self.url)

    @property
    def suffix(self) -> str:
        """Of the name, with its dot."""
        return posixpath.splitext(self.name)[1]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return posixpath.splitext(self.name)[0]

    @property
    def parents(self) -> "Sequence[Url]":
        """What it lies in, from the innermost to the bucket or host."""
        scheme, _, rest = self.url.partition("://")
        parts = rest.split("/")
        urls = [f"{scheme}://{'/'.join(parts[:n])}" for n in range(len(parts) - 1, 0, -1)]
        return [Url(url, self.login, self.query) for url in urls]

    @property
    def parent(self) -> "Url":
        """What it lies in; a bucket or host lies in itself."""
        return next(iter(self.parents), self)

    def with_name(self, name: str) -> "Url":
        """Return its neighbour of that name."""
        return self.parent / name

    def absolute(self) -> "Url":
        """Return itself."""
        return self

    def resolve(self) -> "Url":
        """Return itself."""
        return self

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: folders of an object store come with what is in them."""

    @cached_property
    def files(self) -> "AbstractFileSystem":
        """The file system that it lies in."""
        import fsspec

        with self._telling():
            return fsspec.core.url_to_fs(self._address, **CHANGES)[0]

    def exists(self) -> bool:
        """Tell whether something lies at it or below it."""
        return self._kind() is not None

    def is_file(self) -> bool:
        """Tell whether it is an object."""
        return self._kind() == "file"

    def is_dir(self) -> bool:
        """Tell whether something lies below it."""
        return self._kind() == "directory"

    def read_bytes(self) -> bytes:
        """Return its bytes; `FileNotFoundError` where there is nothing."""
        with self._telling():
            return bytes(self.files.cat_file(self.url))

    def read_at_most(self, limit: int) -> bytes:
        """Return its bytes; `FileNotFoundError` where there is nothing, `UserError` where it has more than `limit`."""
        data = b""
        for piece in self.stream():
            data += piece
            if len(data) > limit:
                raise UserError(f"the file has more than {limit} bytes", self.url)
        return data

    def stream(self) -> Iterator[bytes]:
        """Yield its bytes piece by piece; `FileNotFoundError` where there is nothing."""
        with self._telling(), self._open() as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return its text; `FileNotFoundError` where there is nothing."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes) -> None:
        """Write it whole or not at all."""
        with self._telling(writing=True):
            self.files.pipe_file(self.url, data)

    def iterdir(self) -> "Iterator[Url]":
        """Yield what lies directly in it."""
        with self._telling():
            names = self.files.ls(self.url, detail=False)
        return (self / posixpath.basename(name.rstrip("/")) for name in names)

    def list_sizes(self, below: bool = False) -> "Iterator[tuple[str, int]]":
        """Yield name and size of what lies directly in it, -1 for folders; with `below`, of all objects below it."""
        try:
            with self._telling():
                ls = self.files.find(self.url, detail=True).values() if below else self.files.ls(self.url, detail=True)
        except FileNotFoundError:
            return
        root = self.files._strip_protocol(self.url)
        for found in ls:
            name = found["name"].removeprefix(root).strip("/")
            yield name, -1 if found["type"] == "directory" else int(found["size"])

    def list_versions(self) -> "Iterator[tuple[str, int, str]]":
        """Yield name, size and what tells one content from another (ETag, checksum or time) of all objects below it."""
        with self._telling():
            found = self.files.find(self.url, detail=True)
        root = self.files._strip_protocol(self.url)
        for path, told in found.items():
            version = next((told[key] for key in VERSIONS if told.get(key) is not None), "")
            yield path.removeprefix(root).strip("/"), int(told["size"]), str(version)

    def ask_version(self) -> tuple[int, str] | None:
        """Return size and what tells one content from another (ETag or time), as a web server says without sending the bytes.

        None where it does not say; `FileNotFoundError` where there is nothing.
        """
        from urllib.error import HTTPError

        with self._telling():
            try:
                with self._open("HEAD") as answer:
                    told = answer.headers  # type: ignore[attr-defined]
            except HTTPError as error:
                if error.code == 403:  # of a store whose objects cannot be listed: missing
                    raise FileNotFoundError(str(error)) from error
                return None
        return int(told.get("Content-Length", -1)), str(told.get("ETag") or told.get("Last-Modified") or "")

    def rename(self, target: "Url") -> None:
        """Move an array: it is copied inside the store, the metadata that make it an array last, and then removed."""
        with self._telling(writing=True):
            root = self.files._strip_protocol(self.url)
            found = sorted(self.files.find(root), key=lambda name: (posixpath.basename(name) in ARRAY_METADATA, name))
            for name in found:
                self.files.cp_file(name, f"{self.files._strip_protocol(target.url)}{name.removeprefix(root)}")
        self.remove()

    def remove(self) -> None:
        """Remove it with all below it: the metadata that make it an array first, its attributes last."""
        with self._telling(writing=True):
            found = set(self.files.find(self.url)) if self.exists() else set()
            root = self.files._strip_protocol(self.url)
            first = {f"{root}/{name}" for name in ARRAY_METADATA}
            last = {f"{root}/{ATTRIBUTES}"}
            for names in (found & first, found - first - last, found & last):
                if names:
                    self.files.rm(sorted(names))

    def size(self) -> int:
        """Return the bytes below it."""
        with self._telling():
            return int(self.files.du(self.url))

    def _kind(self) -> str | None:
        try:
            with self._telling():
                return str(self.files.info(self.url)["type"])
        except FileNotFoundError:
            return None

    @property
    def _address(self) -> str:
        """The URL with its credentials."""
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{self.login}{'@' if self.login else ''}{rest}{'?' if self.query else ''}{self.query}"

    def _open(self, method: str = "GET") -> IO[bytes]:
        if not self.url.startswith(("http://", "https://")):
            opened: IO[bytes] = self.files.open(self.url, "rb")
            return opened
        import urllib.error
        import urllib.request  # not at the top: it takes time, and workers rarely need it

        # fsspec reads http with aiohttp, which only the extra s3 installs.
        address = f"{self.url}?{self.query}" if self.query else self.url
        request = urllib.request.Request(address, headers={"User-Agent": f"neuroadda/{__version__}"}, method=method)
        if self.login:
            token = base64.b64encode(unquote(self.login).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        try:
            answer: IO[bytes] = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise FileNotFoundError(str(error)) from error
            raise
        return answer

    @contextmanager
    def _telling(self, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # whatever an fsspec file system raises
            if isinstance(error, FileNotFoundError) and not writing and NO_BUCKET not in str(error):
                raise
            raise UserError(self._explain(error, "written" if writing else "read"), self.url) from error

    def _explain(self, error: BaseException, done: str) -> str:
        """Return in one line what a file system's error says, or only its type where the text might hold credentials."""
        secret = self.login or self.query
        line = type(error).__name__ if secret else " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ImportError):
            scheme = self.url.partition("://")[0]
            package = "neuroadda[s3]" if scheme in ("s3", "s3a", "http", "https") else "its fsspec package"
            return f"nothing that is installed reads {scheme}:// (pip install {package})"
        if isinstance(error, FileNotFoundError):
            return f"there is no such place ({line})"
        return f"it cannot be {done} ({line})"
