"""`neuroadda view` as a person sees it: Neuroglancer in headless Chromium, in sections and in 3-D."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid
from neuroadda.viewing.viewer.client import find_client
from neuroadda.viewing.viewer.view import find_view
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from tests.viewing.viewer.published import publish, serving
from tests.walks.browser import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytest.importorskip("tensorstore", reason="tensorstore is not installed (pip install neuroadda[publish])")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: neither chromium nor google-chrome is on the path"),
    pytest.mark.skipif(find_client() is None, reason="neuroglancer is not installed (pip install neuroadda[view])"),
]
PANELS = (
    "[...document.querySelectorAll('.neuroglancer-rendered-data-panel')].map(p => p.getBoundingClientRect())"
    ".map(r => [r.x, r.y, r.width, r.height])"
)
PATIENCE_SECONDS = 240.0
SECTIONS, IN_3D = (0, 1, 3), 2  # panels
TOKEN = "a-token-that-nobody-guesses"
BOX = {"type": "axis_aligned_bounding_box", "id": "b", "pointA": [10, 40, 40], "pointB": [20, 90, 90]}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("view") / "phantom.zarr"
    write_phantom(PhantomConfig(shape_vx=(32, 160, 160), seed=5), folder)
    build_pyramid(PyramidConfig(volume=str(folder / "raw"), execution={"launcher": "serial"}))
    return folder


@pytest.fixture(scope="module")
def published(volumes: Path) -> Path:
    return publish(volumes.parent / "published", *(Volume.open(volumes / name) for name in ("raw", "labels")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, 1200, 800) as opened:
        yield opened


def look(browser: Browser, url: str, picture: Path, is_drawn: Callable[[list[np.ndarray]], object]) -> list[np.ndarray]:
    """Open a view, wait until it is drawn, and return its panels: xy, xz, 3-D, yz."""
    browser.call("Page.navigate", url="about:blank")
    browser.complaints.clear()
    browser.requested.clear()
    browser.open(url)
    browser.wait(lambda: len(browser.ask(PANELS)) == 4, "four panels", PATIENCE_SECONDS)

    def panels() -> list[np.ndarray]:
        seen = browser.picture(picture)
        return [
            seen[round(y) + 4 : round(y + height) - 4, round(x) + 4 : round(x + width) - 4]
            for x, y, width, height in browser.ask(PANELS)
        ]

    browser.wait(lambda: bool(is_drawn(panels())), "the picture", PATIENCE_SECONDS)
    return panels()


def share_coloured(panel: np.ndarray) -> float:
    """Return the share of pixels that are neither grey nor a line's yellow, red, green or blue: coloured segments."""
    pixels = panel.astype(int)
    lines = ((pixels < 24) | (pixels > 232)).all(axis=-1)
    return float(((np.ptp(pixels, axis=-1) > 24) & ~lines).mean())


def spread(panel: np.ndarray) -> float:
    """Return how much the greys of the middle differ: nothing is drawn at 0."""
    y, x = (n // 2 for n in panel.shape[:2])
    return float(panel[y - 30 : y - 10, x - 30 : x - 10].std())


def errors(browser: Browser) -> list[str]:
    """Return what the page complained of but files that are not there, for which it asks to find out a format."""
    return [complaint for complaint in browser.complaints if "404" not in complaint and "favicon" not in complaint]


@pytest.mark.system
def test_meshes_of_the_selected_segments_are_drawn_in_3d(browser: Browser, published: Path, tmp_path: Path) -> None:
    with serving(find_view([published])) as server:
        panels = look(browser, server.url, tmp_path / "a.png", lambda panels: share_coloured(panels[IN_3D]) > 0.1)
        assert all(share_coloured(panels[n]) > 0.03 for n in SECTIONS)
        assert all(url.startswith((server.address, "data:", "blob:")) for url in browser.requested)
        assert errors(browser) == []
    with serving(find_view([published], segments=[2**40])) as server:  # an id that has no mesh
        panels = look(
            browser, server.url, tmp_path / "b.png", lambda panels: all(spread(panels[n]) > 5 for n in SECTIONS)
        )
        assert share_coloured(panels[IN_3D]) < 0.02


def test_volumes_of_ours_are_drawn_with_a_pyramid_and_boxes_behind_a_token(
    browser: Browser, volumes: Path, tmp_path: Path
) -> None:
    dimensions = {axis: [size / 1e9, "m"] for axis, size in zip("zyx", (30, 6, 6), strict=True)}
    source = {"url": "local://annotations", "transform": {"outputDimensions": dimensions}}
    boxes = {
        "type": "annotation",
        "name": "boxes",
        "source": source,
        "annotationColor": "#ff9900",
        "annotations": [BOX],
    }
    (tmp_path / "state.json").write_text(json.dumps({"layers": [boxes]}))
    view = find_view([volumes / "raw", volumes / "labels", tmp_path / "state.json"])
    assert str(view.volumes[0].location).endswith("raw.ome.zarr")
    with serving(view, host="0.0.0.0", token=TOKEN) as server:
        url = f"http://127.0.0.1:{server.server_port}/{TOKEN}/"
        look(browser, url, tmp_path / "c.png", lambda panels: all(share_coloured(panels[n]) > 0.03 for n in SECTIONS))
        assert browser.ask("viewer.layerManager.managedLayers.map(l => l.name)") == ["raw", "labels", "boxes"]
        assert errors(browser) == []
