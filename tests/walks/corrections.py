"""Walk the path of docs/howto_corrections.md in a real browser: its commands are run, and its pictures are taken.

    python -m tests.walks.corrections [--data ../shared/data] [--chromium C]

Every line ``$ command`` of a ``console`` block is run by bash in runs/corrections, which is emptied first. What `neuroadda view`
serves, and a page that `xdg-open` would open, is opened in headless Chromium and photographed: the picture is the next one that the
page shows. A command that fails, or a page that complains, ends the walk.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.walks.browser import Browser
from tests.walks.tutorial import ROOT, run_line, shorten

PAGE, FOLDER = ROOT / "docs/howto_corrections.md", ROOT / "runs/corrections"
PART = re.compile(r"^```console\n(.*?)^```$|^!\[.*?\]\((pictures/\S+)\)$", re.DOTALL | re.MULTILINE)
DRAWN = "[...viewer.display.panels].every(panel => !panel.shouldDraw || panel.isReady())"
PROGRESS = re.compile(r"^(\S+: \d+/\d+ blocks.*|.*: \d+ %)\n", re.MULTILINE)
PORT = 8322  # that `neuroadda view` takes by default; the walk takes any that is free
WIDTH, HEIGHT = 1200, 800
LONGEST_LINE = 300
PATIENCE_SECONDS = 300.0


def look_at_view(line: str, environment: dict[str, str], browser: Browser, picture: Path) -> str:
    """Open what a command `neuroadda view` serves, write a picture of it, and return what the command printed."""
    command = ["bash", "-c", f"exec {line[2:].replace('--open', '')} --port 0"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=FOLDER, env=environment, **told)  # type: ignore[call-overload]
    printed = ""
    for out in process.stdout:
        printed += out
        if out.startswith("http://"):
            break
    else:
        sys.exit(printed)
    browser.call("Page.navigate", url="about:blank")
    browser.open(printed.split()[-1])
    browser.wait(lambda: browser.ask(f"typeof viewer == 'object' && {DRAWN}") is True, line, PATIENCE_SECONDS)
    browser.picture(picture)
    process.terminate()
    process.wait()
    return re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{PORT}", printed)


def look_at_page(line: str, browser: Browser, picture: Path) -> None:
    """Open a page of likely errors, and write a picture of a card: ``xdg-open errors.html  # error 2``."""
    _, file, *_, rank = line[2:].split()
    browser.open((FOLDER / file).resolve().as_uri())
    browser.ask(f"document.querySelectorAll('article')[{int(rank) - 1}].scrollIntoView()")
    browser.picture(picture)


def main() -> None:
    """Rewrite the outputs of the page, and its pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("NEUROADDA_DATA", str(ROOT.parent / "shared" / "data")))
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": path,
        "DATA": str(Path(options.data).resolve()),
        "USER": "ann",
        "LOGNAME": "ann",
    }
    text = PAGE.read_text()
    parts = list(PART.finditer(text))
    with Browser(options.chromium, WIDTH, HEIGHT) as browser:
        for number, part in enumerate(parts):
            if part[1] is None:
                continue
            after = next((later[2] for later in parts[number:] if later[2]), "")
            picture, shown = FOLDER / "seen.png", []
            for line in (line for line in part[1].splitlines() if line.startswith("$ ")):
                print(line, flush=True)
                told = ""
                if line.startswith("$ neuroadda view"):
                    told = look_at_view(line, environment, browser, picture)
                elif line.startswith("$ xdg-open"):
                    look_at_page(line, browser, picture)
                else:
                    told = PROGRESS.sub("", run_line(line, FOLDER, environment))
                shown += [line, *shorten(told, FOLDER, LONGEST_LINE)]
            if picture.exists():
                with Image.open(picture) as seen:
                    seen.convert("RGB").save(ROOT / "docs" / after, quality=80, optimize=True)
                picture.unlink()
            text = text.replace(part[1], "\n".join(shown) + "\n", 1)
            PAGE.write_text(text)
    print(PAGE)


if __name__ == "__main__":
    main()
