"""What the pages show: the command takes their commands as they stand, their configs are some, their links lead somewhere."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from neuroadda.backbones.foreign import ForeignDraft
from neuroadda.cli import app
from neuroadda.config import list_faults
from neuroadda.flow import RunConfig

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))}
FENCED = re.compile(r"^( *)```([a-z]*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
SHELL = {"", "bash", "console", "sh"}
PART = "# part of a config"
COMMAND = typer.main.get_command(app)
VERBS = "|".join(COMMAND.commands)  # type: ignore[attr-defined] # a group


def find_commands(text: str) -> Iterator[str]:
    """Yield the commands of blocks of code, with what follows ``neuroadda``; of sessions, those after a prompt."""
    blocks = [(kind, body) for _, kind, body in FENCED.findall(text)]
    outside = FENCED.sub("", text)
    blocks += [("", line) for line in re.findall(r"^    (?! )(.*)$", outside, re.MULTILINE)]
    for kind, body in blocks:
        lines = body.replace("\\\n", " ").splitlines() if kind in SHELL else []
        for line in lines:
            if kind == "console" and not line.startswith("$ "):
                continue
            found = re.match(r"(?:\$ )?neuroadda (.*)", line) or re.search(rf"\sneuroadda ((?:{VERBS})\b.*)", line)
            if found:
                yield found[1]


def split(line: str) -> list[str]:
    """Return the words of a command, without those of what follows it on the line."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, "#"
    found = list(words)
    return found[: next((i for i, word in enumerate(found) if re.fullmatch(r"[|&;>]+", word)), len(found))]


def find_verb(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the first words name, and the words after them; raise KeyError for one that is not there."""
    found: Any = COMMAND
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        found, words = found.commands[words[0]], words[1:]
    return found, words


def fault_of(line: str) -> str:
    """Return what is wrong with a command, nothing if it is right."""
    try:
        verb, words = find_verb(split(line))
        verb.make_context(verb.name, words)
    except (KeyError, ValueError) as error:
        return f"{error!r}"
    except typer.Exit:  # --help, --version
        return ""
    except Exception as error:  # of click's, or of what Typer has of click
        return getattr(error, "format_message", error.__repr__)()
    return ""


@pytest.mark.parametrize(("line", "fault"), [
    ("segment a.zarr/raw --backbone x -o y  # and more", ""),
    ("evaluate run a.zarr/labels | tail -1", ""),
    ("zoo list", ""),
    ("--version", ""),
    ("frobnicate a", "KeyError('frobnicate')"),
    ("segment a.zarr/raw --backbones x", "No such option: --backbones"),
    ("import only-one", "Missing argument"),
    ("zoo list too many", "unexpected extra argument"),
])  # fmt: skip
def test_a_wrong_command_is_found(line, fault):
    assert (fault in fault_of(line)) if fault else fault_of(line) == ""


def test_commands_are_found():
    text = "```\nneuroadda info a\nx 1  neuroadda info b # c\nsrun neuroadda train \\\n  -c d\n```\n"
    text += "```console\n$ neuroadda info e\nneuroadda info told\n```\n```text\nneuroadda info f\n```\n\n    neuroadda info g\n"
    assert [" ".join(split(line)) for line in find_commands(text)] == [
        "info a", "info b", "train -c d", "info e", "info g",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_one(page):
    faults = [f"neuroadda {line}: {fault}" for line in find_commands(PAGES[page]) if (fault := fault_of(line))]
    assert faults == []


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_and_option_that_a_page_mentions_is_there(page):
    faults = []
    for said in re.findall(r"`neuroadda ([^`]+)`", FENCED.sub("", PAGES[page])):
        words = split(said)
        if words[0].isupper():  # COMMAND: any
            continue
        try:
            verb, words = find_verb(words)
        except KeyError as error:
            faults.append(f"neuroadda {said}: {error!r}")
            continue
        known = {"--help", *(option for one in verb.params for option in (*one.opts, *one.secondary_opts))}
        faults += [f"neuroadda {said}: {word}" for word in words if re.match(r"--?[a-z]", word) and word not in known]
    assert faults == []


def find_configs(text: str) -> Iterator[str]:
    yield from (body for _, kind, body in FENCED.findall(text) if kind == "toml")


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "```toml" in text])
def test_every_config_of_a_page_is_one(page):
    """Keys may be missing where the block says that it is part of a config; none is unknown or has a wrong value."""
    for text in find_configs(PAGES[page]):
        data = tomllib.loads(text)
        if "architecture" in data:  # the draft of a card
            faults = list_faults(ForeignDraft, data["architecture"], page)
        else:
            faults = list_faults(RunConfig, data, page)
        told = [str(one.error) for one in faults if not (one.is_missing and text.startswith(PART))]
        assert told == [], text


def test_the_pages_have_commands_and_configs():
    assert sum(len(list(find_commands(text))) for text in PAGES.values()) > 80
    assert sum(len(list(find_configs(text))) for text in PAGES.values()) >= 6


def list_anchors(text: str) -> set[str]:
    """Return the anchors that the repository's viewer gives the headings of a page."""
    headings = re.findall(r"^#+ (.+?) *$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere_in_the_repository(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", PAGES[page])):
        path, _, anchor = link.partition("#")
        if "://" in path or path.startswith("mailto:"):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        text = target.read_text() if target.suffix == ".md" and target.is_file() else ""
        if not target.exists() or (anchor and anchor not in list_anchors(text) and "<!-- generated" not in text):
            broken.append(link)
    assert broken == []
