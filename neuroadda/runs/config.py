"""What a segmentation's run has decided, kept in ``config.json`` in its folder, with places that are found from everywhere."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from neuroadda.blockwise.outputs import read_key
from neuroadda.config import load_config_file, write_json
from neuroadda.errors import UserError
from neuroadda.runs.folder import CONFIG
from neuroadda.volumes.coverage.no_data_setting import AUTO, NONE
from neuroadda.volumes.identity.relocation import Relocation, to_absolute
from neuroadda.volumes.storage.locations import Location, to_location

PLACES = ("raw", "mask", "no_data", "backbone", "output", "volumes")
RESOLVED = "resolved"


def keep_config(folder: Path, described: Mapping[str, Any]) -> None:
    """Write what was asked for and decided, as `describe_decided` tells it; what was decided has absolute places."""
    write_json(folder / CONFIG, {**described, RESOLVED: with_places(described[RESOLVED], to_absolute)})


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return what the run in a folder has decided, each place where it is now; None where there is no run.

    Places in the folder are in it wherever it was moved to, and are named by the path that is given. Inputs are where they were,
    or where they are if they were moved together with the folder.

    Raises
    ------
    UserError
        If the file is malformed, or was written by an earlier version in another folder, with relative places.
    """
    resolved = _load(folder)
    if resolved is None:
        return None
    return with_places(resolved, _relocation(resolved, folder).find)


def find_relocation(folder: Path) -> Relocation:
    """Return where the folder of a run or an adaptation lay when it was at work, and where it lies.

    Where that is not known, it has stayed.
    """
    with suppress(UserError):
        resolved = _load(folder) or load_config_file(folder / CONFIG)
        if Path(str(resolved.get("output", ""))).is_absolute():
            return _relocation(resolved, folder)
    return Relocation(folder.absolute(), folder)


def refuse_gone(folder: Path, decided: Mapping[str, Any]) -> None:
    """Raise UserError if an input of a run that was moved is not there; it names both places where it was looked for."""
    relocation = find_relocation(folder)
    for name in ("raw", "mask", "no_data", "backbone"):
        for place in _list(decided.get(name)):
            location = to_location(place)
            if not relocation.moved or place in (AUTO, NONE) or not isinstance(location, Path) or location.exists():
                continue
            what = f"the {name} of the run {folder} is neither here nor at {relocation.beside(location)}"
            raise UserError(what, place, "the run was moved: move what it was made of, too, or back")


def refuse_copy(folder: Path) -> None:
    """Raise UserError if a run's folder is a copy of one that is still there: two that go on would share ledger or arrays."""
    relocation, resolved = find_relocation(folder), read_config(folder)
    if resolved is None or not relocation.moved or not (relocation.then / CONFIG).is_file():
        return
    volumes = relocation.then / "volumes.zarr" if resolved.get("volumes") is None else to_location(resolved["volumes"])
    if read_key(volumes / "affs") == read_key(find_arrays(folder, resolved) / "affs"):
        what = f"this run was to be in {relocation.then}, and is there; this is a copy"
        raise UserError(what, str(folder), "go on with that one, or segment with another output")


def find_arrays(folder: Path, decided: Mapping[str, Any] | None) -> Location:
    """Return where the arrays of a run lie, by what it has decided."""
    volumes = None if decided is None else decided.get("volumes")
    return folder / "volumes.zarr" if volumes is None else to_location(volumes)


def _load(folder: Path) -> dict[str, Any] | None:
    """Return what the run in a folder has decided, with absolute places."""
    file = folder / CONFIG
    resolved = load_config_file(file).get(RESOLVED) if file.is_file() else None
    if not isinstance(resolved, dict) or not isinstance(resolved.get("output"), str):
        return None
    output = Path(resolved["output"])
    if output.is_absolute():
        return resolved
    begun = _find_begun(output, folder)  # earlier versions kept places as they were given
    return with_places(resolved, lambda place: place if "://" in place else str(begun / place))


def _find_begun(output: Path, folder: Path) -> Path:
    """Return the folder where a run was started, whose output was given by a relative path."""
    if output.resolve() == folder.resolve():
        return Path.cwd()
    parts, own = Path(os.path.normpath(output)).parts, folder.resolve().parts
    if own[-len(parts) :] != parts:
        what, right = f"this run was to be in {output}", "start where it was started, or move it back"
        raise UserError(what, str(folder), right)
    return Path(*own[: -len(parts)])


def _relocation(resolved: Mapping[str, Any], folder: Path) -> Relocation:
    return Relocation(Path(resolved["output"]), folder)


def with_places(
    resolved: Mapping[str, Any], find: Callable[[str], str], names: Sequence[str] = PLACES
) -> dict[str, Any]:
    """Return what was decided, each of its places, which are under these names, as `find` tells it."""

    def each(value: Any) -> Any:
        return [find(place) for place in value] if isinstance(value, list | tuple) else find(value)

    places = {key: resolved[key] for key in names if resolved.get(key) not in (None, AUTO, NONE)}
    return {**resolved, **{key: each(value) for key, value in places.items()}}


def _list(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)
