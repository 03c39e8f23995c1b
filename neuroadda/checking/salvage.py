"""What of a config that is not valid can be looked at all the same: one fault must not hide the others."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic

from neuroadda.config import C, list_faults, list_required, parse_config
from neuroadda.errors import UserError

NOT_GIVEN = "<not given>"
"""Stands for a key that is missing, where text will do; what is found of it is not told."""

STAND_INS = (NOT_GIVEN, 1)
ROUNDS = 20
Place = tuple[int | str, ...]


@dataclass
class Salvaged(Generic[C]):
    """The part of a config that is valid.

    Attributes
    ----------
    config
        With the default, or `NOT_GIVEN`, for each key that is wrong, and without the sections that are not valid even so; None if
        nothing can be made of it.
    errors
        All that is wrong.
    broken
        Names of the sections in which something is.
    """

    config: C | None = None
    errors: list[UserError] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def salvage(model: type[C], data: Mapping[str, Any], where: str) -> Salvaged[C]:
    """Take what is wrong out of the data of a config, round by round, until the rest is valid."""
    rest, salvaged = copy.deepcopy(dict(data)), Salvaged[C]()
    tried: dict[Place, int] = {}  # what was done about a key: 0 is that it was taken out, then come the stand-ins
    for _ in range(ROUNDS):
        faults, before = list_faults(model, rest, where), dict(tried)
        if not faults:
            salvaged.config = parse_config(model, rest, where)
            break
        places = [_find_key(rest, fault.place) for fault in faults]
        for fault, place in zip(faults, places, strict=True):
            if place not in before:  # else it follows from what was done
                salvaged.errors.append(fault.error)
            if not place:
                return salvaged
            section = str(place[0])
            salvaged.broken.add(section)
            if section not in rest or tried.get(place) != before.get(place):
                continue  # gone, or another fault of the same key
            tried[place] = max(before.get(place, -1) + 1, int(fault.is_missing))
            if section not in model.model_fields:
                rest.pop(section)
                continue
            table, key = _enter(rest, place), place[-1]
            if tried[place] == 0 and place == (section,) and isinstance(rest[section], Mapping):
                needed = list_required(model, section)  # its keys do not go together
                rest[section] = {name: value for name, value in rest[section].items() if name in needed}
            elif tried[place] == 0:
                table.pop(key, None)
            elif tried[place] <= len(STAND_INS):
                table[key] = STAND_INS[tried[place] - 1]
            else:
                rest.pop(section)
    return salvaged


def _find_key(data: Any, fault: Place) -> Place:
    """Return the place of the innermost table's key on the way to a fault: an item of a list is no key."""
    innermost: Place = ()
    for depth, part in enumerate(fault):
        if isinstance(data, Mapping):
            innermost = fault[: depth + 1]
        try:
            data = data[part]
        except (LookupError, TypeError):
            break
    return innermost


def _enter(data: Any, place: Place) -> Any:
    for part in place[:-1]:
        data = data[part]
    return data
