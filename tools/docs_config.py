"""The keys of every config as Markdown: type, unit, default, meaning; from the models and the Attributes of their docstrings."""

import inspect
import json
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from griffe import Docstring, DocstringSectionKind
from pydantic.fields import FieldInfo

import neuroadda
from neuroadda.config import Config, PathText, PublicConfig, dump_config
from neuroadda.domains.tree import TreeConfig

UNITS = {"_nm": "nm", "_vx": "voxels"}
"""What the name of a key ends in, and its unit. Where the name does not tell it, the docstring does: ``key : unit``."""

SINGLE: dict[str, type[Config]] = {
    "propose": neuroadda.ProposeConfig,
    "publish": neuroadda.PublishConfig,
    "phantom": neuroadda.PhantomConfig,
    "domains tree": TreeConfig,
}
"""The configs of single commands, which are in no config file."""


@dataclass(frozen=True)
class Table:
    """A table of keys: its place, such as ``segment.fragments``, and the model of its keys."""

    place: str
    model: type[Config]
    is_kind: bool = False  # of several that may stand there

    @property
    def anchor(self) -> str:
        """The name of its heading."""
        return f"{self.place}.{self.model.__name__}" if self.is_kind else self.place.replace(" ", "-")


def find_tables(model: type[Config], place: str = "") -> Iterator[Table]:
    """Yield the tables below a table, those of lists and all kinds too."""
    for name, field in model.model_fields.items():
        models = list(find_models(field.annotation))
        for one in models:
            table = Table(f"{place}.{name}".removeprefix("."), one, len(models) > 1)
            yield table
            yield from find_tables(one, table.place)


def find_models(annotation: Any) -> Iterator[type[Config]]:
    """Yield the models that a type mentions."""
    if inspect.isclass(annotation) and issubclass(annotation, Config):
        yield annotation
    for part in get_args(annotation):
        yield from find_models(part)


def choose_shown() -> list[Table]:
    """Return the tables of a config file whose keys are listed.

    A model is listed once, at its shortest place, and in `segment` rather than elsewhere; not at all if a subclass that is listed
    has all its keys.
    """
    tables = list(find_tables(neuroadda.RunConfig))
    homes: dict[type[Config], Table] = {}
    for table in sorted(tables, key=lambda table: (table.place.count("."), not table.place.startswith("segment"))):
        homes.setdefault(table.model, table)
    kept = {table for table in homes.values() if find_home(table.model, list(homes.values())) == table}
    return [table for table in tables if table in kept]


def find_home(model: type[Config], tables: list[Table]) -> Table:
    """Return the table that lists the keys of a model: its own, or that of a subclass at a shorter place."""
    able = [table for table in tables if issubclass(table.model, model)]
    return min(able, key=lambda table: (table.place.count("."), table.model is not model))


def write_tables() -> str:
    """Return the tables of a config file and their keys."""
    shown = choose_shown()
    parts = [(write_heading(table, f"`[{table.place}]`"), *list_keys(table.model, shown)) for table in shown]
    whole = (write_anchors(neuroadda.RunConfig), *list_keys(neuroadda.RunConfig, shown))
    return "\n".join(line for part in (whole, *parts) for line in part)


def write_single() -> str:
    """Return the keys of the configs of single commands."""
    shown, tables = choose_shown(), [Table(place, model) for place, model in SINGLE.items()]
    parts = [(write_heading(table, f"`neuroadda {table.place}`"), *list_keys(table.model, shown)) for table in tables]
    return "\n".join(line for part in parts for line in part)


def write_heading(table: Table, title: str) -> str:
    """Return the heading of a table, and what the model says of it."""
    level = "##" if "." not in table.place and table.place not in SINGLE else "###"
    kind = f" ({table.model.__name__})" if table.is_kind else ""
    told = inspect.cleandoc(table.model.__doc__ or "").split("\n\nAttributes\n")[0]
    name = list_names(table.model)[-1]
    return (
        f"\n{write_anchors(table.model)}\n{level} {title}{kind} {{ #{table.anchor} }}\n\n{told} In Python `{name}`.\n"
    )


def write_anchors(model: type[Config]) -> str:
    """Return the anchors of a model, which signatures in the Python reference link to."""
    return "\n".join(f"[](){{ #{name} }}" for name in list_names(model)) + "\n"


def list_names(model: type[Config]) -> list[str]:
    """Return the names of a model in Python: where it is defined and, of a public one, in `neuroadda`."""
    public = [f"neuroadda.{model.__name__}"] if model.__name__ in neuroadda.__all__ else []
    return [f"{model.__module__}.{model.__name__}", *public]


def list_keys(model: type[Config], shown: list[Table]) -> Iterator[str]:
    """Yield the lines of a table of keys."""
    yield "| key | type | unit | default | meaning |"
    yield "|---|---|---|---|---|"
    told = read_docstrings(model)
    for name, field in model.model_fields.items():
        unit, meaning = told.get(name, ("", ""))
        unit = unit or next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
        links = [link_table(one, shown) for one in find_models(field.annotation)]
        cells = (f"`{name}`", describe_type(field), unit, describe_default(field), " ".join([meaning, *links]).strip())
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def link_table(model: type[Config], shown: list[Table]) -> str:
    """Return where the keys of a nested table are listed."""
    home = find_home(model, shown)
    others = [f"`{name}`" for name in home.model.model_fields if name not in model.model_fields]
    without = f", without {', '.join(others)}" if others else ""
    kind = f" ({home.model.__name__})" if home.is_kind else ""
    return f"Keys: [`[{home.place}]`{kind}](#{home.anchor}){without}."


def read_docstrings(model: type[Config]) -> dict[str, tuple[str, str]]:
    """Return (unit, meaning) of each key, from the Attributes in the docstrings of a model and its bases."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(model.__mro__):
        if base in (Config, PublicConfig) or not issubclass(base, Config):
            continue
        text = Docstring(inspect.cleandoc(base.__doc__ or ""), parser="numpy")
        for section in text.parse(warnings=False):
            if section.kind is DocstringSectionKind.attributes:
                for item in section.value:
                    unit = "" if item.annotation is None else str(item.annotation)
                    meaning = re.sub(r"\s+", " ", item.description)
                    found |= {name.strip(): (unit, meaning) for name in item.name.split(",")}
    return found


def describe_default(field: FieldInfo) -> str:
    """Return the value of a key that is left out, as TOML has it; empty for None and for tables, whose keys have their own."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Config):
        value = value.model_dump(mode="json", exclude_unset=True) or None
    if isinstance(value, tuple):
        value = [dump_config(one) if isinstance(one, Config) else one for one in value]
    return "" if value is None else f"`{json.dumps(value)}`"


def describe_type(field: FieldInfo) -> str:
    """Return the type of a key in words, with its limits."""
    return name_type(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


def name_type(kind: Any, many: bool = False) -> str:
    """Return a type in words; `many`: of several values of it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        if parts[1:] == get_args(PathText)[1:]:
            return "paths" if many else "path"
        return "".join([name_type(parts[0], many), *map(describe_limits, parts[1:])])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(part)}`" for part in parts)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(name_type(part, many) for part in parts if part is not type(None)))
    if origin is tuple and parts[-1] is Ellipsis:
        return f"list{'s' * many} of {name_type(parts[0], many=True)}"
    if origin is tuple:
        return f"{'lists of ' * many}{len(parts)} {name_type(parts[0], many=True)}{' (zyx)' * (len(parts) == 3)}"
    if origin is dict or (inspect.isclass(kind) and issubclass(kind, Config)):
        return "tables" if many else "table"
    words = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path"}
    return words[kind] + "s" * (many and kind is not bool)


def describe_limits(told: Any) -> str:
    """Return the limits that an annotation sets to a value, such as ``, > 0``."""
    if isinstance(told, FieldInfo):
        return "".join(map(describe_limits, told.metadata))
    for name, sign in {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}.items():
        if getattr(told, name, None) is not None:
            return f", {sign} {getattr(told, name)}"
    return ""
