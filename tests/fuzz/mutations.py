"""Valid input made wrong in the ways that accidents and attackers do it, from a seed alone."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator

DEEP = 20_000
HUGE = (2**31, 2**63, 2**64, -(2**63), 10**30, -1, 0)
ODD_FLOATS = (float("nan"), float("inf"), float("-inf"), 1e308, -1e-320, 0.5)
ODD_TEXTS = (
    *("", " ", ".", "..", "\0", "a\nb\r\x1b[2J", "\u202egnp.\u0000", "ünï💥", "\ud800", "%s%n{0}", "nan", "1e999"),
    *("../outside", "../../../../outside/x", "/dev/null", "/proc/self/mem", "C:\\x", "file:///dev/null", "-rf"),
    *("http://127.0.0.1:9/x", "memory://x", "zip://x::memory://y", "mongodb://", "sqlite:///", "://", "a" * 70_000),
)


def pick(rng: Rng, options: Any) -> Any:
    """Return one of a sequence, as it is."""
    return options[int(rng.integers(len(options)))]


def odd_value(rng: Rng) -> Any:
    """Return a value that hardly anything expects."""
    nested: Any = 1
    for _ in range(int(pick(rng, (3, 50)))):
        nested = [nested] if rng.random() < 0.5 else {"a": nested}
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: pick(rng, HUGE),
        lambda: pick(rng, ODD_FLOATS),
        lambda: pick(rng, ODD_TEXTS),
        lambda: pick(rng, (None, True, False)),
        lambda: pick(rng, ([], {}, [[]], [0, 0, 0], [-1, 2**40, 0.5], ["a"] * 5000)),
        lambda: nested,
    )
    return pick(rng, kinds)()


def places(data: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) in nested lists and tables."""
    if not isinstance(data, dict | list):
        return []
    keys = list(data) if isinstance(data, dict) else range(len(data))
    return [place for key in keys for place in ((data, key), *places(data[key]))]


def mutate_data(rng: Rng, data: Any, keep: frozenset[str] = frozenset()) -> Any:
    """Return a copy of plain data with one to three wrong values, keys or shapes.

    Parameters
    ----------
    keep
        Keys whose values are only replaced by what is no number: a larger one asks for more work and is not wrong.
    """
    data = copy.deepcopy(data)
    for _ in range(int(pick(rng, (1, 1, 1, 2, 3)))):
        found = places(data)
        if not found:
            return odd_value(rng)
        container, key = pick(rng, found)
        _change(rng, container, key, key in keep)
    return data


def _change(rng: Rng, container: Any, key: Any, kept: bool) -> None:
    value, how = container[key], int(rng.integers(8))
    if kept:
        container[key] = pick(rng, ("a", -1, None, [], {}, 0.5, True))
    elif how == 0:
        del container[key]
    elif how == 1 and isinstance(container, dict):
        container[pick(rng, ("", "__class__", "öde", f"{key}s", "../x", "a" * 3000, "x\ny"))] = value
    elif how == 2 and isinstance(container, dict) and isinstance(key, str):
        container[key[:-1] + pick(rng, "xyz")] = container.pop(key)
    elif how == 3:
        container[key] = [value] if rng.random() < 0.5 else str(value)
    elif how == 4 and isinstance(value, list) and value:
        container[key] = value * int(pick(rng, (2, 300))) if rng.random() < 0.5 else value[:-1]
    elif how == 5 and isinstance(value, int | float) and not isinstance(value, bool):
        container[key] = pick(rng, (-value, value + 1, value * 1e6, float(value), value / 7))
    else:
        container[key] = odd_value(rng)


def mutate_bytes(rng: Rng, data: bytes) -> bytes:
    """Return bytes that are damaged: flipped, cut, blanked, doubled, grown; the beginning, where headers are, is favoured."""
    changed = bytearray(data)
    for _ in range(int(pick(rng, (1, 1, 2, 4)))):
        size = len(changed)
        at = int(rng.integers(min(size, int(pick(rng, (64, 512, max(size, 1))))) or 1)) if size else 0
        length = int(pick(rng, (1, 4, 8, 64)))
        how = int(rng.integers(7))
        if how == 0:
            for _ in range(length):
                if size:
                    changed[(at + int(rng.integers(64))) % size] ^= 1 << int(rng.integers(8))
        elif how == 1:
            del changed[at:]
        elif how == 2:
            changed[at : at + length] = bytes(len(changed[at : at + length]))
        elif how == 3:
            changed[at : at + length] = b"\xff" * len(changed[at : at + length])
        elif how == 4:
            changed[at:at] = rng.bytes(length)
        elif how == 5:
            changed[at:at] = changed[at : at + 256]
        else:
            del changed[at : at + length]
    return bytes(changed)


def mutate_text(rng: Rng, text: str) -> bytes:
    """Return text that is cut, recoded, repeated or holds what text of its kind does not hold."""
    at = int(rng.integers(len(text) + 1))
    odd = pick(
        rng, ("[" * DEEP, "(" * DEEP, '{"a":' * DEEP, "\0", "\ufeff", "\u2028", "'", '"', "\\", "9" * 6000, "💥", "#")
    )
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: text[:at].encode(),
        lambda: (text[:at] + odd + text[at:]).encode(),
        lambda: (odd + text).encode(),
        lambda: text.encode("utf-16"),
        lambda: (text + text).encode(),
        lambda: b"",
        lambda: mutate_bytes(rng, text.encode()),
        lambda: mutate_bytes(rng, text.encode()),
    )
    return pick(rng, ways)()


def write_json_text(rng: Rng, data: Any) -> str:
    """Return data as JSON, now and then with a key twice."""
    text = json.dumps(data, indent=1)
    if rng.random() < 0.1 and text.startswith("{\n") and isinstance(data, dict) and data:
        first = next(iter(data))
        text = "{" + json.dumps(first) + ":" + json.dumps(odd_value(rng)) + "," + text[1:]
    return text


def mutate_json(rng: Rng, data: Any, keep: frozenset[str] = frozenset()) -> bytes:
    """Return JSON that is wrong: more often in what it says than in how it is written."""
    if rng.random() < 0.7:
        return write_json_text(rng, mutate_data(rng, data, keep)).encode()
    return mutate_text(rng, json.dumps(data, indent=1))


def write_toml(data: Any) -> str:
    """Return plain data as TOML: a line for each key of the first level, inline tables below."""
    return "".join(f"{_toml(key)} = {_toml(value)}\n" for key, value in data.items() if value is not None)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value if v is not None) + "]"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=False).replace("\x7f", "?")
    return str(value).lower() if isinstance(value, bool | float) else str(value)


def mutate_toml(rng: Rng, data: Any, keep: frozenset[str] = frozenset()) -> bytes:
    """Return TOML that is wrong: more often in what it says than in how it is written."""
    if rng.random() < 0.75:
        text = write_toml(mutate_data(rng, data, keep))
        odd = pick(
            rng, ("", "", "", "", f"a = {'9' * 6000}\n", "a = 1979-05-27T07:32:00Z\n", "a.b.c = 1\na.b.c.d = 2\n")
        )
        return (odd + text).encode()
    return mutate_text(rng, write_toml(data))
