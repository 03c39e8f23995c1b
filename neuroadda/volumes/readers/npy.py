"""NumPy's .npy, without pickles; mapped into memory."""

import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from neuroadda.errors import UserError
from neuroadda.volumes.readers.source import BROKEN, Format, Source, Wanted, first_line
from neuroadda.volumes.storage.locations import Location


def _recognises(location: Location, wanted: Wanted) -> bool:
    return isinstance(location, Path) and location.suffix.lower() == ".npy" and location.exists()


@contextmanager
def _open(path: Location, wanted: Wanted) -> Iterator[Source]:
    assert isinstance(path, Path)
    try:
        with np.errstate(over="ignore"):  # of a shape that is absurd, which is an error anyway
            array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (tokenize.TokenError, *BROKEN) as error:
        raise UserError(f"the .npy file cannot be read: {first_line(error)}", str(path)) from error
    yield Source(path, array.shape, array.dtype, array.__getitem__, files=(path,))


FORMAT = Format(".npy", _recognises, _open)
