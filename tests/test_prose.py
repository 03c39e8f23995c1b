"""The prose of README, docs and sources, as far as a program can judge it: private words, long sentences, abbreviations."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from neuroadda.cli.main import app
from tests.pages import PAGES, ROOT, name

SOURCES = sorted((ROOT / "neuroadda").rglob("*.py"))
LONGEST_SENTENCE = 35  # words; a piece of code counts as one

# Words that are the project's own or out of use, and what to write.
PRIVATE = {
    r"crews?": "worker processes",
    r"hears? of": "is scheduled, is recorded",
    r"tell(s|ing)? of": "describes, reports",
    r"told of": "given",
    r"yours to": "needs your action",
    r"known for one": "joined again",
    r"are no (blocks|sections|neurons)": "are not ...",
    r"lest": "so that ... not",
    r"anew": "again",
    r"be had": "is available, can be read",
    r"be mended|mended": "repaired, fixed",
    r"vouch(es)?": "checks, guarantees",
    r"in earnest": "for real",
    r"at hand": "available",
    r"thereof|therein|hereby|whosoever": "of it, in it",
    r"in its stead|in his stead": "instead",
    r"the likes of": "such as",
    r"puts? right|put right": "repairs, corrects",
}
# Not used on pages, though a docstring may.
PRIVATE_ON_PAGES = {
    r"mends?": "fix, repair",
    r"whoever|whatever becomes": "who, anyone who",
    r"a person's hour": "labelling",
}

# Abbreviations that every reader knows, and names.
COMMON = """
AC3 AC4 AGPL AMD AMX API CATMAID CI CLI COSEM CPU CREMI CSV CUDA EPYC FFN GB GET GPL GPU HDF5 HEAD HTTP ID JPEG JSON LSD
LSF LZW MB MIT MONAI N5 NCCL NGFF NML NVIDIA OBJ OME OPTIONS PB PLY PNG PUT RGB RGBA S3 SIGINT SIGKILL SIGTERM SWC TB
TCP TIFF TLS TOML UNIX URL UTC WEBKNOSSOS XML
"""


def paragraphs(text: str) -> Iterator[str]:
    """Yield the running text of a page: paragraphs, items of lists and cells of tables, without code blocks and headings."""
    text = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        plain = line.strip()
        item = re.match(r"([-*]|\d+\.)\s+", plain)
        if (not plain or plain.startswith(("#", "|", "![")) or item or line.startswith("    ")) and lines:
            yield " ".join(lines)
            lines = []
        if plain.startswith("|"):
            yield from (cell.strip() for cell in plain.strip("|").split("|"))
        elif plain and not plain.startswith(("#", "![")) and not (line.startswith("    ") and not item):
            lines.append(plain[item.end() :] if item else plain)


def plain(paragraph: str) -> str:
    """Return a paragraph without markup; each piece of code is one word."""
    paragraph = re.sub(r"`[^`]*`", "code", paragraph)
    paragraph = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    return paragraph.replace("*", "")


def sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph."""
    return re.split(r"(?<=[.!?])[\"')]*\s+", plain(paragraph))


def find_words(text: str, words: dict[str, str]) -> list[str]:
    """Return each forbidden word of a text with what to write."""
    return [
        f"{found.group(0)!r}: write {right!r}"
        for word, right in words.items()
        for found in re.finditer(rf"\b(?:{word})\b", text, re.IGNORECASE)
    ]


def find_abbreviations(text: str) -> set[str]:
    """Return the words in capitals of a page's running text."""
    words = (word for paragraph in paragraphs(text) for word in re.findall(r"[\w.+-]+", plain(paragraph)))
    return {w.strip(".-+") for w in words if re.fullmatch(r"[A-Z][A-Z0-9]+", w.strip(".-+"))}


def test_the_checker_finds_what_it_looks_for() -> None:
    long = "Long: " + "word " * LONGEST_SENTENCE + "end."
    text = f"# A VERY\n\nShort `a. B` one. {long}\n\n| VOI | b |\n```\nXYZ crew\n```\n- an item\n  goes on"
    found = [sentence for paragraph in paragraphs(text) for sentence in sentences(paragraph)]
    assert found == ["Short code one.", long, "VOI", "b", "an item goes on"]
    assert len(long.split()) > LONGEST_SENTENCE
    assert find_abbreviations(text) == {"VOI"}
    assert find_words("A crew, made anew. Renewed.", PRIVATE) == [
        "'crew': write 'worker processes'",
        "'anew': write 'again'",
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_sentences_are_short(page: Path) -> None:
    long = [
        f"{len(sentence.split())} words: {sentence}"
        for paragraph in paragraphs(page.read_text())
        for sentence in sentences(paragraph)
        if len(sentence.split()) > LONGEST_SENTENCE
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_use_the_words_of_the_field(page: Path) -> None:
    text = " ".join(" ".join(paragraphs(page.read_text())).split())
    found = find_words(re.sub(r"`[^`]*`", "code", text), PRIVATE | PRIVATE_ON_PAGES)
    assert not found, "\n".join(found)


def test_help_texts_have_short_sentences() -> None:
    texts = list(list_help(typer.main.get_command(app)))
    assert len(texts) > 200
    long = [sentence for text in texts for sentence in sentences(text) if len(sentence.split()) > LONGEST_SENTENCE]
    assert not long, "\n".join(long)


def list_help(command: Any) -> Iterator[str]:
    """Yield the help of a command, of its options, and of the commands below it."""
    yield from (command.help or "").split("\n\n")
    yield from (option.help for option in command.params if getattr(option, "help", None))
    for below in getattr(command, "commands", {}).values():
        yield from list_help(below)


def test_docstrings_comments_and_messages_use_the_words_of_the_field() -> None:
    found = [f"{name(path)}: {word}" for path in SOURCES for word in find_words(path.read_text(), PRIVATE)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_abbreviations_are_common_or_in_the_glossary(page: Path) -> None:
    terms = " ".join(re.findall(r"^\| (.*?) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE))
    unknown = find_abbreviations(page.read_text()) - set(re.findall(r"\w+", COMMON + terms))
    assert not unknown, f"put into docs/glossary.md: {sorted(unknown)}"
