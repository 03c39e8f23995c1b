"""How the pictures of the report stand beside each other, in headless Chromium."""

import shutil
from pathlib import Path

import pytest

from neuroadda.viewing.report import write_report
from tests.viewing.test_report import full_report
from tests.walks.browser import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


def test_the_six_pictures_of_a_slice_fill_their_rows(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    page = write_report(tmp_path / "report.html", full_report())
    tops = "[...document.querySelector('.panels').querySelectorAll('figure')].map(f => Math.round(f.offsetTop))"
    with Browser(CHROMIUM) as browser:
        for width, rows in ((1920, 1), (1600, 1), (1280, 1), (1024, 1), (900, 2), (700, 2), (400, 3)):
            browser.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
            )
            browser.open(f"file://{page}")
            found = browser.ask(tops)
            assert len(found) == 6
            counts = [found.count(top) for top in sorted(set(found))]
            assert counts == [6 // rows] * rows, f"{width} pixels wide"
            assert browser.ask("document.documentElement.scrollWidth <= innerWidth")
