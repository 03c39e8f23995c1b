"""README and docs are right: commands and options exist, configs are valid, links lead somewhere, stages have these names."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from neuroadda.backbones.foreign import ForeignDraft
from neuroadda.blockwise.task import STAGES
from neuroadda.config import list_faults
from neuroadda.flow import RunConfig
from tests.pages import BLOCK, COMMAND, EVERY, PAGES, ROOT, blocks, commands, find_commands, inline_commands, name

PART = "# part of a config"  # the first line of a block from which keys that are required may be missing


def find(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the first words name, and the other words."""
    command: Any = COMMAND
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def fault_of(words: list[str]) -> str:
    """Return what is wrong with a command: its name, an option, a value, too many words, too few; empty if nothing is."""
    command, rest = find(words)
    if hasattr(command, "commands") and not (rest and rest[0].startswith("--")):
        return "there is no such command"
    if rest in (["--install-completion"], ["--show-completion"]):  # to parse these is to do them
        return ""
    try:
        command.make_context("neuroadda", list(rest))
    except typer.Exit:  # --help, --version
        return ""
    except Exception as error:  # of click's, or of Typer's copy of click
        return str(getattr(error, "format_message", error.__repr__)())
    return ""


@pytest.mark.parametrize(("words", "fault"), [
    ("--version", ""),
    ("zoo list", ""),
    ("zoo add --help", ""),
    ("segment a --backbone b -o c", ""),
    ("run -c a -c b", ""),
    ("segmnt a", "no such command"),
    ("zoo", "no such command"),
    ("zoo lst", "no such command"),
    ("segment a --bakbone b", "No such option: --bakbone"),
    ("segment a --workers some", "--workers"),
    ("segment a --workers 0", "--workers"),
    ("mask", "Missing argument"),
    ("mask a b", "unexpected extra argument"),
])  # fmt: skip
def test_the_checker_finds_wrong_commands(words: str, fault: str) -> None:
    found = fault_of(words.split())
    assert fault in found if fault else found == ""


def test_the_checker_finds_commands() -> None:
    text = "```\nneuroadda info a | tail -1\nx 1  neuroadda info b # c\nsrun neuroadda train \\\n  -c d\n```\n"
    text += "```console\n$ neuroadda info e\nneuroadda info told\n```\n```text\nneuroadda info f\n```\n\n    neuroadda info g\n"
    assert {" ".join(words) for words in find_commands(text)} == {"info a", "info b", "train -c d", "info e", "info g"}
    assert sum(len(list(commands(page))) for page in EVERY) > 80


@pytest.mark.parametrize("page", EVERY, ids=name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    wrong = {" ".join(words): fault_of(words) for words in commands(page)}
    assert not {line: fault for line, fault in wrong.items() if fault}


@pytest.mark.parametrize("page", EVERY, ids=name)
def test_every_command_that_the_text_names_exists(page: Path) -> None:
    wrong = []
    for words in inline_commands(page):
        command, rest = find(words)
        if command is COMMAND and rest[0].isupper():  # COMMAND: any of them
            continue
        options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in {*options, "--help"}]
        if unknown or (command is COMMAND and not rest[0].startswith("--")):
            wrong.append(f"neuroadda {' '.join(words)}: {unknown}")
    assert not wrong


@pytest.mark.parametrize("page", EVERY, ids=name)
def test_every_config_of_a_page_is_valid(page: Path) -> None:
    for text in blocks(page, "toml"):
        data = tomllib.loads(text)
        if "architecture" in data:  # the draft of a card
            faults = list_faults(ForeignDraft, data["architecture"], name(page))
        else:
            faults = list_faults(RunConfig, data, name(page))
        wrong = [str(fault.error) for fault in faults if not (fault.is_missing and text.startswith(PART))]
        assert not wrong, text


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", EVERY, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """In the repository; `test_site` has the links of the site, also those to anchors that are generated."""
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", page.read_text())):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert target.is_relative_to(ROOT), link
            assert not anchor or target.parent.name == "reference" or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_stages_have_the_names_of_today(page: Path) -> None:
    names = "|".join({*STAGES} - {"agglomerate"})
    for text in blocks(page, "", "console"):
        table = re.search(r"^stage\tblocks\t.*\n((?:\S+\t.*\n)+)", text, re.MULTILINE)
        shown = re.findall(r"^(\S+): \d+/\d+ blocks", text, re.MULTILINE)
        shown += re.findall(r"^(\S+)\t", table.group(1), re.MULTILINE) if table else []
        assert not [one for one in shown if not re.fullmatch(rf"(?:{names}|agglomerate-\d+)", one)]


def test_the_page_on_clusters_shows_the_config_that_comes_along() -> None:
    assert (ROOT / "configs/machines/slurm.toml").read_text() in (ROOT / "docs/cluster.md").read_text()
