"""What pydantic finds wrong with a config, told in a line each."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from neuroadda.errors import UserError

TAG = "="  # begins the name of a kind of section, where a section may be of several; no key begins so


@dataclass(frozen=True)
class Fault:
    """What is wrong with plain data: where in it, the error, and whether a key is missing there."""

    place: tuple[int | str, ...]
    error: UserError
    is_missing: bool

    def is_set_by(self, overrides: Iterable[str]) -> bool:
        """Whether one of some overrides (``a.b=1``) set what is wrong, or a part of it."""
        keys = (tuple(override.partition("=")[0].strip().split(".")) for override in overrides)
        return any(key[: len(self.place)] == self.place[: len(key)] for key in keys)


def raise_together(*checks: Callable[[], object]) -> None:
    """Raise one ValueError for all that checks raise: for validators of a config whose keys contradict each other in many ways."""
    told = []
    for check in checks:
        try:
            check()
        except ValueError as error:
            told.append(str(error))
    if told:
        raise ValueError("; ".join(told))


def explain_faults(error: ValidationError, model: type[BaseModel], where: str) -> list[Fault]:
    """Return all that pydantic has found wrong with a model, in the order of its keys."""
    found = _list_found(error)
    # What holds something wrong is not told to be wrong itself: pydantic counts a list without such items.
    above = {one["loc"][:depth] for one in found for depth in range(len(one["loc"]))}
    kept = [one for one in found if one["loc"] not in above]
    return [Fault(one["loc"], _explain(one, model, where), one["type"] == "missing") for one in kept]


def _list_found(error: ValidationError) -> list[dict[str, Any]]:
    """Return what pydantic found; where a list of fixed length is too short, one fault of the list for all the items it lacks."""
    found: list[dict[str, Any]] = []
    for told in error.errors():
        one: dict[str, Any] = {**told}
        if one["type"] == "missing" and isinstance(one["loc"][-1], int):
            place, count = one["loc"][:-1], one["loc"][-1] + 1  # of the last one that is missing: the length
            if found and found[-1]["loc"] == place:
                found.pop()
            values = "3 values (zyx)" if count == 3 else f"{count} values"
            one |= {"type": "too_short", "loc": place, "msg": f"{values} are needed, not {one['input']}"}
        found.append(one)
    return found


def _explain(fault: Mapping[str, Any], model: type[BaseModel], where: str) -> UserError:
    path = [str(part) for part in fault["loc"]]
    key = ".".join(part for part in path if not part.startswith(TAG)) or "the config"
    if fault["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, path[:-1]))
        near = difflib.get_close_matches(path[-1], known, n=1)
        parents = [part for part in path[:-1] if not part.startswith(TAG)]
        right = f"did you mean {'.'.join([*parents, near[0]])!r}?" if near else f"known keys: {', '.join(known)}"
        return UserError(f"unknown key {key!r}", where, right)
    if fault["type"] == "missing":
        return UserError(f"key {key!r} is missing", where)
    given = fault.get("input")
    shown = "" if isinstance(given, dict) else f", not {given!r}"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return UserError(
        f"{key} should be {message}{shown}" if "Input should be" in fault["msg"] else f"{key}: {message}", where
    )


def _keys_at(model: type[BaseModel], path: list[str]) -> set[str]:
    tags = {part.removeprefix(TAG) for part in path if part.startswith(TAG)}
    for part in (part for part in path if not part.startswith(TAG)):
        field = model.model_fields.get(part)
        annotation = field.annotation if field else None
        options = (annotation, *getattr(annotation, "__args__", ()))
        nested = [a for a in (getattr(option, "__origin__", option) for option in options) if is_model(a)]
        nested.sort(key=lambda one: one.__name__ not in tags)
        if not nested:
            return set(model.model_fields)
        model = nested[0]
    return set(model.model_fields)


def is_model(annotation: Any) -> bool:
    """Tell whether an annotation is a model itself."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
