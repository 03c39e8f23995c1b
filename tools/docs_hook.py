"""Hook of mkdocs: fills in what is generated from code, and adapts Markdown that is read in the repository, too.

A line ``<!-- generated: NAME -->`` of a page becomes what `GENERATORS` makes: the commands (by Typer's own generator), the keys of
a config (`docs_config`), and what mkdocstrings is to show. What lies beside docs/ is added (`BESIDE`).
"""

import inspect
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from docs_config import write_single, write_tables  # beside this file, where mkdocs finds it
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import neuroadda
from neuroadda.config import Config

ROOT = Path(__file__).parents[1]
BESIDE = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie beside docs/."""
    for name, path in BESIDE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text().replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in what is generated; keep only the text of links to files that are no pages; nest lists by four spaces.

    Markdown in the repository's viewer nests lists by two, Python-Markdown by four.
    """
    folder, pages = posixpath.dirname(page.file.src_uri), {path: name for name, path in BESIDE.items()}

    def adapt(link: re.Match[str]) -> str:
        text, target = link.groups()
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(folder, path))
        if (name := pages.get(place.removeprefix("../"))) is not None:  # also from a page that lies beside docs/ itself
            return f"[{text}]({posixpath.relpath(name, folder)}{'#' + anchor if anchor else ''})"
        return text if place.startswith("../") and "://" not in target else link.group()

    parts = FENCE.split(markdown)
    for index in range(0, len(parts), 2):
        parts[index] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", adapt, parts[index])
        parts[index] = re.sub(r"^( +)(?=[-*] )", r"\1\1", parts[index], flags=re.MULTILINE)
    return re.sub(r"<!-- generated: (\w+) -->", lambda found: generate(found[1]), "".join(parts))


def generate(name: str) -> str:
    """Return a generated part of a page in reference/, with links to the pages of docs/ that it names."""
    return re.sub(r"docs/([\w/]+\.md)", r"[\1](../\1)", GENERATORS[name]())


def write_commands() -> str:
    """Return every command and its options; lists of commands link to them and have their first lines."""
    command = [sys.executable, "-m", "typer", "neuroadda.cli.main", "utils", "docs", "--name", "neuroadda"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout
    first = dict(re.findall(r"^#+ `(neuroadda[^`]*)`\n\n(.+)$", told, re.MULTILINE))
    parts = re.split(r"^(?=#+ `)", told, flags=re.MULTILINE)
    for index, part in enumerate(parts):
        above = part.partition("`")[2].partition("`")[0]
        head, title, below = part.partition("**Commands**:")

        def link(found: re.Match[str], above: str = above) -> str:
            name = f"{above} {found[1]}"
            return f"* [`{found[1]}`](#{name.replace(' ', '-')}): {first[name]}"

        parts[index] = head + title + re.sub(r"^\* `([^`]+)`.*$", link, below, flags=re.MULTILINE)
    return "".join(parts).replace("# `neuroadda`\n", "## `neuroadda`\n", 1)


def write_functions() -> str:
    """Return what mkdocstrings is to show of `import neuroadda`; configs are on a page of their own."""
    public = {name: getattr(neuroadda, name) for name in neuroadda.__all__}
    configs = [name for name, one in public.items() if inspect.isclass(one) and issubclass(one, Config)]
    classes = [name for name, one in public.items() if inspect.isclass(one) and name not in configs]
    lines = []
    for title, names in (("Functions", [*public.keys() - {*configs, *classes}]), ("Classes and errors", classes)):
        lines += [f"## {title}", "", *(f"::: neuroadda.{name}\n" for name in sorted(names))]
    lines += ["## Configs", "", "Each is a table of a config file; its keys are its arguments:", ""]
    return "\n".join([*lines, *(f"- [`neuroadda.{name}`][neuroadda.{name}]" for name in configs)])


GENERATORS = {
    "commands": write_commands,
    "tables": write_tables,
    "single": write_single,
    "functions": write_functions,
}
