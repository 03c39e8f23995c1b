"""Which Python make takes, of stand-ins that only print a version; the real ones of this machine are hidden."""

import configparser
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHOOSE = ROOT / "tools" / "choose_python.sh"
LINES = ("3.11", "3.12", "3.13", "3.14")


def put(folder: Path, name: str, version: str | None) -> Path:
    """A program that answers as a Python of `version`; with None it is a shim for one that is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(
        "#!/bin/sh\necho 'command not found' >&2\nexit 127\n" if version is None else f"#!/bin/sh\necho {version}\n"
    )
    program.chmod(0o755)
    return program


def choose(folder: Path, python: str = "", venv: str = ".venv", path: str = "first:second") -> list[str]:
    """Version, program and folder that the script prints; on failure its message, as one item."""
    path = ":".join(str(folder / part) for part in path.split(":"))
    done = subprocess.run(
        [CHOOSE, python, venv],
        env={"PATH": path, "HOME": str(folder / "home")},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stdout.split() if done.returncode == 0 else done.stderr.splitlines()


def test_a_shim_is_passed_over(tmp_path: Path) -> None:
    """The same name further on PATH comes first, then the next name."""
    put(tmp_path / "first", "python3.11", None)
    put(tmp_path / "first", "python3.12", None)
    later = put(tmp_path / "first", "python3.13", "3.13")
    assert choose(tmp_path) == ["3.13", str(later), ".venv"]
    real = put(tmp_path / "second", "python3.11", "3.11")
    assert choose(tmp_path) == ["3.11", str(real), ".venv"]


def test_python3_is_last_and_has_to_be_supported(tmp_path: Path) -> None:
    put(tmp_path / "first", "python3", "3.10")
    (message,) = choose(tmp_path)
    assert message.startswith("No supported Python runs here: install Python 3.11 to 3.14")
    python3 = put(tmp_path / "second", "python3", "3.14")
    assert choose(tmp_path) == ["3.14", str(python3), ".venv"]
    other = put(tmp_path / "second", "python3.14", "3.14")
    assert choose(tmp_path) == ["3.14", str(other), ".venv"]


def test_none_at_all(tmp_path: Path) -> None:
    (message,) = choose(tmp_path)
    assert message.startswith("No supported Python runs here: install Python 3.11 to 3.14")


def test_the_python_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "first", "python3.11", "3.11")
    put(tmp_path / "first", "python3.12", None)
    put(tmp_path / "first", "python3.9", "3.9")
    (message,) = choose(tmp_path, "python3.12")
    assert message.startswith("PYTHON=python3.12 does not run: install Python 3.11 to 3.14")
    (message,) = choose(tmp_path, "python3.9")
    assert message.startswith("PYTHON=python3.9 is Python 3.9, which is not supported: install")
    elsewhere = put(tmp_path / "elsewhere", "python", "3.13")
    assert choose(tmp_path, str(elsewhere)) == ["3.13", str(elsewhere), ".venv"]


def test_a_version_of_pyenv_that_is_not_active(tmp_path: Path) -> None:
    put(tmp_path / "first", "python3.12", None)
    installed = put(tmp_path / "home" / ".pyenv" / "versions" / "3.12.1" / "bin", "python3.12", "3.12")
    assert choose(tmp_path, "python3.12") == ["3.12", str(installed), ".venv"]


def test_a_folder_has_one_python(tmp_path: Path) -> None:
    python = str(put(tmp_path / "first", "python3.12", "3.12"))
    put(tmp_path / ".venv" / "bin", "python", "3.12")
    assert choose(tmp_path) == ["3.12", python, ".venv"]
    for other in ("3.11", None):  # another Python's, or one that no longer runs
        put(tmp_path / ".venv" / "bin", "python", other)
        assert choose(tmp_path) == ["3.12", python, ".venv-3.12"]


def run_make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What make would do, as if no other make had started this test."""
    command = ["make", "-n", *arguments]
    return subprocess.run(command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)


@pytest.mark.parametrize("line", LINES)
def test_make_takes_the_pins_of_the_line(tmp_path: Path, line: str) -> None:
    python = put(tmp_path, "python", line)
    done = run_make("demo", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    pins = "constraints/py311.txt" if line == "3.11" else "constraints/py312.txt"
    assert done.stdout.startswith(f"Python {line}: {python}\n")
    assert f"--constraint {pins} --editable .\n" in done.stdout
    assert "test" not in done.stdout.replace(str(tmp_path), "")  # no test extras for the demo
    assert (ROOT / pins).exists()


def test_make_stops_with_one_line(tmp_path: Path) -> None:
    shim = put(tmp_path, "python3.12", None)
    done = run_make(f"PYTHON={shim}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"PYTHON={shim} does not run: install Python 3.11 to 3.14" in line


def test_the_package_supports_what_make_takes() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options"]["python_requires"] == f">={LINES[0]},<3.{int(LINES[-1].split('.')[1]) + 1}"
    assert f'supported="{" ".join(LINES)}"\n' in CHOOSE.read_text()
