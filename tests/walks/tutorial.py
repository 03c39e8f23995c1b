"""Run the commands of docs/tutorial.md and put what they print below them.

    python -m tests.walks.tutorial [--data ../shared/data]

Every line ``$ command`` of a ``console`` block is run by bash in runs/tutorial, which is emptied first; ``toml`` blocks whose
first line is a comment that names a file are written there. A command that ends with another exit code than the one it says
(``# exit code 3``) ends the run.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
PICTURE = ROOT / "docs" / "results" / "pictures" / "tutorial_contact_sheet.png"
FOLDER = ROOT / "runs" / "tutorial"
LINES = 24
WIDTH = 160
BLOCK = re.compile(r"^```(console|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXIT = re.compile(r"# exit code (\d+)\s*$")
NAMED = re.compile(r"# (\S+\.toml)")


def run_block(text: str, environment: dict[str, str]) -> str:
    """Return a console block with fresh output."""
    shown = []
    for line in text.splitlines():
        if line.startswith("$ "):
            print(line, flush=True)
            shown += [line, *shorten(run_line(line, FOLDER, environment), FOLDER)]
    return "\n".join(shown) + "\n"


def run_line(line: str, folder: Path, environment: dict[str, str]) -> str:
    """Return what a line ``$ command`` prints, run by bash in a folder; another exit code than the one it says ends all."""
    said = EXIT.search(line)
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(["bash", "-c", line[2:]], cwd=folder, env=environment, **told)  # type: ignore[call-overload]
    print(done.stdout, flush=True)
    if done.returncode != (int(said.group(1)) if said else 0):
        sys.exit(f"exit code {done.returncode}: {line}")
    return str(done.stdout)


def shorten(told: str, folder: Path, width: int = WIDTH) -> list[str]:
    """Return the lines of an output as a page has them."""
    lines = [out[:width].rstrip() for out in told.replace(f"{folder}/", "").replace(f"{ROOT}/", "").splitlines()]
    return [*lines[: LINES // 2], "...", *lines[-LINES // 2 :]] if len(lines) > LINES else lines


def main() -> None:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("NEUROADDA_DATA", str(ROOT.parent / "shared" / "data")))
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "DATA": str(Path(options.data).resolve())}

    def renew(match: re.Match[str]) -> str:
        kind, text = match.groups()
        if kind == "toml":
            named = NAMED.match(text)
            if named:
                (FOLDER / named.group(1)).write_text(text)
            return match.group(0)
        return f"```console\n{run_block(text, environment)}```"

    page = BLOCK.sub(renew, PAGE.read_text())
    shutil.copy(FOLDER / "adapted" / "round_1" / "contact_sheet.png", PICTURE)
    PAGE.write_text(page)
    print(PAGE)


if __name__ == "__main__":
    main()
