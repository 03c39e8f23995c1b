"""A folder that may have been moved: where the places are now that were noted in it."""

import os
from dataclasses import dataclass
from pathlib import Path

from neuroadda.volumes.storage.locations import to_location


def to_absolute(place: str) -> str:
    """Return a path that holds in whatever folder it is read; a URL as it is."""
    location = to_location(place)
    if not isinstance(location, Path):
        return place
    # Only where it has to be: a link that a user has named stays as it is named.
    return str(location.resolve() if ".." in location.parts else location.absolute())


@dataclass(frozen=True)
class Relocation:
    """Where a folder lay when places were noted in it, and where it lies now.

    Attributes
    ----------
    then
        An absolute path.
    now
        As it is given, so that what lies in it is named by it.
    """

    then: Path
    now: Path

    @property
    def moved(self) -> bool:
        """Whether it was moved, or copied."""
        return self.then.resolve() != self.now.resolve()

    def find(self, place: str) -> str:
        """Return where a place is now.

        What lay in the folder was moved with it. Anything else stayed where it was; if nothing is there any more, it may have been
        moved together with the folder: then its path relative to the folder is the same.
        """
        location = to_location(place)
        if not isinstance(location, Path):
            return place
        if self.then in (location, *location.parents):
            return str(self.now / location.relative_to(self.then))
        beside = self.beside(location)
        return str(location if location.exists() or not beside.exists() else beside)

    def beside(self, place: Path) -> Path:
        """Return where a place would be that was moved with the folder and does not lie in it."""
        return Path(os.path.normpath(self.now.absolute() / os.path.relpath(place, self.then)))
