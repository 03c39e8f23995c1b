"""Addresses of folders that another web server offers."""

from pathlib import Path
from urllib.parse import quote

from neuroadda.errors import UserError

ADDRESS = "%/:@[]?#&=+,;!$()*~"  # what an address is made of, and what is encoded in it already


def served_address(path: Path, root: Path, base_url: str) -> str:
    """Return the address of a folder below `root`, which is served at `base_url`; names are percent-encoded.

    Raises
    ------
    UserError
        If it is not below `root`.
    """
    try:
        place = path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise UserError(
            f"it is not below {root}, the folder that is served", str(path), "give another --root"
        ) from error
    return f"{quote(base_url.rstrip('/'), safe=ADDRESS)}/{quote(place)}"
