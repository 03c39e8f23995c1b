"""The site of the documentation: it is built strictly, its links lead somewhere, it needs no other host, it tells everything."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from filelock import FileLock

import neuroadda
from neuroadda.cli import app

if importlib.util.find_spec("mkdocs") is None:
    pytest.skip("mkdocs is not installed (pip install neuroadda[docs])", allow_module_level=True)

from tools.docs_config import SINGLE, UNITS, choose_shown, find_home, find_tables, list_keys, read_docstrings

ROOT = Path(__file__).parents[1]
FETCHED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}


class Page(HTMLParser):
    """What a page names: its anchors, what it links to, and what a browser fetches with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.anchors, self.links, self.fetched = path, {""}, [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {key: value or "" for key, value in attrs}
        self.anchors |= {told[key] for key in ("id", "name") if key in told}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        elif tag in FETCHED and FETCHED[tag] in told:
            self.fetched.append(told[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site, by its path."""
    shared = tmp_path_factory.getbasetemp()
    shared = (
        shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    )  # the first of xdist's processes builds it
    folder = shared / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    with FileLock(shared / "site.lock"):
        if not (folder / "sitemap.xml").is_file():
            built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert built.returncode == 0, built.stdout
    pages = {path: Page(path) for path in folder.rglob("*.html")}
    return {path: page for path, page in pages.items() if path.name != "404.html"}  # its links are those of a server


def find_page(site: dict[Path, Page], name: str) -> Page:
    (found,) = (page for path, page in site.items() if path.as_posix().endswith(name))
    return found


def test_every_link_leads_to_a_page_and_an_anchor_or_a_file(site):
    broken = []
    for path, page in site.items():
        for link in (*page.links, *page.fetched):
            told = urlsplit(link)
            if told.scheme or told.netloc:
                continue
            target = (path.parent / unquote(told.path)).resolve() if told.path else path
            if not target.is_file() or (target in site and unquote(told.fragment) not in site[target].anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_a_browser_fetches_nothing_from_other_hosts(site):
    assert [link for page in site.values() for link in page.fetched if urlsplit(link).netloc] == []
    root = min(site, key=lambda path: len(path.parts)).parent
    styles = [
        path for path in root.rglob("*.css") if re.search(r"(@import|url\()[\s\"']*(https?:)?//", path.read_text())
    ]
    assert styles == []
    # Material would fetch what draws such diagrams.
    assert [path.name for path in site if 'class="mermaid"' in path.read_text()] == []


def test_the_search_works_in_pages_that_are_opened_as_files(site):
    root = min(site, key=lambda path: len(path.parts)).parent
    assert (root / "search/search_index.js").read_text().startswith("var __index = {")
    assert [path for path, page in site.items() if not any("iframe-worker.js" in link for link in page.fetched)] == []


def test_lists_and_tables_are_not_left_as_text(site):
    raw = re.compile(r"<p>[^<]*\n(?:[-*] |\| |```|\d\. )")
    assert [f"{path.name}: {found[0]}" for path in site if (found := raw.search(path.read_text()))] == []


def walk(command, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield above
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*above, name))


def test_every_command_is_in_the_reference(site):
    headings = {"-".join(names) for names in walk(typer.main.get_command(app), ("neuroadda",))}
    assert len(headings) > 40
    assert headings - find_page(site, "reference/cli.html").anchors == set()


def test_every_public_name_is_in_the_reference(site):
    anchors = find_page(site, "reference/api.html").anchors | find_page(site, "reference/config.html").anchors
    assert {f"neuroadda.{name}" for name in neuroadda.__all__} - anchors == set()


MODELS = {table.model for table in find_tables(neuroadda.RunConfig)} | {neuroadda.RunConfig, *SINGLE.values()}


@pytest.mark.parametrize("model", sorted(MODELS, key=lambda model: model.__name__), ids=lambda model: model.__name__)
def test_every_key_has_a_meaning(model):
    told = read_docstrings(model)
    assert [key for key in model.model_fields if len(told.get(key, ("", ""))[1]) < 10] == []
    assert [key for key in told if key not in model.model_fields and not hasattr(model, key)] == []
    assert [key for key, (unit, _) in told.items() if unit and key.endswith(tuple(UNITS))] == []  # its name tells it


def test_every_key_is_in_the_reference(site):
    text = find_page(site, "reference/config.html").path.read_text()
    shown = choose_shown()
    assert {table.anchor for table in shown} - find_page(site, "reference/config.html").anchors == set()
    for table in find_tables(neuroadda.RunConfig):
        home = find_home(table.model, shown)
        assert table.model.model_fields.keys() <= home.model.model_fields.keys()
        section = text.partition(f'id="{home.anchor}"')[2].partition("</table>")[0]
        assert [key for key in home.model.model_fields if f"<td><code>{key}</code></td>" not in section] == []


def test_the_rows_of_keys():
    rows = {
        row.split(" | ")[0].strip("| `"): row.split(" | ")[1:4]
        for row in list_keys(neuroadda.Execution, choose_shown())
    }
    assert rows["workers"] == ["integer, ≥ 1", "workers", "`2`"]
    assert rows["block_timeout"] == ["number, > 0", "s", "`3600.0`"]
    assert rows["launcher"][0] == '`"local"` or `"serial"` or `"slurm"` or `"lsf"`'
    assert rows["job"] == ["table", "", ""]
    sample = {
        row.split(" | ")[0].strip("| `"): row.split(" | ")[1:4]
        for row in list_keys(neuroadda.SampleConfig, choose_shown())
    }
    assert sample["raw"] == ["path", "", "required"]
    assert sample["erode_vx"] == ["integer, ≥ 0", "voxels", "`0`"]
