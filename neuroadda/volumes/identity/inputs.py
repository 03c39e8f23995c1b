"""What results in a folder were made of, and whether it has been edited since.

An array's fingerprint says which array it is, and stays when its voxels are edited in place. So the folder keeps a listing of the
files of each input (``inputs/<name>.npz``), and the next run compares.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from neuroadda.config import fingerprint
from neuroadda.errors import UserError, warn
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.look import (
    Look,
    compare_places,
    describe_metadata,
    find_moved,
    find_place,
    is_of,
    say_changed,
)
from neuroadda.volumes.storage.listing import Listing, list_files, read_contents
from neuroadda.volumes.storage.nodes import is_array

INPUTS = "inputs"


def look_again(folder: Path, find: Callable[[str], str] = str) -> "Inputs":
    """Return the inputs that results in a folder were made of, those on this machine, as they look now.

    Parameters
    ----------
    find
        Returns where a place is now that was noted in the folder, which may have been moved.
    """
    inputs = Inputs(folder)
    for file in sorted((folder / INPUTS).glob("[!.]*.npz")):
        look = Look.load(file)
        if look is not None and look.fingerprint and is_array(Path(find(look.path))):
            inputs.look_again(file.stem, replace(look, path=find(look.path)))
    return inputs


class Inputs:
    """The inputs of what is made in a folder.

    Parameters
    ----------
    folder
        Of the results; ``inputs`` in it is read when an input is identified, and written by `keep`.
    trust
        Take inputs for unchanged, and do not list their files.
    """

    def __init__(self, folder: Path, *, trust: bool = False) -> None:
        self._folder, self._trust = folder / INPUTS, trust
        self._new: dict[str, tuple[Volume, Listing]] = {}
        self._known: dict[str, Look] = {}
        self._changes: dict[str, tuple[str, str]] = {}
        self._others: dict[str, tuple[str, str]] = {}
        self._elsewhere: dict[str, str] = {}

    @property
    def changed(self) -> bool:
        """Whether an input was edited since results were made of it."""
        return bool(self._changes)

    @property
    def edited(self) -> dict[str, str]:
        """Where the inputs lie that were edited since results were made of them, by name."""
        return {name: where for name, (where, _) in self._changes.items()}

    @property
    def replaced(self) -> dict[str, str]:
        """Where arrays of another fingerprint lie than the inputs that lay there, by name."""
        return {name: where for name, (where, _) in self._others.items()}

    @property
    def elsewhere(self) -> dict[str, str]:
        """Where the arrays lie that results were made of, and that are others than those identified now, by name."""
        return self._elsewhere

    def identify(self, name: str, volume: Volume) -> str:
        """Return what determines an input's content: its fingerprint and, once its voxels were edited, their content.

        An array that is copied, moved or touched has the same content where it is small enough to be read (`DIGEST_BYTES`).

        Parameters
        ----------
        name
            Of the input, such as ``raw``: letters, digits and ``_``.

        Raises
        ------
        UserError
            If its files cannot be listed.
        """
        if name in self._known and is_of(self._known[name], volume):
            return self._known[name].identity
        if name in self._new and self._new[name][0].fingerprint == volume.fingerprint:
            return volume.fingerprint  # listed once
        before = Look.load(self._folder / f"{name}.npz")
        if before is not None and not is_of(before, volume):
            if (moved := find_moved(before, volume)) is not None:
                self._known[name] = moved
                return moved.identity
            if before.path == str(volume.path.resolve()):
                what = compare_places(before, volume) or ["it was made again, or its attributes were edited"]
                self._others[name] = str(volume.path), say_changed(name, what, before)
            else:
                self._elsewhere[name] = before.path
            before = None  # of another array
        if self._trust:
            return volume.fingerprint if before is None else before.identity
        listing = list_files(volume)
        if listing is None:
            return volume.fingerprint
        if before is None:
            self._new[name] = volume, listing
            return volume.fingerprint
        self._known[name] = self._compare(name, volume, listing, before)
        return self._known[name].identity

    def note(self, name: str, path: Path, content: str, fingerprint: str = "") -> str:
        """Note an input that is no array, such as a backbone, and what determines its content.

        Parameters
        ----------
        fingerprint
            Of what has this content: that of before, if it has this fingerprint, is compared. By default, if it lay at `path`.

        Returns
        -------
        str
            The fingerprint and, once the content was another than that of first, the content; as `identify`.
        """
        none = np.zeros(0, np.int64)
        nothing = Listing(none.astype(np.bytes_), none, none, none, none.astype(np.uint64), time.time_ns())
        look = Look(str(path.resolve()), fingerprint, "", content, content, nothing)
        before = Look.load(self._folder / f"{name}.npz")
        same = before is not None and (before.fingerprint == fingerprint if fingerprint else before.path == look.path)
        if before is None or not same:
            before = look
        elif fingerprint:
            look = replace(look, first=before.first)
        if self._trust:
            return before.identity
        self._known[name] = look
        if before.content != content:
            self._changes[name] = str(path), say_changed(name, [], before)
        return look.identity

    def look_again(self, name: str, before: Look) -> None:
        """Identify an array that results were made of, where it lay then; one that cannot be opened any more was edited."""
        try:
            self.identify(name, Volume.open(before.path))
        except UserError as error:
            self._changes[name] = before.path, say_changed(name, [error.what], before)

    def warn(self, what: str, of_others: str | None = None) -> None:
        """Log a line for each input that was edited, with what comes of it.

        Parameters
        ----------
        of_others
            What comes of an array that lies where the input lay, and has another fingerprint; by default, nothing is logged of it.
        """
        for where, change in self._changes.values():
            warn(f"{change}: {what}", where)
        for where, change in self._others.values() if of_others else ():
            warn(f"{change}: {of_others}", where)

    @contextmanager
    def explain(self) -> Iterator[None]:
        """Add to a UserError of the block, which refuses results of other inputs, which arrays are others than the inputs were."""
        try:
            yield
        except UserError as error:
            told = "; ".join(f"{where}: {change}" for where, change in self._others.values())
            if not told:
                raise
            raise UserError(f"{error.what} ({told})", error.where, error.right) from error

    def keep(self, *, only: bool = False) -> None:
        """Keep how the inputs look: what is in the folder is made of these, or is about to be.

        Parameters
        ----------
        only
            Of these and no others: what is kept of others is removed.
        """
        self._known |= {name: Look.first_of(*new) for name, new in self._new.items()}
        self._new.clear()
        self._changes.clear()
        self._others.clear()
        for name, look in self._known.items():
            look.save(self._folder / f"{name}.npz")
        for file in self._folder.glob("*.npz") if only else ():
            if file.stem not in self._known:
                file.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Remove what is kept of an input."""
        (self._folder / f"{name}.npz").unlink(missing_ok=True)

    def accept(self) -> None:
        """Keep how edited inputs look, as if they had always looked so: what was made of them before goes with them."""
        for name, look in self._known.items():
            before = Look.load(self._folder / f"{name}.npz")
            if name in self._changes and before is not None:
                replace(look, content=before.content).save(self._folder / f"{name}.npz")

    def keep_unless_changed(self) -> None:
        """Keep how the inputs look, but not while there is something that was made of them before they were edited."""
        if not self.changed:
            self.keep()

    def _compare(self, name: str, volume: Volume, listing: Listing, before: Look) -> Look:
        path, metadata = str(volume.path.resolve()), describe_metadata(volume)
        listing = read_contents(listing, before.listing, volume.path)
        look = replace(before, path=path, metadata=metadata, listing=listing, place=find_place(volume))
        if before.path != path and not (listing.digested and before.listing.digested):
            return look  # a copy of the same fingerprint, too large for reading it
        changes = listing.count_changes(before.listing)
        if changes or metadata != before.metadata:
            what = [f"{changes} of {len(listing)} files"] if changes else []
            what += compare_places(before, volume)
            self._changes[name] = str(volume.path), say_changed(name, what or ["its metadata"], before)
            look = replace(look, content=fingerprint(metadata, listing.content))
        return look
