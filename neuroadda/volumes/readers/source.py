"""What every reader returns: a `Source`, which gives its shape, where it lies, and any box of its voxels."""

import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.geometry.places import Answers
from neuroadda.volumes.storage.locations import Location, leaves, to_name

Box = tuple[slice, slice, slice]
Contrast = Literal["as-seen", "as-stored"]
Gaps = Literal["close", "blank", "step"]
BROKEN = (
    *(OSError, ValueError, RuntimeError, LookupError, TypeError, SyntaxError, EOFError, ArithmeticError),
    *(zlib.error, struct.error, tifffile.TiffFileError),
)


@dataclass(frozen=True)
class AsSeen:
    """The voxels of a source whose stored values are not the grey values that viewers show.

    Attributes
    ----------
    stored, dtype
        Returns a box of grey values, and their type.
    what
        How they are stored.
    how
        What is done to get the grey values; None if they are shown in colours.
    """

    stored: Callable[[Box], np.ndarray]
    dtype: np.dtype[Any]
    what: str
    how: str | None


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a location that may hold several things.

    Attributes
    ----------
    dataset
        Name inside a file, path below a folder or URL, or a WEBKNOSSOS volume layer.
    labels
        Without a `dataset`, take labels rather than raw.
    voxel_size_nm
        zyx; of several scales take the one of this voxel size, by default the finest.
    size_name
        What `voxel_size_nm` is, for error messages.
    offset_nm
        zyx; of the data set's first voxel, where the source counts voxels from it (WEBKNOSSOS).
    answers
        What the user says of the source's place, and wins over what the source says.
    gaps
        What becomes of sections that are missing in a numbered series; None if it was not said.
    order
        In which order section files are, where it was said; see `neuroadda.volumes.readers.series`.
    """

    dataset: str | None = None
    labels: bool = False
    voxel_size_nm: ZyxFloat | None = None
    size_name: str = "the voxel size given"
    offset_nm: ZyxFloat | None = None
    answers: Answers = field(default_factory=Answers)
    gaps: Gaps | None = None
    order: str | None = None

    def below(self, location: Location) -> Location:
        """Return the folder or URL of the dataset, which is a path below `location`; raise UserError if it leads out of it."""
        if self.dataset is None:
            return location
        if leaves(name := to_name(self.dataset)):
            raise UserError(f"the dataset {self.dataset!r} is not in it", str(location), "give a path below it")
        return location / name if name else location


@dataclass(frozen=True)
class Source:
    """A volume in a foreign format.

    Attributes
    ----------
    location, dataset
        Where it lies; `dataset` is the name inside the file, if it has any.
    shape, dtype
        zyx, as stored.
    stored
        Returns a box of voxels, or fails as its library does.
    files
        What holds the voxels; empty at a URL.
    datasets
        The names of all there are, in an HDF5 file.
    voxel_size_nm, offset_nm
        zyx, where the source says.
    kind
        Where the source says.
    attributes
        What the source says about itself (organism, modality, licence, ...).
    endless
        Boxes beyond `shape` can be read, too: what is not stored is 0.
    parts
        Boxes that together hold all voxels other than 0; None for the whole shape.
    notes
        What people should know of it, one sentence each.
    as_seen
        The same voxels as grey values, the way a viewer shows them; None where they are stored so.
    changes
        What was done to the voxels that are stored.
    late_notes
        Returns further notes, after all boxes were read once; raises `UserError` if nothing was there.
    """

    location: Location
    shape: Zyx
    dtype: np.dtype[Any]
    stored: Callable[[Box], np.ndarray]
    files: tuple[Path, ...] = ()
    dataset: str | None = None
    datasets: tuple[str, ...] = ()
    voxel_size_nm: ZyxFloat | None = None
    offset_nm: ZyxFloat | None = None
    kind: Literal["raw", "labels"] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    endless: bool = False
    parts: tuple[Box, ...] | None = None
    notes: tuple[str, ...] = ()
    as_seen: "AsSeen | None" = None
    changes: tuple[str, ...] = ()
    late_notes: Callable[[], tuple[str, ...]] = tuple

    def __str__(self) -> str:
        return str(self.location) if self.dataset is None else f"{self.location}:{self.dataset}"

    def taken_as(self, kind: Literal["raw", "labels"], contrast: Contrast) -> "Source":
        """Return the source as raw, whose voxels are those that a viewer shows, or as labels, whose voxels are those stored.

        Raises
        ------
        UserError
            If raw is shown in colours.
        """
        if self.as_seen is None:
            return self
        what, how = self.as_seen.what, self.as_seen.how
        if kind == "labels" or contrast == "as-stored":
            return replace(self, notes=(*self.notes, f"{what}; the values are kept as stored"), as_seen=None)
        if how is None:
            right = "convert it to grey, or give --contrast as-stored to take the stored values, or --kind labels"
            raise UserError(what, str(self), right)
        notes = (*self.notes, f"{what}; raw is {how}, as viewers show it")
        return replace(
            self, stored=self.as_seen.stored, dtype=self.as_seen.dtype, notes=notes, as_seen=None, changes=(how,)
        )

    def read(self, box: Box, what: str | None = None) -> np.ndarray:
        """Return a box of voxels.

        Parameters
        ----------
        what
            What it is, for error messages; by default its sections.

        Raises
        ------
        UserError
            If they cannot be read.
        """
        try:
            return np.asarray(self.stored(box))
        except BROKEN as error:
            what = what or f"sections {box[0].start} to {box[0].stop - 1}"
            raise UserError(f"{what} cannot be read: {first_line(error)}", str(self)) from error


@dataclass(frozen=True)
class Format:
    """A format that can be read.

    Attributes
    ----------
    name
        For people.
    recognises
        Tells whether a location is of this format.
    open
        Opens the location; raises `UserError`, one line, for whatever is wrong with it.
    has_datasets
        There can be several volumes at one location.
    has_lists
        It gives voxel size and offset as lists of three, whose order of axes may have to be said.
    has_files
        It is a folder with a file for each section.
    """

    name: str
    recognises: Callable[[Location, Wanted], bool]
    open: Callable[[Location, Wanted], AbstractContextManager[Source]]
    has_datasets: bool = False
    has_lists: bool = False
    has_files: bool = False


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
