"""What may be the folder of a run: nothing that is somebody else's is written over."""

from collections.abc import Set
from pathlib import Path

from neuroadda.config import load_config_file
from neuroadda.errors import UserError
from neuroadda.volumes.storage.nodes import is_array

CONFIG = "config.json"  # what a run notes of itself
OF_VOLUMES = (".zarray", ".zgroup", ".zattrs", "zarr.json", "attributes.json")
RIGHT = "give a folder of its own"


def check_run_folder(folder: Path, keys: Set[str] | None = None) -> None:
    """Refuse a folder that is something else than that of a run.

    Parameters
    ----------
    keys
        Those that the ``config.json`` of such a run has; None for a run without one.

    Raises
    ------
    UserError
        If it is a file, is or lies in an array or an N5 container, is the folder of a volume, or holds a ``config.json`` of
        something else. A folder of its own in a zarr group is allowed: no array there, nor the group's metadata, is written to.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError("the output cannot be written to: it is a file", str(folder), RIGHT)
    n5 = next((place for place in (folder, *folder.absolute().parents) if place.suffix.lower() == ".n5"), None)
    if n5 is not None:  # whose arrays are N5, so that zarr below it would not be read as such
        raise UserError(f"the output lies in an N5 container, {n5}", str(folder), RIGHT)
    array = next((place for place in (folder, *folder.absolute().parents) if is_array(place)), None)
    if array is not None:
        what = "the output is an array" if array == folder else f"the output lies in an array, {array}"
        raise UserError(what, str(folder), RIGHT)
    if any((folder / name).exists() for name in OF_VOLUMES):
        raise UserError("the output is the folder of a volume (zarr or N5)", str(folder), RIGHT)
    file = folder / CONFIG
    if keys is None or not file.exists():
        return
    try:
        known = set(load_config_file(file))
    except UserError:  # malformed, or no text
        known = set()
    if not keys <= known:
        raise UserError(
            "the config.json in the output is that of something else, and is not written over", str(file), RIGHT
        )
