"""What every reader returns: a `Source`, which gives its shape, where it lies, and any box of its voxels."""

import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from neuroadda.config import Zyx, ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.locations import Location
from neuroadda.volumes.places import Answers

Box = tuple[slice, slice, slice]
BROKEN = (
    *(OSError, ValueError, RuntimeError, LookupError, TypeError, SyntaxError, EOFError, ArithmeticError),
    *(zlib.error, struct.error, tifffile.TiffFileError),
)


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
    """

    dataset: str | None = None
    labels: bool = False
    voxel_size_nm: ZyxFloat | None = None
    size_name: str = "the voxel size given"
    offset_nm: ZyxFloat | None = None
    answers: Answers = field(default_factory=Answers)

    def below(self, location: Location) -> Location:
        """Return the folder or URL of the dataset, which is a path below `location`."""
        return location if self.dataset is None else location / self.dataset.strip("/")


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
        What the source tells of itself (organism, modality, licence, ...).
    endless
        Boxes beyond `shape` can be read, too: what is not stored is 0.
    parts
        Boxes that together hold all voxels other than 0; None for the whole shape.
    notes
        What people should know of it, one sentence each.
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

    def __str__(self) -> str:
        return str(self.location) if self.dataset is None else f"{self.location}:{self.dataset}"

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
    """

    name: str
    recognises: Callable[[Location, Wanted], bool]
    open: Callable[[Location, Wanted], AbstractContextManager[Source]]
    has_datasets: bool = False
    has_lists: bool = False


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
