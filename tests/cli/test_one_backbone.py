"""An option that takes one backbone refuses a second, which click would take alone in silence."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        (("tune", "RAW", "LABELS"), "--backbone"),
        (("adapt", "RAW"), "--backbone"),
        (("propose", "RAW"), "--backbone"),
        (("domains", "tree", "a=RAW"), "--backbone"),
        (("train", "RAW", "LABELS"), "--from"),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else None,
)
def test_a_second_backbone_is_refused(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, verb: tuple[str, ...], option: str
) -> None:
    name = verb[1] if verb[0] == "domains" else verb[0]
    output = tmp_path / "out"
    code, told, error = command(*verb, option, "a", option, "b", "-o", output)
    assert (code, told) == (2, "")
    assert error == f"neuroadda: {option}: {name} takes one backbone; it was given 2 times: a, b\n"
    assert not output.exists()
