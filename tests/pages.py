"""What README and docs hold for a program: code blocks, commands, links."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import typer.main

from neuroadda.cli.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("reference/*.md"))]
"""What is written by hand; results are written by commands."""

EVERY = [*PAGES, *sorted(DOCS.glob("results/*.md")), *(path for path in sorted(ROOT.glob("*.md")) if path not in PAGES)]
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
COMMAND = typer.main.get_command(app)
VERBS = "|".join(COMMAND.commands)  # type: ignore[attr-defined] # of a group


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *kinds: str) -> Iterator[str]:
    """Yield the code blocks of these kinds ("" for one without a name), without their indent."""
    yield from find_blocks(page.read_text(), *kinds)


def find_blocks(text: str, *kinds: str) -> Iterator[str]:
    for indent, kind, body in BLOCK.findall(text):
        if kind in kinds:
            yield re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)
    if "" in kinds:  # lines that are indented by four
        yield from re.findall(r"^    (?! )(.*)$", BLOCK.sub("", text), re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every ``neuroadda`` command in a block of a page, without comments, pipes and what it is started by."""
    yield from find_commands(page.read_text())


def find_commands(text: str) -> Iterator[list[str]]:
    for kind in ("", "bash", "console"):
        for block in find_blocks(text, kind):
            for line in block.replace("\\\n", " ").splitlines():
                is_output = kind == "console" and not line.startswith("$ ")
                found = re.match(r"(?:\$ )?neuroadda (.*)", line) or re.search(rf"\sneuroadda ((?:{VERBS})\b.*)", line)
                if found and not is_output:
                    yield split(found[1])


def split(line: str) -> list[str]:
    """Return the words of a command, without those of what it is piped to."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, "#"
    found = list(words)
    return found[: next((i for i, word in enumerate(found) if re.fullmatch(r"[|&;>]+", word)), len(found))]


def inline_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every ``neuroadda`` command within the running text of a page."""
    text = BLOCK.sub("", page.read_text())
    for found in re.findall(r"`neuroadda ([^`]+)`", text):
        yield split(" ".join(found.split()))
