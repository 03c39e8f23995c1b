"""`neuroadda view` as a person sees it: Neuroglancer in headless Chromium, in sections and in 3-D."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroadda.viewing.viewer.client import find_client
from neuroadda.viewing.viewer.places import find_view
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from tests.viewing.viewer.published import publish, serving
from tests.walks.browser import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.skipif(find_client() is None, reason="the extra `view` is not installed: there is no Neuroglancer"),
]
PICTURES = os.environ.get("NEUROADDA_PICTURES")  # where pictures are kept, such as docs/results/pictures
PANELS = (
    "[...document.querySelectorAll('.neuroglancer-rendered-data-panel')].map(p => p.getBoundingClientRect())"
    ".map(r => [r.x, r.y, r.width, r.height])"
)
DRAWN = "(() => { const s = viewer.display; return [...s.panels].every(p => !p.visible || p.isReady()) })()"
PATIENCE_SECONDS = 240.0


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view")
    write_phantom(PhantomConfig(shape_vx=(32, 160, 160), seed=5), folder / "phantom.zarr")
    raw, labels = (Volume.open(folder / "phantom.zarr" / name) for name in ("raw", "labels"))
    return publish(folder / "published", raw, labels)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, 1200, 800) as opened:
        yield opened


def look(browser: Browser, url: str, picture: Path) -> list[np.ndarray]:
    """Open a view, wait until all of it is drawn, and return its panels: xy, xz, 3-D, yz."""
    browser.call("Page.navigate", url="about:blank")
    browser.complaints.clear()
    browser.requested.clear()
    browser.open(url)
    browser.wait(lambda: len(browser.ask(PANELS)) == 4, "four panels", PATIENCE_SECONDS)
    browser.wait(lambda: browser.ask(DRAWN), "the data", PATIENCE_SECONDS)
    seen = browser.picture(picture)
    return [
        seen[round(y) + 4 : round(y + height) - 4, round(x) + 4 : round(x + width) - 4]
        for x, y, width, height in browser.ask(PANELS)
    ]


def share_coloured(panel: np.ndarray) -> float:
    """Return the share of pixels that are neither grey nor black: coloured segments."""
    return float((np.ptp(panel.astype(int), axis=-1) > 24).mean())


def test_meshes_of_the_selected_segments_are_drawn_in_3d(browser: Browser, published: Path, tmp_path: Path) -> None:
    pictures = Path(PICTURES) if PICTURES else tmp_path
    with serving(find_view([published])) as server:
        panels = look(browser, server.url, pictures / "view_published.png")
        print([p.shape for p in panels], [share_coloured(p) for p in panels])
        print(browser.complaints, browser.requested)
