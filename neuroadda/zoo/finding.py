"""A zoo: a folder of pretrained backbones, here or at a URL, read no further than its digests are right."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neuroadda.backbones.card import CARD, WEIGHTS, Card, load_card
from neuroadda.backbones.foreign import ForeignNetwork
from neuroadda.config import fingerprint, parse_config
from neuroadda.errors import UserError
from neuroadda.volumes.storage.urls import Url
from neuroadda.zoo.fetching import FileRecord, cache_folder, fetch, missing_file
from neuroadda.zoo.index import FILES, INDEX, Index, read_index

if TYPE_CHECKING:
    from neuroadda.backbones.checkpoint import Backbone

BUILTIN = "builtin"
TRAINED = "backbone"  # in the folder of a training or an adaptation
INDEX_LIMIT_BYTES = 1 << 24


@dataclass(frozen=True)
class Zoo:
    """A zoo that was opened.

    Attributes
    ----------
    root
        Where it is. Files at a `Url` come into the cache when they are needed.
    index
        What it holds.
    """

    root: Path | Url
    index: Index

    @property
    def where(self) -> str:
        """Its path or URL, without credentials."""
        return str(self.root)

    def names(self) -> list[str]:
        """Return the names of its entries, sorted."""
        return sorted(self.index.entries)

    def suggest(self, name: str) -> str:
        """Return what to give instead of a name that is no entry's: the nearest one, else all."""
        names = self.names()
        close = difflib.get_close_matches(name, names, n=1)
        return f"did you mean {close[0]!r}?" if close else f"the zoo has: {', '.join(names) or 'nothing'}"

    def files(self, name: str) -> Mapping[str, FileRecord]:
        """Return the records of an entry's files: card, weights and, if it has one, embedding.

        Raises
        ------
        UserError
            If there is no such entry.
        """
        if name not in self.index.entries:
            raise UserError(f"there is no {name!r} in the zoo", self.where, self.suggest(name))
        return {file: record for file, record in self.index.entries[name].items() if file in FILES}

    def card(self, name: str) -> Card:
        """Return the card of an entry.

        Raises
        ------
        UserError
            If there is no such entry, its card cannot be read, is malformed, or is another's.
        """
        path = self.file(name, CARD)
        card = load_card(path.parent)
        if card.domain != name:
            raise UserError(f"the card is of the domain {card.domain!r}", f"{self.where}/{name}/{CARD}")
        if card.digest != self.files(name)[WEIGHTS].sha256:
            what = f"the card is of other weights ({card.digest[:12] or 'none'}) than {INDEX} says"
            raise UserError(what, f"{self.where}/{name}/{CARD}")
        return card

    def folder(self, name: str) -> Path:
        """Return a local folder with the entry's files, all of them verified.

        Raises
        ------
        UserError
            If there is no such entry, a file cannot be read or is not the one that the index says, or there is one that it
            does not know.
        """
        paths = [self.file(name, file) for file in self.files(name)]
        folder = paths[0].parent
        for file in FILES:
            if (folder / file).exists() and folder / file not in paths:
                raise UserError(f"the file is not in {INDEX}, so its digest is not known", str(folder / file))
        return folder

    def backbone(self, name: str) -> "Backbone":
        """Load an entry's network, verified.

        Raises
        ------
        UserError
            As `card`, `folder` and `load_backbone` do.
        """
        from neuroadda.backbones.checkpoint import load_backbone  # takes torch, which lists and cards do without

        self.card(name)
        return load_backbone(self.folder(name))

    def file(self, name: str, file: str) -> Path:
        """Return the local path of an entry's file, verified.

        Raises
        ------
        UserError
            If it cannot be read or is not the one that the index says.
        """
        files = self.files(name)
        if file not in files:
            raise UserError(f"{name} has no {file}", self.where)
        if isinstance(self.root, Path):
            path = self.root / name / file
            if not path.is_file():
                raise UserError("the file is missing", str(path))
            files[file].check(FileRecord.of(path), str(path))
            return path
        entry = fingerprint({file: record.sha256 for file, record in files.items()})
        if file == WEIGHTS:
            self._refuse_code(name)
        path = cache_folder() / "zoo" / entry / file
        if not path.is_file() or FileRecord.of(path) != files[file]:
            fetch(self.root / f"{name}/{file}", path, files[file])
        return path

    def _refuse_code(self, name: str) -> None:
        """Raise UserError if an entry's card names code: of a zoo at a URL, none is run."""
        network = self.card(name).architecture
        if isinstance(network, ForeignNetwork) and network.names_module:
            what = f"the card names code ({network.implementation}), and none is run for a zoo at a URL"
            right = "copy the entry into a folder, look at it, and name the folder"
            raise UserError(what, f"{self.where}/{name}/{CARD}", right)


def open_zoo(where: str | Path | None = None) -> Zoo:
    """Open a zoo; of one at a URL, only its index is fetched now.

    Parameters
    ----------
    where
        A folder, an http(s) or fsspec URL, or None or "builtin" for the zoo that comes with the package.

    Raises
    ------
    UserError
        If there is none, or its index is malformed or names a path outside the zoo.
    """
    if where is not None and "://" in str(where):
        root = Url.with_credentials(str(where))
        index = root / INDEX
        try:
            data = json.loads(index.read_at_most(INDEX_LIMIT_BYTES))
        except FileNotFoundError as error:
            raise missing_file(index, error) from error
        except (ValueError, RecursionError) as error:
            raise UserError("the index is not JSON", str(index)) from error
        if not isinstance(data, dict):
            raise UserError("the index is not a table of keys", str(index))
        return Zoo(root, parse_config(Index, data, str(index)))
    folder = local_folder(where)
    if folder == builtin_folder() and not (folder / INDEX).is_file():
        return Zoo(folder, Index())
    if not folder.is_dir():
        raise UserError(
            "there is no such folder", str(folder), f"a zoo is a folder with {INDEX} and its entries, or a URL"
        )
    return Zoo(folder, read_index(folder))


def builtin_folder() -> Path:
    """Return the folder of the zoo that comes with the package."""
    return Path(__file__).parent / "data"


def local_folder(where: str | Path | None) -> Path:
    """Return the folder of a zoo that is not at a URL.

    Raises
    ------
    UserError
        If it is at a URL.
    """
    if where is None or str(where) == BUILTIN:
        return builtin_folder()
    if "://" in str(where):
        raise UserError("a zoo at a URL cannot be written", zoo_name(str(where)), "add to a folder and copy that there")
    return Path(where)


def zoo_name(where: str | None) -> str | None:
    """Return where a zoo is, without credentials."""
    return str(Url.with_credentials(where)) if where is not None and "://" in where else where


def find_backbone(backbone: str | Path, zoo: Zoo | str | Path | None = None) -> Path:
    """Return the local folder of a backbone, wherever one may be named: by an entry of a zoo, or by its folder.

    Parameters
    ----------
    backbone
        The name of an entry, or a folder: its own, or that of the training or adaptation that made it. A text without a slash that
        names both is taken for the entry; write ``./name`` for the folder.
    zoo
        Opened, or as `open_zoo` takes it; by default the zoo that comes with neuroadda.

    Raises
    ------
    UserError
        If it is neither, or a file of the entry cannot be read or is not the one that the zoo's index says.
    """
    folder = Path(backbone)
    if str(backbone) != folder.name:  # a path: no zoo is asked
        moved = builtin_folder() / folder.name
        # Configs and runs of earlier versions name the package's entries by where they were then.
        return moved if folder.parent == builtin_folder().parent and moved.is_dir() else _enter(folder)
    opened = zoo if isinstance(zoo, Zoo) else open_zoo(zoo)
    if folder.name in opened.names():
        return opened.folder(folder.name)
    if not folder.is_dir():
        what = f"{str(backbone)!r} is no entry of the zoo and no folder"
        raise UserError(what, opened.where, opened.suggest(folder.name))
    return _enter(folder)


def _enter(folder: Path) -> Path:
    """Return the folder of the backbone that a training or an adaptation has left in its folder; else the folder itself."""
    trained = folder / TRAINED
    return trained if (trained / CARD).is_file() and not (folder / CARD).exists() else folder
