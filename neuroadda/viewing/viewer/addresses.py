"""Addresses of volumes that another web server serves."""

from pathlib import Path
from urllib.parse import quote

from neuroadda.errors import UserError
from neuroadda.volumes.storage.locations import Location

ADDRESS = "%/:@[]?#&=+,;!$()*~"  # what an address is made of, and what is encoded in it already


def served_address(location: Location, root: Path, base_url: str) -> str:
    """Return the address of a folder below `root`, which is served at `base_url`; names are percent-encoded. A URL stays as it is.

    Raises
    ------
    UserError
        If it is not below `root`.
    """
    if not isinstance(location, Path):
        return str(location)
    try:
        place = location.resolve().relative_to(root.resolve()).as_posix()
    except ValueError as error:
        raise UserError(
            f"it is not below {root}, the folder that is served", str(location), "give another --root"
        ) from error
    return f"{quote(base_url.rstrip('/'), safe=ADDRESS)}/{quote(place)}"
