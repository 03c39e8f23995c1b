"""README and docs are right: commands and options exist, configs are valid, links lead somewhere, stages have these names."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from neuroadda.blockwise.task import STAGES
from neuroadda.cli.main import app
from neuroadda.config import list_faults
from neuroadda.flow import RunConfig
from tests.pages import PAGES, ROOT, blocks, commands, inline_commands, name

COMMAND = typer.main.get_command(app)


def find(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that the first words name, and the other words."""
    command: Any = COMMAND
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def fault_of(words: list[str]) -> str | None:
    """Return why a command line cannot be: no such command or option, too many words, too few."""
    command, rest = find(words)
    if hasattr(command, "commands") and (command is not COMMAND or not rest or not rest[0].startswith("--")):
        return "there is no such command"
    context = command.context_class(command, info_name="neuroadda")
    try:
        values, left, _ = command.make_parser(context).parse_args(list(rest))
    except Exception as error:
        return str(getattr(error, "message", error))
    if left:
        return f"too many words: {left}"
    lacking = [p.name for p in command.params if p.required and values.get(p.name) in (None, ())]
    return f"there is no {lacking}" if lacking else None


def test_the_checker_finds_wrong_commands() -> None:
    for words in (
        ["segmnt", "a"],
        ["zoo"],
        ["zoo", "lst"],
        ["segment", "a", "--bakbone", "b"],
        ["mask"],
        ["mask", "a", "b"],
    ):
        assert fault_of(words), words
    for words in (
        ["--version"],
        ["zoo", "list"],
        ["segment", "a", "--backbone", "b", "-o", "c"],
        ["run", "-c", "a", "-c", "b"],
    ):
        assert fault_of(words) is None, words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    wrong = {" ".join(words): fault_of(words) for words in commands(page)}
    assert not {line: fault for line, fault in wrong.items() if fault}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_the_text_names_exists(page: Path) -> None:
    wrong = []
    for words in inline_commands(page):
        command, rest = find(words)
        options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in {*options, "--help"}]
        if unknown or (command is COMMAND and rest[0].islower()):
            wrong.append(f"neuroadda {' '.join(words)}: {unknown}")
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_config_of_a_page_is_valid(page: Path) -> None:
    for text in blocks(page, "toml"):
        data = tomllib.loads(text)
        if "architecture" in data:  # the card of docs/networks.md, which its own test makes a backbone of
            continue
        wrong = [str(fault.error) for fault in list_faults(RunConfig, data, name(page)) if not fault.is_missing]
        assert not wrong


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert target.is_relative_to(ROOT), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_stages_have_the_names_of_today(page: Path) -> None:
    names = "|".join({*STAGES} - {"agglomerate"})
    for text in blocks(page, "", "console"):
        table = re.search(r"^stage\tblocks\t.*\n((?:\S+\t.*\n)+)", text, re.MULTILINE)
        shown = re.findall(r"^(\S+): \d+/\d+ blocks", text, re.MULTILINE)
        shown += re.findall(r"^(\S+)\t", table.group(1), re.MULTILINE) if table else []
        assert not [one for one in shown if not re.fullmatch(rf"(?:{names}|agglomerate-\d+)", one)]
