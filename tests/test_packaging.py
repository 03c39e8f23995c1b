"""What a wheel holds, and that the files that describe a release agree."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from setuptools import Distribution

import neuroadda

ROOT = Path(__file__).parents[1]
SOURCES = {".pyx", ".pxd"}  # compiled, and in the source distribution alone
BUILT = {".so", ".c", ".pyc"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def test_a_wheel_holds_the_package_with_its_data_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what setuptools would copy, without building: the compiled kernels come on top."""
    monkeypatch.chdir(ROOT)
    distribution = Distribution({"script_name": "setup.py"})
    distribution.parse_config_files(["setup.cfg"])
    command = distribution.get_command_obj("build_py")
    command.ensure_finalized()
    packed = {str(Path(file)) for _, _, file in command.find_all_modules()}
    packed |= {str(Path(source, file)) for _, source, _, files in command.data_files for file in files}
    expected = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "neuroadda").rglob("*")
        if file.is_file() and file.suffix not in SOURCES | BUILT and file.name != ".lock"  # of a zoo that was changed
    }
    assert packed == expected
    assert {f"neuroadda/zoo/data/{name}" for name in ("zoo.json", "generalist/weights.safetensors")} <= packed
    assert {"neuroadda/viewing/report.html", "neuroadda/viewing/dashboard/page.js"} <= packed


def test_the_source_distribution_has_the_kernels_and_no_tests() -> None:
    lines = (ROOT / "MANIFEST.in").read_text().splitlines()
    included = {
        file for line in lines if line.startswith("include ") for word in line.split()[1:] for file in ROOT.glob(word)
    }
    assert {file for file in (ROOT / "neuroadda").rglob("*") if file.suffix in SOURCES} <= included
    beside = {folder.name for folder in ROOT.iterdir() if folder.is_dir() and any(folder.glob("**/*.py"))}
    pruned = {line.split()[1] for line in lines if line.startswith("prune ")}
    assert {"benchmarks", "studies", "tests", "tools"} <= pruned
    assert {"tests", "studies"} <= beside


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a checkout")
def test_git_ignores_no_source() -> None:
    """`git add` leaves out in silence what a line of .gitignore matches."""
    files = [str(file) for folder in ("neuroadda", "tests") for file in (ROOT / folder).rglob("*.py")]
    # --no-index: also those that were added by force, whose next sibling would be left out.
    command = ["git", "-C", str(ROOT), "check-ignore", "--no-index", "--stdin"]
    checked = subprocess.run(command, input="\n".join(files), capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (1, "", "")


def test_versions_agree(setup: configparser.ConfigParser) -> None:
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation is not None
    assert setup["metadata"]["version"] == neuroadda.__version__ == citation[1]
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == neuroadda.__version__


def test_pythons_agree(setup: configparser.ConfigParser) -> None:
    """Those that make takes, that the metadata name, and that wheels are built for."""
    chosen = re.search(r'^supported="(.+)"$', (ROOT / "tools/choose_python.sh").read_text(), re.MULTILINE)
    assert chosen is not None
    named = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]["build"].split()
    assert chosen[1].split() == named
    assert [f"cp{version.replace('.', '')}-*" for version in named] == built


def test_every_extra_is_documented(setup: configparser.ConfigParser) -> None:
    documented = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs/install.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(setup["options.extras_require"])
