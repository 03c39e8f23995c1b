"""Strict configuration: TOML or JSON in, frozen pydantic models out, and the fingerprints made of them."""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from neuroadda.errors import UserError, join_errors
from neuroadda.faults import Fault, explain_faults, is_model
from neuroadda.textfiles import read_text
from neuroadda.wholefiles import replacing

MALFORMED = (ValueError, RecursionError)  # of JSON and TOML: also a number of thousands of digits, and a nest too deep

Zyx = tuple[int, int, int]
ZyxFloat = tuple[float, float, float]


def _to_text(value: Any) -> Any:
    if value == "":
        raise ValueError("the path is empty")
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText = Annotated[str, BeforeValidator(_to_text)]
"""A path or a URL, kept as text; scripts may give a `Path`. None is empty, which would be the current folder."""

FolderPath = Annotated[Path, BeforeValidator(_to_text)]
"""A path; it is not empty either."""


def _to_texts(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        value = [value]
    texts = tuple(map(_to_text, value))
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ValueError("Input should be a text, or a list of texts (at least one)")
    return texts[0] if len(texts) == 1 else texts


PathTexts = Annotated[str | tuple[str, ...], BeforeValidator(_to_texts)]
"""A `PathText`, or several; a list of one is that one."""


class Config(BaseModel):
    """Base of every stage's parameters: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _PublicType(type(BaseModel)):  # type: ignore[misc]
    """Makes configs whose errors are a `UserError`; the parts of a config are not made in this way."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as error:
            raise join_errors([fault.error for fault in explain_faults(error, cls, cls.__name__)]) from error


if TYPE_CHECKING:  # type checkers know of models by the metaclass of pydantic alone

    class PublicConfig(Config):
        """Base of the configs that scripts make: one that is wrong raises `UserError`."""

else:

    class PublicConfig(Config, metaclass=_PublicType):
        """Base of the configs that scripts make: one that is wrong raises `UserError`."""


C = TypeVar("C", bound=Config)


def load_config_file(path: str | Path) -> dict[str, Any]:
    """Read a TOML (or JSON) file into plain data.

    Raises
    ------
    UserError
        If the file is missing or malformed.
    """
    path = Path(path)
    text = read_text(path, "the config")
    try:
        data = json.loads(text, object_pairs_hook=_table) if path.suffix == ".json" else tomllib.loads(text)
    except MALFORMED as error:
        raise UserError(f"the config is malformed: {error}", str(path), "see configs/ for examples") from error
    if not isinstance(data, dict):
        raise UserError("the config is not a table of keys", str(path), "see configs/ for examples")
    return data


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object, none of which may be said twice, as in TOML."""
    table = dict(pairs)
    if len(table) < len(pairs):
        repeated = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"key {repeated!r} is there twice")
    return table


def lay_over(first: Mapping[str, Any], *others: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables of keys over the first: of a key in several, the last counts, but tables become one."""
    result = dict(first)
    for other in others:
        for key, value in other.items():
            both = isinstance(result.get(key), Mapping) and isinstance(value, Mapping)
            result[key] = lay_over(result[key], value) if both else value
    return result


def apply_overrides(data: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Set dotted keys (``a.b=1``; values in TOML syntax, bare words are strings) in a copy of `data`.

    Raises
    ------
    UserError
        If an override has no ``=`` or goes through something that is not a table.
    """
    result: dict[str, Any] = json.loads(json.dumps(data, default=str))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise UserError(f"{override!r} is not an override", "--set", "write --set key.subkey=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except MALFORMED:
            value = text
        *parents, last = key.strip().split(".")
        table = result
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise UserError(f"{parent!r} is not a table", f"--set {key}")
        table[last] = value
    return result


def parse_config(model: type[C], data: Mapping[str, Any], where: str) -> C:
    """Validate plain data as `model`, strictly.

    Raises
    ------
    UserError
        One line for all that is wrong; an unknown key names its nearest neighbour.
    """
    try:
        return model.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        raise join_errors([fault.error for fault in explain_faults(error, model, where)]) from error


def list_faults(model: type[C], data: Mapping[str, Any], where: str) -> list[Fault]:
    """Return all that is wrong with plain data as `model`."""
    try:
        model.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        return explain_faults(error, model, where)
    return []


def list_required(model: type[Config], section: str) -> set[str]:
    """Return the keys that a section must have."""
    annotation = model.model_fields[section].annotation
    found = next((part for part in (annotation, *getattr(annotation, "__args__", ())) if is_model(part)), None)
    return set() if found is None else {name for name, field in found.model_fields.items() if field.is_required()}


def configure(model: type[C], config: C | None, where: str, given: Mapping[str, Any]) -> C:
    """Return a config, its keys in `given` laid over it; a value of None, at any depth, is not given.

    Raises
    ------
    UserError
        As `parse_config`, such as for a key that is neither in `config` nor in `given`.
    """
    before = {} if config is None else config.model_dump(mode="json", exclude_unset=True)
    return parse_config(model, lay_over(before, without_none(given)), where)


def without_none(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table without the keys, at any depth, that are None, and without the tables that are then empty."""
    tables = {key: without_none(value) if isinstance(value, Mapping) else value for key, value in given.items()}
    return {
        key: value
        for key, value in tables.items()
        if value is not None and not (isinstance(value, Mapping) and not value)
    }


def dump_config(config: BaseModel) -> dict[str, Any]:
    """Return the config as plain JSON data."""
    return config.model_dump(mode="json")


def fingerprint(*parts: Any) -> str:
    """Return the sha256 (hex) of JSON-like parts, independent of key order and white space."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, data: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    with replacing(path) as partial:
        partial.write_bytes(dump_json(data))


def dump_json(data: Any) -> bytes:
    """Return the content of a JSON file."""
    return (json.dumps(data, indent=2, allow_nan=False) + "\n").encode()


def write_toml(path: Path, data: Mapping[str, Any], comment: str) -> None:
    """Write tables of plain data as TOML, below a comment of one line, as `write_json` does; keys of None are left out."""
    lines = [f"# {comment}", *_toml_lines(data, ())]
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _toml_lines(table: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    values = {key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)}
    if values:
        yield from ("", f"[{'.'.join(above)}]") if above else ()
        yield from (f"{key} = {json.dumps(value)}" for key, value in values.items())
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _toml_lines(value, (*above, key))
