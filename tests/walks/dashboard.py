"""Ask the dashboard the two questions of a new user, in a real browser, of a real run; and measure it with many blocks.

    python -m tests.walks.dashboard [--output runs/dashboard] [--chromium C]

Mouse cortex (NEUROADDA_DATA) is predicted in small blocks, and while that runs the page is looked at. Then a stored chunk of the
affinities is overwritten, as a bad disk would, and the segmentation goes on until blocks fail of it. The page is looked at again,
the chunk is mended, and the command that the page gives is run. The pictures, and docs/results/dashboard.md, tell what was seen.
Needs Debian's chromium.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.machine import describe_run
from benchmarks.many_blocks import write_many
from benchmarks.tables import to_markdown
from neuroadda.volumes.arrays import Volume
from neuroadda.wording import format_bytes, format_seconds
from tests.walks.browser import Browser

ROOT = Path(__file__).parents[2]
PICTURES, RESULTS = ROOT / "docs/results/pictures", ROOT / "docs/results/dashboard.md"
COMMAND = [sys.executable, "-m", "neuroadda.cli"]
CONFIG = """[segment]
raw = "{raw}"
backbone = "neuroadda/zoo/data/mouse_cortex_sssem"
output = "{run}"
block_vx = [8, 64, 64]
chunk_vx = [8, 64, 64]
execution = {{ workers = 2, same_error_limit = 100 }}
"""
DAMAGED = "0.1.5.3"  # the stored chunk: channel, z, y, x
SIZES = {"wide": (1600, 1580), "narrow": (400, 1700)}
MOST_BYTES = 150_000  # of a picture; a larger one gets few colours
SIDES = (10, 46, 100)  # of the cubes of blocks
WORDS_A_SECOND = 4.0  # slow reading

TEXT = """# The dashboard, asked by a new user

{run}

## The two questions

A real run (mouse cortex, 192 blocks a stage, 2 workers), of which a stored chunk was overwritten with noise between two stages. The
times are the browser's, from opening the address; reading is counted at four words a second.

{steps}

## Many blocks

A ledger in SQLite of a run that is nine tenths through, with 32 workers and a failed block in 1009. *Cold* is the first look at a
dashboard that has just begun to read; *warm* is a later one. Answered: the sentence, the stages and the causes of failures are on
the page, and it can be used; shown: map, throughput and workers are there, too. Received is what one look takes. Memory is the peak
of the dashboard's process.

{many}
"""


@contextmanager
def dashboard(folder: Path) -> Iterator[tuple[str, int]]:
    """Run `neuroadda dashboard`; yield its address and process id."""
    with subprocess.Popen([*COMMAND, "dashboard", folder, "--port", "0"], stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        try:
            yield served.stdout.readline().strip(), served.pid
        finally:
            served.kill()


def look(browser: Browser, url: str, size: tuple[int, int] = SIZES["wide"], mode: str = "light") -> tuple[float, float]:
    """Open the page; return after how many milliseconds it answered, and showed all."""
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
    browser.call("Page.navigate", url="about:blank")  # what was there before may complain that its dashboard has ended
    browser.complaints.clear()
    browser.call("Emulation.setDeviceMetricsOverride", **screen)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
    browser.open(url)
    browser.wait(lambda: browser.ask("performance.getEntriesByName('shown').length") == 1, "the page")
    browser.wait(lambda: browser.ask("[...document.images].every(i => i.complete)"), "the slices")
    if browser.ask("document.documentElement.scrollWidth > innerWidth") or browser.complaints:
        sys.exit(f"the page is too wide, or complains: {browser.complaints}")
    answered, shown = browser.ask("['answered', 'shown'].map(name => performance.getEntriesByName(name)[0].startTime)")
    return answered, shown


def text(browser: Browser, name: str) -> str:
    """Return what is read in an element, tracebacks closed."""
    browser.ask("document.querySelectorAll('details').forEach(trace => trace.open = false)")
    return " ".join(browser.ask(f"document.getElementById('{name}').innerText").split())


def picture(browser: Browser, name: str) -> None:
    """Write what the page shows."""
    browser.ask("document.querySelector('details')?.setAttribute('open', '')")
    # Where the program lies is of no interest, and a long line.
    for prefix in (ROOT, Path(sys.prefix) / "lib", ROOT.parent):
        browser.ask(
            f"document.querySelectorAll('pre, #no-slices').forEach(p => p.textContent = p.textContent.replaceAll('{prefix}/', ''))"
        )
    browser.ask("document.querySelectorAll('pre').forEach(p => p.scrollTop = p.scrollHeight)")
    target = PICTURES / f"dashboard_{name}.png"
    browser.picture(target)
    if target.stat().st_size > MOST_BYTES:
        with Image.open(target) as image:
            image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.name}: {target.stat().st_size // 1024} kB", flush=True)


def ask_both(browser: Browser, output: Path) -> list[tuple[str, str, str]]:
    """Return (question, what the page said, how long it took), of a run that is at work and then fails."""
    raw, run, config = output / "mouse.zarr/raw", output / "run", output / "run.toml"
    data = os.environ.get("NEUROADDA_DATA", ROOT / "../shared/data")
    imported = ["import", f"{data}/mouse_cortex_sssem_test.hdf", raw, "--dataset", "volumes/raw"]
    subprocess.run([*COMMAND, *imported], check=True, stdout=subprocess.DEVNULL)
    config.write_text(CONFIG.format(raw=raw, run=run))
    steps: list[tuple[str, str, str]] = []

    def note(question: str, took_ms: float, *names: str) -> None:
        said = " / ".join(text(browser, name) for name in names)
        read = len(said.split()) / WORDS_A_SECOND
        steps.append((question, said, f"{took_ms / 1000:.1f} s, and {read:.0f} s to read {len(said.split())} words"))
        print(*steps[-1], sep="\n  ", flush=True)

    predicting = subprocess.Popen([*COMMAND, "predict", "-c", config], stderr=subprocess.DEVNULL)
    while not (run / "ledger.db").exists() and predicting.poll() is None:
        time.sleep(0.2)
    with dashboard(run) as (url, _):
        look(browser, url)
        half = r"parseFloat(document.querySelector('.facts')?.innerText.match(/\(([\d.]+) %/)?.[1] ?? 0) > 45"
        browser.wait(lambda: browser.ask(half), "half of the prediction", 600)
        took, _ = look(browser, url, (SIZES["wide"][0], 1180))
        note("Is my run healthy? (at work)", took, "sentence")
        picture(browser, "running")
        if predicting.wait():
            sys.exit("the prediction failed")
        affs = Path(str(Volume.open(run / "volumes.zarr/affs").path))
        chunk = next(path for path in (affs / DAMAGED, affs / DAMAGED.replace(".", "/")) if path.exists())
        whole = chunk.read_bytes()
        chunk.write_bytes(np.random.default_rng(0).bytes(len(whole)))
        failing = subprocess.run([*COMMAND, "segment", "-c", config], stderr=subprocess.DEVNULL)
        took, _ = look(browser, url)
        note("Is my run healthy? (after it ended)", took, "sentence", "advice")
        note("Why did these blocks fail, and how do I finish?", took, "why")
        for window, size in SIZES.items():
            for mode in ("light", "dark"):
                look(browser, url, size, mode)
                picture(browser, f"{window}_{mode}")
        command = shlex.split(text(browser, "retry"))
        chunk.write_bytes(whole)
        retried = subprocess.run([*COMMAND, *command[1:]], stderr=subprocess.DEVNULL)
        if (failing.returncode, command[0], retried.returncode) != (2, "neuroadda", 0):
            sys.exit(f"exit codes {failing.returncode} and {retried.returncode}: 2 and 0 were expected; {command}")
        took, _ = look(browser, url)
        # The page catches up with the ledger within seconds, by itself.
        browser.wait(lambda: text(browser, "sentence").startswith("Finished"), "the end of the run")
        note(f"The chunk mended, and `{shlex.join(command)}` run as the page says", took, "sentence")
        if browser.ask("document.getElementById('why').checkVisibility()"):
            sys.exit("the page still tells of failures")
    return steps


def measure_many(browser: Browser, folder: Path, side: int) -> list[str]:
    """Return a row of the table: how the page is with `side` ** 3 blocks in the ledger."""
    folder.mkdir()
    write_many(folder, side)
    with dashboard(folder) as (url, process):
        cold = look(browser, url)
        warm = [look(browser, url, size)[1] for size in SIZES.values()]
        received = browser.ask("performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)")
        status = Path(f"/proc/{process}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]
    ledger = (folder / "ledger.db").stat().st_size
    times = [format_seconds(ms / 1000) for ms in (*cold, *warm)]
    row = [f"{side**3:,}", format_bytes(ledger), *times, format_bytes(received), format_bytes(peak)]
    print(*row, sep=" | ", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/dashboard"), help="a new folder in the repository")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.chromium is None or options.output.exists():
        parser.error("it takes --chromium, and an --output that is not there yet")
    options.output.mkdir(parents=True)
    with Browser(options.chromium) as browser:
        steps = ask_both(browser, options.output)
        many = [measure_many(browser, options.output / f"many_{side}", side) for side in SIDES]
    cells = [[cell.replace("|", "\\|") for cell in step] for step in steps]
    columns = ["blocks", "ledger", "cold: answered", "cold: shown", "warm, wide: shown", "warm, narrow: shown"]
    tables = {
        "steps": to_markdown(["question", "the page says", "after"], cells),
        "many": to_markdown([*columns, "received", "memory"], many),
    }
    RESULTS.write_text(TEXT.format(run=describe_run(), **tables))
    print(RESULTS)


if __name__ == "__main__":
    main()
