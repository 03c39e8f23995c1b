"""Tables for people: on a terminal, no cell is cut off."""

import io
import sys

import pytest

from neuroadda.cli.console import print_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("first", ["mouse_cortex_sssem", "/data/project/" + "long/" * 20 + "backbone"])
def test_a_narrow_terminal_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    row = {"name": first, "why": "tied with fly_larva_l1_sstem, " * 4, "licence": "non-commercial " * 9, "score": 0.5}
    print_table("sources", [row])
    lines = [line.split("│")[1:-1] for line in terminal.getvalue().splitlines() if line.startswith("│")]
    cells = ["".join("".join(line[column] for line in lines).split()) for column in range(len(row))]
    assert cells == ["".join(str(value).split()) for value in row.values()]
    assert (f" {first} " in terminal.getvalue()) == (len(first) < 80 // 3)
