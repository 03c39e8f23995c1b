"""How an array looked: its files and attributes, kept in a file, and compared with how it looks now."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from neuroadda.config import fingerprint
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.places import describe_size
from neuroadda.volumes.storage.listing import Listing, list_files, read_contents
from neuroadda.wholefiles import replacing

COLUMNS = ("name", "size", "modified", "status", "digest")


@dataclass(frozen=True)
class Look:
    """How an input looked.

    Attributes
    ----------
    path, fingerprint
        Of the array.
    metadata
        What says how its files are read.
    first, content
        What determined the content when results were first made of it, and does now.
    listing
        Of its files.
    place
        Its voxel size and offset (nm, zyx), by attribute; empty in what earlier versions kept.
    moved_from
        Path that is in the fingerprint of an array of another program, which was moved since; else empty.
    """

    path: str
    fingerprint: str
    metadata: str
    first: str
    content: str
    listing: Listing
    place: Mapping[str, Sequence[float]] = field(default_factory=dict)
    moved_from: str = ""

    @property
    def identity(self) -> str:
        """Fingerprint of the array with its content: the array's own until its content changes."""
        return self.fingerprint if self.content == self.first else fingerprint("edited", self.fingerprint, self.content)

    @classmethod
    def first_of(cls, volume: Volume, listing: Listing) -> "Look":
        """Return the look of an array that nothing was made of before."""
        metadata, listing = describe_metadata(volume), read_contents(listing, None, volume.path)
        content = fingerprint(metadata, listing.content)
        path, place = str(volume.path.resolve()), find_place(volume)
        return cls(path, volume.fingerprint, metadata, content, content, listing, place)

    def save(self, file: Path) -> None:
        """Write it, whole or not at all."""
        about = {key: value for key, value in vars(self).items() if key != "listing"}
        columns = {column: getattr(self.listing, column) for column in COLUMNS}
        try:
            with replacing(file) as partial, partial.open("wb") as out:
                np.savez(out, about=np.array(json.dumps(about | {"taken": self.listing.taken})), **columns)
        except OSError as error:
            raise UserError(f"it cannot be written: {error.strerror}", str(file)) from error

    @classmethod
    def load(cls, file: Path) -> "Look | None":
        """Return what a file keeps; None where there is none that is whole."""
        try:
            with np.load(file) as data:
                about: dict[str, Any] = json.loads(str(data["about"]))
                name, size, modified, status, digest = (data[column] for column in COLUMNS)
                listing = Listing(name, size, modified, status, digest, about.pop("taken"))
                return cls(**about, listing=listing)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            return None


def read_content(volume: Volume) -> str:
    """Return what determines an array's content now, as far as its files tell; its fingerprint where they cannot be listed."""
    listing = list_files(volume)
    return volume.fingerprint if listing is None else Look.first_of(volume, listing).content


def is_of(look: Look, volume: Volume) -> bool:
    """Tell whether a look is of the array with this fingerprint, which may name the place where it lay before it was moved."""
    here = str(volume.path.resolve())
    place = look.moved_from if look.moved_from and look.path == here else here
    return look.fingerprint == volume.fingerprint_at(place)


def find_moved(before: Look, volume: Volume) -> Look | None:
    """Return how an array looks that was moved, and whose fingerprint names its place; None if it is another array.

    It has the same attributes, and files of the same bytes or, where these are too many to be read, of the same times.
    """
    place = before.moved_from or before.path
    if before.fingerprint != volume.fingerprint_at(place) or describe_metadata(volume) != before.metadata:
        return None
    if (listing := list_files(volume)) is None:
        return None
    listing = read_contents(listing, before.listing, volume.path)
    if listing.count_changes(before.listing):
        return None
    return replace(before, path=str(volume.path.resolve()), listing=listing, moved_from=place)


def say_changed(name: str, what: Sequence[str], before: Look) -> str:
    told = f" ({'; '.join(what)})" if what else ""
    return (
        f"{name} changed{told} since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(before.listing.taken / 1e9))}"
    )


def find_place(volume: Volume) -> dict[str, list[float]]:
    return {"voxel_size": list(volume.voxel_size_nm), "offset": list(volume.offset_nm)}


def compare_places(before: Look, volume: Volume) -> list[str]:
    """Return which attributes of an array's place are others than before, with both values."""
    pairs = ((key, before.place.get(key, now), now) for key, now in find_place(volume).items())
    return [f"its {key} was {describe_size(old)}, and is {describe_size(now)}" for key, old, now in pairs if old != now]


def describe_metadata(volume: Volume) -> str:
    data, place = volume.data, [list(volume.voxel_size_nm), list(volume.offset_nm)]
    return fingerprint(list(data.shape), list(data.chunks), str(volume.dtype), str(data.fill_value), place)
