"""Walk a proofreader's path in a real browser, from raw to a backbone that was trained on what was drawn.

    python -m tests.walks.proofreader [--output runs/walk] [--chromium C] [--convert C] [--neuroglancer-python P]

Propose boxes of real mouse cortex (NEUROADDA_DATA), open the contact sheet in headless Chromium, find the boxes again in
Neuroglancer (of the Python package, served here), draw a label with ImageMagick, import it, see it in Neuroglancer, train on it.
Each step is checked; docs/results/proofreader.md tells what was seen. Nothing but loopback is reached. Needs Debian's chromium
and imagemagick, and NEUROADDA_NEUROGLANCER_PYTHON of tools/export_venvs.sh.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile

from neuroadda.active.exports.neuroglancer import proposals_state
from neuroadda.active.proposals import Proposals, read_proposals
from neuroadda.backbones.card import load_card
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.neuroglancer import Layer, state_url
from neuroadda.zoo.finding import find_backbone, open_zoo
from tests.walks.browser import Browser
from tests.walks.served import Neuroglancer, serve

ROOT = Path(__file__).parents[2]
RESULTS, PICTURES = ROOT / "docs/results/proofreader.md", ROOT / "docs/results/pictures"
OUTLINES, OUTLINED_VX = Path(__file__).with_name("outlines.txt"), (8, 144, 96)  # and the first voxel of their box
BACKBONE, ITERATIONS, COUNT, NAME = "fly_larva_l1_sstem", 10, 4, "roi_1, outlined by eye"
PROPOSE = f"--backbone {BACKBONE} -n {COUNT} --strategy median --shape 240 576 576 --set".split()
PART = "roi={offset_nm=[0,0,0],shape_nm=[600,1536,1536]}"
ORANGE = (255, 153, 0)  # of the boxes

CONFIG = """[train]
name = "walked"
domain = "mouse_cortex_sssem"
output = "{output}/train"
iterations = {iterations}
output_shape_vx = [8, 64, 64]
workers = 0

[[train.samples]]
raw = "{raw}"
labels = "{labels}"
provenance = {{ name = "{name}", citation = "drawn for this test", licence = "as of this software" }}
"""

TEXT = """# A proofreader's path, walked in a real browser

`python -m tests.walks.proofreader`, {date}: {browser} (headless, WebGL by SwiftShader), {machine}, no GPU.
Every line was checked by the script, which stops at the first one that is not so.

| step | seen |
|---|---|
{steps}

The label is three neurites of one box, outlined by eye in eight sections ([outlines.txt](../../tests/walks/outlines.txt))
over the TIFF of its crop, and drawn into it by ImageMagick in 16 bits. It is rough: it shows that the path is open, not what a
label is worth; ten iterations make no better backbone. Neuroglancer is that of the Python package, given the exported link.

The contact sheet as it opens (the other two boxes are below):

![contact sheet](pictures/proofreader_contact_sheet.png)

The exported link in Neuroglancer, centred on roi_1 (orange: boxes; yellow: the volume):

![boxes in Neuroglancer](pictures/proofreader_neuroglancer.png)

The imported label over it:

![label in Neuroglancer](pictures/proofreader_labels.png)

What was run:

```
{commands}
```
"""


class Walk:
    """What was done and seen, in its order."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []
        self.commands: list[str] = []

    def see(self, what: str, seen: str, ok: bool) -> None:
        """Note a step, or stop there if it is not as it should be."""
        print(f"{'ok' if ok else 'WRONG'}: {what}: {seen}", flush=True)
        if not ok:
            sys.exit(1)
        self.steps.append((what, seen))

    def run(self, *command: str | Path, note: str | None = None) -> str:
        """Run a command and return what it printed; `note` is written instead of it."""
        line = [str(part) for part in command]
        self.commands.append(note or shlex.join([Path(line[0]).name, *line[1:]]))
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{self.commands[-1]}\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, browser: str) -> None:
        """Write docs/results/proofreader.md."""
        machine = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores"
        steps = "\n".join(f"| {what} | {seen} |" for what, seen in self.steps)
        told = {"date": datetime.date.today(), "browser": browser, "machine": machine, "steps": steps}
        RESULTS.write_text(TEXT.format(commands="\n".join(self.commands), **told))
        print(RESULTS)


def look_at_sheet(walk: Walk, browser: Browser, page: Path, proposals: Proposals) -> None:
    """Check that the contact sheet has every box, and its pictures."""
    browser.open(page.resolve().as_uri())
    browser.picture(PICTURES / "proofreader_contact_sheet.png")
    cards = browser.ask("[...document.querySelectorAll('article')].map(e => e.innerText)")
    wanted = [(f"{p.rank}\n", f"score {p.score:.3f}", p.reason) for p in proposals.proposals]
    found = sum(all(w in card for w in words) for words, card in zip(wanted, cards, strict=False))
    images = browser.ask("[...document.images].map(e => e.complete && e.naturalWidth > 0)")
    wide = browser.ask("document.documentElement.scrollWidth > innerWidth")
    seen = f"{found} boxes with rank, score and reason; {sum(images)} of {len(images)} pictures drawn; no error"
    ok = len(cards) == found == COUNT and all(images) and len(images) >= 2 * COUNT
    walk.see("contact sheet in Chromium", seen, ok and not wide and not browser.complaints)


def cut_middle(seen: np.ndarray, voxels: np.ndarray, rim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle of a panel, and of a section that is drawn there, one voxel a pixel, without its border."""
    half_y, half_x = (n // 2 - rim for n in voxels.shape)
    y, x = (n // 2 for n in seen.shape[:2])
    inner = voxels[rim : rim + 2 * half_y, rim : rim + 2 * half_x]
    return seen[y - half_y : y + half_y, x - half_x : x + half_x], inner


def look_at_boxes(walk: Walk, browser: Browser, seen: np.ndarray, proposals: Proposals, section: np.ndarray) -> None:
    """Check that the page lists the boxes, and that the first is drawn where it is, over the raw that is there."""
    listed = re.findall(r"roi_\d+(?=, score)", browser.ask("document.body.innerText"))
    walk.see("boxes in Neuroglancer's list", ", ".join(listed), listed == [p.name for p in proposals.proposals])
    orange = (np.abs(seen - ORANGE) < 60).all(axis=-1)
    y, x = (n // 2 for n in orange.shape)
    across, down = orange[y + 20], orange[:, x - 20]  # beside the lines of the axes
    lines = across[x::-1], across[x:], down[y::-1], down[y:]
    frame = [int(np.argmax(line)) for line in lines]
    height, width = section.shape
    ok = all(abs(f - s / 2) <= 2 for f, s in zip(frame, (width, width, height, height), strict=True))
    told = f"{width} x {height} voxels, one a pixel: orange {frame} px left of, right of, above and below the centre"
    walk.see("roi_1 in the picture", told, ok)
    inside, there = cut_middle(seen, section)
    grey = np.ptp(inside, axis=-1) < 12  # the lines of the axes are not
    alike = float(np.corrcoef(inside[..., 0][grey], there[grey])[0, 1])
    walk.see("raw in roi_1 of the picture", f"correlation {alike:.3f} with the voxels of that section", alike > 0.95)


def draw_label(walk: Walk, convert: str, canvas: Path, target: Path) -> None:
    """Draw the outlines into a copy of the crop (16 bits, emptied), each neurite in the grey of its id."""
    pages: dict[int, list[str]] = {}
    for line in OUTLINES.read_text().splitlines():
        if not line.startswith("#"):
            section, label, *points = line.split()
            grey = "#" + 3 * f"{int(label):04x}"
            pages.setdefault(int(section), []).extend(("-fill", grey, "-draw", f"polygon {' '.join(points)}"))
    empty = ["-evaluate", "set", "0", "-depth", "16", "+antialias"]
    drawn = [p for z, strokes in sorted(pages.items()) for p in ("(", f"{canvas}[{z}]", *empty, *strokes, ")")]
    note = f"{Path(convert).name} ( {canvas}[0] {' '.join(empty)} -fill ... -draw 'polygon ...' ) ... {target}"
    walk.run(convert, *drawn, "-type", "Grayscale", "-depth", "16", "-compress", "none", target, note=note)


def parse_options() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/walk"), help="a new folder")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--convert", default=shutil.which("magick") or shutil.which("convert-im6.q16"))
    parser.add_argument("--neuroglancer-python", default=os.environ.get("NEUROADDA_NEUROGLANCER_PYTHON"))
    options = parser.parse_args()
    if not (options.chromium and options.convert and options.neuroglancer_python):
        parser.error("it takes --chromium, --convert and --neuroglancer-python (tools/export_venvs.sh makes one)")
    if options.output.exists():
        parser.error(f"{options.output} is there already; remove it first")
    return options


def main() -> None:
    options, walk, command = parse_options(), Walk(), Path(sys.executable).with_name("neuroadda")
    output: Path = options.output
    raw_path, folder = output / "mouse.zarr/raw", output / "proposals"
    canvas, drawing = output / "roi_1_raw.tif", output / "drawn/roi_1.tif"
    data = Path(os.environ.get("NEUROADDA_DATA", ROOT / "../shared/data")) / "mouse_cortex_sssem_train.hdf"
    walk.run(command, "import", data, raw_path, note=f"neuroadda import $NEUROADDA_DATA/{data.name} {raw_path}")
    walk.run(command, "propose", raw_path, "-o", folder, *PROPOSE, PART)
    raw, proposals = Volume.open(raw_path), read_proposals(folder)
    box = proposals.proposals[0].to_roi(raw)
    first_vx, middle = tuple((box.offset - raw.roi.offset) / raw.voxel_size), box.shape[0] // raw.voxel_size[0] // 2
    walk.see("proposed", f"{len(proposals.proposals)} boxes", len(proposals.proposals) == COUNT)

    with (
        serve(output) as address,
        Neuroglancer(options.neuroglancer_python) as viewer,
        Browser(options.chromium, 1440, 900) as browser,
    ):
        look_at_sheet(walk, browser, folder / "contact_sheet.html", proposals)
        url, product = f"{address}/mouse.zarr/raw", browser.call("Browser.getVersion")["product"]
        printed = walk.run(command, "proposals", "export", folder, "--to", "neuroglancer", "--url", url)
        browser.open(viewer.address)
        seen = viewer.show(printed.split()[-1], browser, PICTURES / "proofreader_neuroglancer.png")
        look_at_boxes(walk, browser, seen, proposals, raw.read(box)[middle])

        walk.run(command, "proposals", "export", folder, "--to", "crops")
        walk.run(command, "export", folder / "crops/roi_1.zarr/0", canvas)
        walk.see("roi_1 is the box that was outlined", f"first voxel {first_vx} zyx", first_vx == OUTLINED_VX)
        drawing.parent.mkdir()
        draw_label(walk, options.convert, canvas, drawing)
        (row,) = json.loads(walk.run(command, "proposals", "import", folder, drawing, "--json"))
        labels = Volume.open(row["labels"])
        same = np.array_equal(labels.read(), tifffile.imread(drawing)) and labels.roi == box
        told = f"roi_{row['rank']}: {row['ids']} ids in {row['labelled']:.0%} of it, every voxel as drawn"
        walk.see("label drawn by ImageMagick, imported", told, same and row["ids"] == 3)

        layer = Layer.of(labels, "drawn", f"{address}/{labels.path.relative_to(output)}", "labels")
        link = state_url(proposals_state(proposals, url, [layer]))
        seen = viewer.show(link, browser, PICTURES / "proofreader_labels.png")
        inside, there = cut_middle(seen, labels.read()[middle])
        agree = float(((np.ptp(inside, axis=-1) > 20) == (there > 0)).mean())
        walk.see("that label in Neuroglancer", f"{agree:.1%} of roi_1's pixels are coloured as drawn", agree > 0.95)
        loopback = all(u.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")) for u in browser.requested)
        told = f"{len(browser.requested)}, all to files and loopback; all else is barred"
        walk.see("requests of the pages", told, loopback)

    config = output / "train.toml"
    config.write_text(CONFIG.format(output=output, iterations=ITERATIONS, raw=raw_path, labels=labels.path, name=NAME))
    walk.run(command, "train", "-c", config, "--from", BACKBONE)
    card, start = load_card(output / "train/backbone"), load_card(find_backbone(BACKBONE, open_zoo(None)))
    first = card.training_data[0]
    told = f"training_data begins with {first['name']!r}, {first['labels']}; {card.iterations} iterations, new weights"
    ok = (first["labels"], card.iterations) == (str(labels.path), ITERATIONS) and card.digest != start.digest
    walk.see("card of the backbone that was trained on it", told, ok)
    walk.write(f"{product}, neuroglancer {viewer.version}")


if __name__ == "__main__":
    main()
