"""The dashboard as a person sees it: in headless Chromium, narrow and wide, light and dark."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.many_blocks import write_many
from neuroadda.ledger.base import BlockRecord, Failure, TaskRecord, Worker
from neuroadda.ledger.open import open_ledger
from tests.viewing.dashboard.serving import serve
from tests.walks.browser import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

HOSTILE = "</pre><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">\x1b[2J {{ 7*7 }} \u202e"
SHOWN = "performance.getEntriesByName('shown').length"
GROUND = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, c) => sum + +c, 0) / 3"
CANVAS = "document.querySelector('#views canvas')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM) as opened:
        yield opened


def look(browser: Browser, url: str, width: int = 1600, mode: str = "light") -> None:
    """Open the page and wait until all is shown."""
    browser.call("Page.navigate", url="about:blank")  # what was there before may complain that its dashboard has ended
    browser.complaints.clear()
    browser.requested.clear()
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
    browser.open(url)
    browser.wait(lambda: browser.ask(SHOWN) == 1, "the page")


def text(browser: Browser, selector: str) -> str:
    return browser.ask(f"document.querySelector({selector!r}).innerText")


def fits(browser: Browser) -> bool:
    return browser.ask("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("side", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_many_blocks_are_shown_at_once(browser: Browser, tmp_path: Path, side: int) -> None:
    task = write_many(tmp_path, side)
    with serve(str(tmp_path)) as dashboard:
        look(browser, dashboard.url)  # and the ledger has been read
        for width in (1600, 400):
            for mode in ("light", "dark"):
                look(browser, dashboard.url, width, mode)
                assert fits(browser)
                assert (browser.ask(GROUND) > 128) == (mode == "light")
                assert text(browser, "#sentence").startswith("Running: predict has")
                assert f"of {task.blocks:,} blocks" in text(browser, ".stage .facts")
                assert browser.complaints == []
        views = browser.ask("[...document.querySelectorAll('#views canvas')].map(c => [c.width > 0, c.height > 0])")
        assert views == [[True, True]] * 2
        browser.ask("document.querySelector('[data-colour=time]').click()")
        assert "done at" in text(browser, "#legend")
        assert browser.ask("document.querySelectorAll('#workers tr').length") == 32
        assert all(address.startswith("http://127.0.0.1:") for address in browser.requested)
        received = browser.ask(
            "performance.getEntriesByType('resource').reduce((sum, e) => sum + e.encodedBodySize, 0)"
        )
        assert received < 300_000
        assert browser.ask("document.querySelectorAll('*').length") < 1000  # however many blocks


@pytest.mark.parametrize("kind", ["sqlite", "mongo"])
def test_what_a_failed_block_says_is_text(
    browser: Browser, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db" if kind == "sqlite" else request.getfixturevalue("own_mongo_url")
    ledger = open_ledger(url)
    task = TaskRecord(fingerprint="f" * 64, stage=f"s{HOSTILE}", blocks=3, voxels=3, output=f"/o{HOSTILE}")
    ledger.register(task)
    failure = Failure(type=f"T{HOSTILE}", message=f"m{HOSTILE}", traceback=f"t{HOSTILE}")
    worker, now = Worker(host=f"h{HOSTILE}", pid=1, device=HOSTILE), time.time()
    about = {"fingerprint": task.fingerprint, "worker": worker, "started": now, "finished": now, "seconds": 1.0}
    ledger.write(
        [
            BlockRecord(**about, block=0, status="failed", failure=failure),
            BlockRecord(**about, block=1, status="done", voxels=1),
        ]
    )
    with serve(url) as dashboard:
        for width in (1600, 400):
            look(browser, dashboard.url, width)
            assert text(browser, ".failure pre").startswith("t</pre><script>")
            assert "{{ 7*7 }}" in text(browser, ".failure h3")
            assert browser.ask("document.title").startswith("failed:")
            assert browser.ask("document.querySelectorAll('main script, main img').length") == 0
            assert fits(browser)
            assert browser.complaints == []
    ledger.reset(task.fingerprint)
    ledger.close()


def test_the_two_questions_are_answered_and_the_page_keeps_up(browser: Browser, tmp_path: Path) -> None:
    write_many(tmp_path, 4)
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    with serve(str(tmp_path)) as dashboard:
        look(browser, dashboard.url)
        assert text(browser, "#health").startswith("Running")
        assert f"neuroadda retry {tmp_path}" == text(browser, "#retry")
        assert "OSError: [Errno 5] Input/output error" in text(browser, "#why")
        assert "1 block of predict: 5" in text(browser, "#why")
        browser.ask("document.getElementById('copy').click()")
        (task,) = ledger.tasks()
        now = time.time()
        done = {"status": "done", "worker": Worker(host="a", pid=1), "started": now, "finished": now, "seconds": 0.1}
        ledger.write([BlockRecord(**done, fingerprint=task.fingerprint, block=b, voxels=1) for b in range(task.blocks)])
        browser.wait(lambda: text(browser, "#sentence").startswith("Finished"), "the end of the run")
        assert not browser.ask("document.getElementById('why').checkVisibility()")
        assert "64 of 64 blocks (100 %)" in text(browser, ".stage .facts")
    browser.wait(lambda: "does not answer" in text(browser, "#trouble"), "the end of the dashboard")
    ledger.close()


@pytest.mark.parametrize("finished", [[0.004], [0.3], [0.3, 1.01], [0.5, 0.9, 1.02, 7.4]], ids=str)
def test_rates_agree_and_nothing_took_no_time(browser: Browser, tmp_path: Path, finished: list[float]) -> None:
    """The highest rate is never below the mean, and the mean is that of the time that the stage took."""
    ledger, now = open_ledger(f"sqlite:///{tmp_path}/ledger.db"), time.time() - 60
    task = TaskRecord(fingerprint="f" * 64, stage="s", blocks=len(finished), voxels=8 * len(finished), output="/o")
    ledger.register(task.model_copy(update={"created": now}))
    about = {"fingerprint": task.fingerprint, "worker": Worker(host="h", pid=1), "status": "done", "voxels": 8}
    ledger.write(
        [
            BlockRecord(**about, block=block, started=now, finished=now + end, seconds=end)
            for block, end in enumerate(finished)
        ]
    )
    with serve(str(tmp_path)) as dashboard:
        look(browser, dashboard.url)
        facts = text(browser, ".stage .facts")
        assert "took 0 s" not in facts
        assert ("took less than 0.01 s" in facts) == (finished[-1] < 0.01)
        for unit in ("blocks/s", "vx/s"):
            titles = browser.ask("[...document.querySelectorAll('#history figcaption')].map(c => c.innerText)")
            title = next(t for t in titles if unit in t)
            most, mean = (float(n) for n in re.findall(r"([\d.]+) (?:k)?(?:blocks|vx)/s", title))
            assert most >= mean
        took = re.search(r"took ([\d.]+) s", facts)
        if took is not None:
            blocks = re.search(r"on average ([\d.]+) blocks/s", " ".join(titles))
            assert float(blocks[1]) * float(took[1]) == pytest.approx(len(finished), rel=0.05)
    ledger.close()


def test_the_map_is_read_by_pointer_and_keys(browser: Browser, tmp_path: Path) -> None:
    write_many(tmp_path, 4)
    with serve(str(tmp_path)) as dashboard:
        look(browser, dashboard.url)
        press = f"{CANVAS}.dispatchEvent(new KeyboardEvent('keydown', {{key: '%s'}}))"
        browser.ask(press % "ArrowRight")
        assert text(browser, "#cell").startswith("block y 0, x 1: 2 of 4 done, 2 running")
        browser.ask(press % "ArrowDown")
        assert text(browser, "#cell").startswith("block y 1, x 1: 1 of 4 done, 2 running, 1 failed")
        x, y = browser.ask(f"(r => [r.x + 2, r.y + 2])({CANVAS}.getBoundingClientRect())")
        browser.ask(f"{CANVAS}.dispatchEvent(new PointerEvent('pointermove', {{clientX: {x}, clientY: {y}}}))")
        assert text(browser, "#cell").startswith("block y 0, x 0")


def test_the_token_of_the_address_opens_the_page_and_goes_from_it(browser: Browser, tmp_path: Path) -> None:
    write_many(tmp_path, 4)
    with serve(str(tmp_path), token="a-token-that-nobody-guesses") as dashboard:
        browser.call("Network.clearBrowserCookies")
        browser.open(f"http://127.0.0.1:{dashboard.server_port}/")
        assert "needs its token" in text(browser, "body")
        look(browser, dashboard.url)
        assert browser.ask("location.href") == f"http://127.0.0.1:{dashboard.server_port}/"
        assert text(browser, "#sentence").startswith("Running")
        assert "nobody-guesses" not in browser.ask("document.cookie + document.documentElement.outerHTML")
