"""Write a file so that whoever reads it sees the old one or the new one, never half of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(file: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a hidden path beside a file, whose folder is made: it replaces the file when the block succeeds, else it is deleted.

    Parameters
    ----------
    shared
        Several processes may write the same content at once: each has a path of its own.
    """
    partial = file.with_name(f".{file.name}.{os.getpid() if shared else 'partial'}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(file)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # as of a full disk
            error.filename = str(file)
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
