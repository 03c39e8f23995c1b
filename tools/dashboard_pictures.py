"""Take the pictures of docs/dashboard.md: of a real run with failed blocks, and of one at work.

    python tools/dashboard_pictures.py [--output runs/dashboard] [--chromium C]

Mouse cortex (NEUROADDA_DATA) is predicted in small blocks; meanwhile the first picture is taken. Then a few stored chunks of the
affinities are damaged, as a bad disk would, and the segmentation goes on until blocks fail of it. Needs Debian's chromium.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from browser import Browser
from PIL import Image

from neuroadda.viewing.dashboard.server import Dashboard, open_dashboard
from neuroadda.volumes.arrays import Volume

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/results/pictures"
BACKBONE = ROOT / "neuroadda/zoo/mouse_cortex_sssem"
CONFIG = """[segment]
raw = "{raw}"
backbone = "{backbone}"
output = "{run}"
block_vx = [8, 64, 64]
chunk_vx = [8, 64, 64]
execution = {{ workers = 2, same_error_limit = 100 }}
"""
DAMAGED = "0.1.5.3"  # the stored chunk: channel, z, y, x
SIZES = {"wide": (1600, 1580), "narrow": (400, 1700)}
COLOURS = 256  # of a picture: a page has few, and the file is to be small


def picture(browser: Browser, dashboard: Dashboard, name: str, size: tuple[int, int], mode: str) -> None:
    """Write what the page shows in a window of a size."""
    browser.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
    browser.open(dashboard.url)
    browser.wait(lambda: browser.ask("performance.getEntriesByName('shown').length") == 1, "the page")
    browser.wait(lambda: browser.ask("[...document.images].every(i => i.complete)"), "the slices")
    # Where the program lies is of no interest, and a long line.
    for prefix in (ROOT, Path(sys.prefix) / "lib", ROOT.parent):
        browser.ask(
            f"document.querySelectorAll('pre').forEach(p => p.textContent = p.textContent.replaceAll('{prefix}/', ''))"
        )
    browser.ask("document.querySelectorAll('pre').forEach(p => p.scrollTop = p.scrollHeight)")
    took = browser.ask("performance.getEntriesByName('shown')[0].startTime")
    target = PICTURES / f"dashboard_{name}.png"
    browser.picture(target)
    with Image.open(target) as image:
        image.quantize(COLOURS, kmeans=2, dither=Image.Dither.NONE).save(target, optimize=True)
    sentence = browser.ask("document.getElementById('sentence').innerText")
    print(f"{target.name}: {target.stat().st_size // 1024} kB, shown after {took:.0f} ms: {sentence}", flush=True)


def damage(affs: Path) -> None:
    """Overwrite a stored chunk with noise."""
    chunk = affs / DAMAGED if (affs / DAMAGED).exists() else affs / DAMAGED.replace(".", "/")
    chunk.write_bytes(np.random.default_rng(0).bytes(chunk.stat().st_size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/dashboard"), help="a new folder")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    options = parser.parse_args()
    if options.chromium is None or options.output.exists():
        parser.error("it takes --chromium, and an --output that is not there yet")
    os.chdir(ROOT)
    command, data = [sys.executable, "-m", "neuroadda.cli"], os.environ.get("NEUROADDA_DATA", ROOT / "../shared/data")
    raw, run, config = (options.output / name for name in ("mouse.zarr/raw", "run", "run.toml"))
    options.output.mkdir(parents=True)
    subprocess.run(
        [*command, "import", f"{data}/mouse_cortex_sssem_test.hdf", raw, "--dataset", "volumes/raw"], check=True
    )
    print(json.dumps(list(Volume.open(raw).shape_vx)))
    config.write_text(CONFIG.format(raw=raw, backbone=BACKBONE, run=run))
    predicting = subprocess.Popen([*command, "predict", "-c", config])
    ledger = run / "ledger.db"
    while not ledger.exists() and predicting.poll() is None:
        time.sleep(0.2)
    with open_dashboard(str(run)) as dashboard, Browser(options.chromium) as browser:
        threading.Thread(target=dashboard.serve_forever, daemon=True).start()
        browser.open(dashboard.url)
        half = "parseFloat(document.querySelector('.facts')?.innerText.match(/\\(([\\d.]+) %/)?.[1] ?? 0) > 45"
        browser.wait(lambda: browser.ask(half), "half of the prediction", 600)
        picture(browser, dashboard, "running", SIZES["wide"], "light")
        if predicting.wait():
            sys.exit("the prediction failed")
        damage(Volume.open(run / "volumes.zarr/affs").path)
        failing = subprocess.run([*command, "segment", "-c", config], stderr=subprocess.DEVNULL)
        if failing.returncode != 1:
            sys.exit(f"exit code {failing.returncode}: 1 was expected")
        for window, size in SIZES.items():
            for mode in ("light", "dark"):
                picture(browser, dashboard, f"{window}_{mode}", size, mode)
        print(browser.complaints or "no complaint of the browser")
        dashboard.shutdown()


if __name__ == "__main__":
    main()
