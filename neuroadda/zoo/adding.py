"""Putting backbones into a local zoo."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from neuroadda.backbones.card import CARD, WEIGHTS, Card
from neuroadda.backbones.checkpoint import Backbone, load_backbone, save_backbone
from neuroadda.config import dump_config, write_json
from neuroadda.errors import UserError, warn
from neuroadda.locks import lock_folder
from neuroadda.zoo.embeddings import Embeddings, NetworkRole, save_embeddings
from neuroadda.zoo.fetching import FileRecord
from neuroadda.zoo.finding import builtin_folder, find_backbone, local_folder
from neuroadda.zoo.index import EMBEDDING, FILES, INDEX, Index, check_name, read_index
from neuroadda.zoo.verifying import PROVENANCE, check_embedding, check_finite, check_provenance

Embed = Callable[[Mapping[NetworkRole, Backbone]], Embeddings]


def add_backbone(
    folder: Path | str,
    zoo: Path | str,
    *,
    half: bool = True,
    overwrite: bool = False,
    embed: Embed | None = None,
    reference: str | None = None,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Copy a trained backbone, and its embedding if it has one, into a local zoo as the entry named by its domain.

    The entry appears whole or not at all; the zoo is made if there is none.

    Parameters
    ----------
    folder
        With card.json, weights.safetensors and maybe embedding.safetensors; or whatever `find_backbone` takes, such as the name of
        an entry of the zoo that comes with neuroadda.
    zoo
        A folder, or "builtin" for the zoo that comes with neuroadda.
    half
        Store the weights as float16.
    overwrite
        Replace an entry of that name.
    embed
        Embeds the volumes that it was trained on, by each of the networks "own" (the backbone as it is stored) and "reference",
        such as `neuroadda.domains.embedding.embed_volumes` does. The result becomes the entry's embedding, by which it can be
        ranked; an embedding in `folder` is not copied then.
    reference
        Entry (it may be the new one) that all entries are embedded by, too.
    facts
        What the card does not say: `organism` and `modality`; `licence` and `citation` of the samples that have none. `domain`
        replaces the card's. The card in `folder` stays as it is.

    Returns
    -------
    Path
        Of the entry.

    Raises
    ------
    UserError
        If the backbone cannot be loaded, its card lacks provenance, its domain is no name for an entry, its embedding
        is of other weights (as when `half` changes them: give `embed`), the entry exists, a volume cannot be embedded, or the
        zoo is at a URL or cannot be written.
    """
    folder, root = find_backbone(folder), local_folder(zoo)
    backbone = load_backbone(folder)
    card = _complete(backbone.card, facts)
    check_provenance(card, str(folder / CARD))
    try:
        name = check_name(card.domain)
    except ValueError as error:
        right = "it becomes the name of the entry: give another one (--domain)"
        raise UserError(f"domain: {error}", str(folder / CARD), right) from error
    with _changing(root):
        new = not (root / INDEX).is_file()
        index = Index() if new else read_index(root)
        entry, partial, old = root / name, root / f".{name}.partial", root / f".{name}.old"
        if not overwrite and (name in index.entries or entry.exists()):
            raise UserError(f"the zoo has an entry {name!r} already", str(root), "--overwrite replaces it")
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            card = save_backbone(partial, backbone.model, card, half=half)
            check_finite(load_backbone(partial))
            if embed is not None:
                own = load_backbone(partial)
                networks: dict[NetworkRole, Backbone] = {"own": own}
                if reference is not None:
                    networks["reference"] = own if reference == name else load_backbone(root / reference)
                save_embeddings(partial, embed(networks))
                check_embedding(partial, card)
            elif (folder / EMBEDDING).is_file():
                shutil.copyfile(folder / EMBEDDING, partial / EMBEDDING)
                check_embedding(partial, card)
            entries = dict(index.entries) | {name: _records(partial)}
            if entry.exists():
                entry.rename(old)
            partial.rename(entry)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if old.exists() and not entry.exists():
                old.rename(entry)
        _write(root, Index(entries=entries))
        shutil.rmtree(old, ignore_errors=True)
    if new and root != builtin_folder():
        right = (
            "to rank the backbones that come with neuroadda, too, add them by name: neuroadda zoo add NAME --zoo ZOO"
        )
        warn(f"this zoo is new and ranks {name} alone; {right}", str(root))
    return entry


def write_index(zoo: Path | str) -> Index:
    """Write ``zoo.json`` from the files that a local zoo has now, with the digests of all of them.

    For a zoo whose entries were made or changed by other means than `add_backbone`.

    Raises
    ------
    UserError
        If there is no such folder, or an entry has no card or no weights.
    """
    root = local_folder(zoo)
    if not root.is_dir():
        raise UserError("there is no such folder", str(root))
    with _changing(root):
        entries = {path.parent.name: _records(path.parent) for path in sorted(root.glob(f"[!.]*/{CARD}"))}
        for name, files in entries.items():
            if WEIGHTS not in files:
                raise UserError(f"there is no {WEIGHTS} here", str(root / name))
        index = Index(entries=entries)
        _write(root, index)
    return index


def _complete(card: Card, facts: Mapping[str, str]) -> Card:
    own = {key: facts[key] for key in ("organism", "modality") if key in facts and not getattr(card, key).strip()}
    domain = facts.get("domain", card.domain)
    of_samples = {key: facts[key] for key in PROVENANCE if key in facts}
    if of_samples:
        of_samples.setdefault("name", domain)
    samples = tuple(
        sample | {key: value for key, value in of_samples.items() if not str(sample.get(key) or "").strip()}
        for sample in card.training_data
    )
    return card.model_copy(update={**own, "domain": domain, "training_data": samples})


def _records(entry: Path) -> dict[str, FileRecord]:
    return {file: FileRecord.of(entry / file) for file in FILES if (entry / file).is_file()}


def _write(root: Path, index: Index) -> None:
    data = dump_config(index)
    write_json(root / INDEX, data | {"entries": dict(sorted(data["entries"].items()))})


@contextmanager
def _changing(root: Path) -> Iterator[None]:
    """Keep other processes from changing the zoo meanwhile: none may lose another's entry from the index."""
    try:
        with lock_folder(root, wait=True):
            yield
    except OSError as error:
        raise UserError(f"the zoo cannot be written: {error.strerror}", str(root)) from error
