"""What the files of an array look like: from a listing, without opening one, and what is in them where that is not enough."""

import hashlib
import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from neuroadda.errors import UserError
from neuroadda.observing import track
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location
from neuroadda.volumes.storage.urls import ARRAY_METADATA, PIECE_BYTES, Url

DIGEST_BYTES = 4 * 2**30  # of files: of larger arrays only sizes and times are compared
CLOCK_NS = 2 * 10**9  # how coarse the clock of a file system may be
DIGEST_THREADS = 4
UNLISTED = ("http", "https")  # servers that answer for one file at a time
MOST_ASKED, ASK_THREADS = 1000, 16  # of their files: the same each time, spread over the array
METADATA_BYTES = 2**20
UNTOLD = (-1, "")
METADATA = (*ARRAY_METADATA, "attributes.json")


@dataclass(frozen=True, eq=False)
class Listing:
    """The files that hold an array's voxels, sorted by `name`.

    Attributes
    ----------
    name
        bytes: a file's path below the array.
    size
        int64: bytes.
    modified
        int64: when it was written (ns); at an object store what stands for its content, such as its ETag.
    status
        int64: when anything about it was changed last (ns); 0 at an object store.
    digest
        uint64: digest of its bytes, 0 where they were not read.
    taken
        When it was listed (ns).
    """

    name: np.ndarray
    size: np.ndarray
    modified: np.ndarray
    status: np.ndarray
    digest: np.ndarray
    taken: int

    def __len__(self) -> int:
        return len(self.name)

    @property
    def digested(self) -> bool:
        """Whether the bytes of every file are known."""
        return bool(self.digest.all())

    @cached_property
    def content(self) -> str:
        """What determines the voxels, as far as it is known: digests, or sizes and times."""
        data = hashlib.sha256()
        for column in (self.name, self.size, self.digest if self.digested else self.modified):
            data.update(np.ascontiguousarray(column).tobytes())
        return data.hexdigest()

    def count_changes(self, before: "Listing") -> int:
        """Return how many files are new, gone, or other than before."""
        here, there = _match(self.name, before.name)
        told_by = "digest" if self.digested and before.digested else "modified"
        differ = self.size[here] != before.size[there]
        differ |= getattr(self, told_by)[here] != getattr(before, told_by)[there]
        return int(differ.sum()) + len(self) + len(before) - 2 * len(here)


def list_files(volume: Volume) -> Listing | None:
    """List the files of an array; None where that cannot be done, as of a web server that does not list its files.

    A local listing takes about 5 microseconds a file, one at an object store a request a thousand files. A web server is asked for
    each chunk, `MOST_ASKED` of them at most.

    Raises
    ------
    UserError
        If a folder cannot be read, or the store cannot be reached.
    """
    taken = time.time_ns()
    if not isinstance(volume.path, Url):
        names, numbers = _walk(volume.path, volume.data.ndim)
    elif volume.path.url.partition("://")[0] not in UNLISTED:
        names, numbers = _list_url(volume.path)
    elif (found := _ask_server(volume.path)) is not None:
        names, numbers = found
    else:
        return None
    name = np.array([os.fsencode(name) for name in names], np.bytes_)
    order = np.argsort(name, kind="stable")
    size, modified, status = np.array(numbers, np.int64).reshape(-1, 3)[order].T
    return Listing(name[order], size, modified, status, np.zeros(len(order), np.uint64), taken)


def read_contents(now: Listing, before: Listing | None, path: Location) -> Listing:
    """Return a listing with the digests of its files; those that look as they did before are not read again.

    Of more than `DIGEST_BYTES`, and at an object store, no file is read.
    """
    if isinstance(path, Url) or int(now.size.sum()) > DIGEST_BYTES:
        return now
    digest = now.digest.copy()
    if before is not None:
        here, there = _match(now.name, before.name)
        # A file that changed at the moment of the listing may have changed again within the same tick of the clock.
        same = before.status[there] < before.taken - CLOCK_NS
        for field in ("size", "modified", "status"):
            same &= getattr(now, field)[here] == getattr(before, field)[there]
        digest[here[same]] = before.digest[there[same]]
    unread = np.flatnonzero(digest == 0)
    files = [path / os.fsdecode(name) for name in now.name[unread]]
    with ThreadPoolExecutor(DIGEST_THREADS) as threads:  # reading and digesting release the interpreter
        try:
            digests = threads.map(_digest_file, files)
            digest[unread] = [next(digests) for _ in track(f"looking for changes in {path}", files)]
        except BaseException:  # such as Ctrl-C, which is not to wait for the rest
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return replace(now, digest=digest)


def _match(here: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the names that are in both."""
    if np.array_equal(here, there):
        return np.arange(len(here)), np.arange(len(here))
    return np.intersect1d(here, there, assume_unique=True, return_indices=True)[1:]


def _digest_file(path: Path) -> int:
    data = hashlib.blake2b(digest_size=8)
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                data.update(piece)
    except FileNotFoundError:  # gone since it was listed
        return 1
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", str(path)) from error
    return max(1, int.from_bytes(data.digest(), "little"))


def _walk(root: Path, depth: int) -> tuple[list[str], list[int]]:
    """Return the names below an array, at most `depth` folders down, and size and times of each; hidden files are metadata."""
    names: list[str] = []
    numbers: list[int] = []
    folders = [("", depth)]
    while folders:
        prefix, depth = folders.pop()
        try:
            entries = os.scandir(root / prefix)
        except OSError as error:
            raise UserError(f"the folder cannot be read: {error.strerror}", str(root / prefix)) from error
        with entries:
            for entry in entries:
                if entry.name[0] == "." or entry.name in METADATA:
                    continue
                with suppress(FileNotFoundError):  # a temporary name that is gone
                    if not entry.is_dir():
                        stat = entry.stat()
                        names.append(prefix + entry.name)
                        numbers += stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
                    elif depth > 0:
                        folders.append((f"{prefix}{entry.name}/", depth - 1))
    return names, numbers


def _list_url(url: Url) -> tuple[list[str], list[int]]:
    names: list[str] = []
    numbers: list[int] = []
    for name, size, version in url.list_versions():
        base = name.rpartition("/")[2]
        if base[:1] != "." and base not in METADATA:
            names.append(name)
            numbers += size, _to_number(version), 0
    return names, numbers


def _ask_server(url: Url) -> tuple[list[str], list[int]] | None:
    """Return, of a zarr array (format 2) at a web server, what `_list_url` does; None of others, or if it does not tell."""
    try:
        meta = json.loads((url / ARRAY_METADATA[0]).read_at_most(METADATA_BYTES))
        counts = [-(-s // c) for s, c in zip(meta["shape"], meta["chunks"], strict=True)]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    total = math.prod(counts)
    asked = np.sort(np.random.default_rng(0).choice(total, min(total, MOST_ASKED), replace=False))
    places = np.stack(np.unravel_index(asked, counts), axis=-1).tolist()
    names = [meta.get("dimension_separator", ".").join(map(str, place)) for place in places]
    with ThreadPoolExecutor(ASK_THREADS) as threads:
        found = dict(zip(names, threads.map(lambda name: _ask_version(url / name), names), strict=True))
    if any(told == UNTOLD for told in found.values()):
        return None
    there = {name: told for name, told in found.items() if told is not None}
    return list(there), [n for size, version in there.values() for n in (size, _to_number(version), 0)]


def _ask_version(url: Url) -> tuple[int, str] | None:
    try:
        return url.ask_version() or UNTOLD
    except FileNotFoundError:  # a chunk that was never written
        return None


def _to_number(version: str) -> int:
    return int.from_bytes(hashlib.blake2b(version.encode(), digest_size=8).digest(), "little") >> 1
