"""Text files that a user hands in."""

from pathlib import Path

from neuroadda.errors import UserError

MAX_TEXT_BYTES = 64 * 2**20


def read_text(path: Path, what: str) -> str:
    """Return the text of a file.

    Parameters
    ----------
    what
        What it is, such as "the config", for people.

    Raises
    ------
    UserError
        If it is missing, is no regular file (a device has no end), has more than 64 MiB or is not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{what} cannot be read: it is not a file", str(path))
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise UserError(f"{what} cannot be read: it has more than {MAX_TEXT_BYTES} bytes", str(path))
        return data.decode("utf-8")
    except (OSError, ValueError) as error:  # ValueError: also of a path with a null character
        if isinstance(error, UnicodeDecodeError):
            reason = "it is not UTF-8 text"
        else:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(f"{what} cannot be read: {reason}", str(path)) from error
