"""What the public functions accept: paths as text or as `Path`, volumes also opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import to_location

StrPath = str | Path
VolumeLike = str | Path | Volume


def to_text(value: VolumeLike | None) -> str | None:
    """Return a path or URL as a config holds it.

    Raises
    ------
    UserError
        If it is something else, such as an array in memory.
    """
    if value is None or isinstance(value, str):
        return value
    return str(value.path if isinstance(value, Volume) else to_location(value))


def to_texts(value: StrPath | Sequence[StrPath] | None) -> str | list[str] | None:
    """Return a path, or several, as a config holds them."""
    if value is None or isinstance(value, str | Path):
        return to_text(value)
    return [str(to_text(one)) for one in value]


def to_volume(value: VolumeLike) -> Volume:
    """Return a volume, opened."""
    return value if isinstance(value, Volume) else Volume.open(value)


def name_training(given: str | None, output: StrPath | None) -> dict[str, Any]:
    """Return the name and domain of a training that is given none: those of its folder."""
    if given is not None or output is None:
        return {}
    name = Path(output).resolve().name
    return {"name": name, "domain": name}
