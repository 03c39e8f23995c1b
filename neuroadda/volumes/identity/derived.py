"""What was made of an array that a run wrote: pyramids, exports, reports. None of it is left to be taken for that of another array.

Beside the array, ``.derived/<array>/<digest>`` keeps where each lies and how the array looked then.
"""

import json
import shlex
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from neuroadda.config import fingerprint, write_json
from neuroadda.errors import UserError, warn
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.inputs import Inputs, look_again
from neuroadda.volumes.identity.relocation import Relocation
from neuroadda.volumes.storage.locations import Location, remove_at_once
from neuroadda.volumes.storage.nodes import is_array, read_attributes

FOLDER, RECORD = ".derived", "made.json"
PYRAMID_RUN = ".run"  # folder of a pyramid's run, in the pyramid

Kind = Literal["view", "page", "copy"]
"""A view shows the array itself, such as a pyramid that links to it; a page describes it; a copy has its voxels."""


@dataclass(frozen=True)
class Derived:
    """One thing that was made of an array.

    Attributes
    ----------
    path
        Where it lies.
    fingerprint, instance
        Of the array then.
    array
        Where the array lay then; empty in what earlier versions kept.
    again, of
        The command that makes it again, with ``{of}`` for what it is made of, `of`, and ``{made}`` or ``{folder}`` for `path` or
        the folder above it; or empty.
    """

    path: str
    kind: Kind
    fingerprint: str
    instance: str
    array: str = ""
    again: str = ""
    of: str = ""

    def relocate(self, now: Path) -> Relocation:
        """Return how the array was moved that lies here now."""
        return Relocation(Path(self.array) if self.array else now, now)

    def describe_again(self) -> str:
        """Return what makes it again."""
        if not self.again:
            return "repeat it"
        made = Path(self.path)
        places = {"of": self.of, "made": str(made), "folder": str(made.parent)}
        command = self.again.format(**{name: shlex.quote(place) for name, place in places.items()})
        return f"`{command}` makes it again"

    def find(self, now: Path) -> Path:
        """Return where it lies, by where the array lies now; what was made of an array is not that of its copy."""
        relocation = self.relocate(now)
        if relocation.moved and is_array(relocation.then):
            return relocation.beside(Path(self.path))
        return Path(relocation.find(self.path))


@contextmanager
def deriving(
    volume: Volume, made: Path, kind: Kind, also: Sequence[Volume] = (), again: str = "", of: Path | None = None
) -> Iterator[None]:
    """Note that the block makes something of a volume, if it succeeds; of an array of a run, in a folder of this machine.

    Parameters
    ----------
    also
        What else it is made of, such as the labels that a report scores by.
    again, of
        See `Derived`; by default `of` is the volume.
    """
    array, attrs = volume.path.resolve(), volume.attrs
    if not isinstance(array, Path) or "instance" not in attrs:
        yield
        return
    path = str(made.resolve())
    folder = array.parent / FOLDER / array.name / fingerprint(path)[:16]
    inputs, read = Inputs(folder), {"volume": volume} | {f"also_{number}": one for number, one in enumerate(also)}
    for name, one in read.items():
        inputs.identify(name, one)
    yield
    try:
        inputs.keep(only=True)
        known = attrs["fingerprint"], attrs["instance"], str(array), again, str(array if of is None else of.resolve())
        write_json(folder / RECORD, vars(Derived(path, kind, *known)))
        for other, derived in list(_list_derived(array)):
            if derived.path == path and other != folder:  # of the same, before both were moved
                remove_at_once(other)
    except (OSError, UserError):
        warn("it cannot be noted what was made of this array, so that nothing will tell when it is stale", str(array))


def retire(array: Location) -> list[Path]:
    """Say what an array that is about to be replaced leaves behind: pages are named as stale, views are removed and returned."""
    removed = list_views(array)
    remove_views(array, removed)
    for view in removed:
        warn(f"removed, since {array} is made again: make it again", str(view))
    for folder, derived in list(_list_derived(array)):
        made = Path(derived.path)
        if derived.kind == "page":
            made.replace(stale := made.with_name(f"{made.stem}_stale{made.suffix}"))
            remove_at_once(folder)
            warn(f"it describes {array} as it was, which is made again; now named {stale.name}", str(made))
        else:
            warn(f"it was made of {array} as it was, which is made again: {derived.describe_again()}", str(made))
    return removed


def list_views(array: Location) -> list[Path]:
    """Return the views of an array that are there."""
    return [Path(derived.path) for _, derived in _list_derived(array) if derived.kind == "view"]


def list_copies(array: Location, name: str) -> list[Path]:
    """Return the copies of an array that are there and have that name, such as ``precomputed`` of a published folder."""
    found = [Path(derived.path) for _, derived in _list_derived(array) if derived.kind == "copy"]
    return [path for path in found if path.name == name]


def remove_views(array: Location, views: Container[Path]) -> None:
    """Remove views of an array, and what is kept of them."""
    for folder, derived in list(_list_derived(array)):
        if derived.kind == "view" and Path(derived.path) in views:
            remove_at_once(Path(derived.path))
            remove_at_once(folder)


def find_stale(array: Location) -> dict[str, str]:
    """Return what was made of an array as it is no longer: paths, and why."""
    found = {}
    for folder, derived in _list_derived(array):
        assert isinstance(array, Path)
        attrs, find = read_attributes(array), derived.relocate(array.resolve()).find
        if attrs.get("fingerprint") != derived.fingerprint:
            found[derived.path] = f"{array} was made again since{_tell(derived)}"
        elif attrs.get("instance") == derived.instance and is_array(array):
            inputs, levels = look_again(folder, find), look_again(Path(derived.path) / PYRAMID_RUN, find)
            if edited := inputs.edited | inputs.replaced | levels.edited:
                found[derived.path] = f"{', '.join(edited.values())} was edited since{_tell(derived)}"
    return found


def _tell(derived: Derived) -> str:
    return f": {derived.describe_again()}" if derived.again else ""


def _list_derived(array: Location) -> Iterator[tuple[Path, Derived]]:
    """Yield the record's folder and what it is of, where that still exists."""
    if not isinstance(array, Path):
        return
    array = array.resolve()
    for record in sorted((array.parent / FOLDER / array.name).glob(f"*/{RECORD}")):
        try:
            derived = Derived(**json.loads(record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        find = derived.relocate(array).find
        derived = replace(derived, path=str(derived.find(array)), of=find(derived.of) if derived.of else "")
        if Path(derived.path).exists():
            yield record.parent, derived
