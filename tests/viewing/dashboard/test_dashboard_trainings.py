"""The dashboard of trainings: their curves and their pictures, alone and beside a run."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from benchmarks.many_blocks import write_many
from neuroadda.errors import UserError
from neuroadda.locks import lock_folder
from neuroadda.viewing.dashboard.server import open_dashboard
from neuroadda.viewing.dashboard.trainings import MOST_POINTS, Trainings
from tests.training.test_status import count_up, write_log
from tests.viewing.dashboard.serving import serve
from tests.viewing.dashboard.test_dashboard_page import CHROMIUM, fits, look, text
from tests.viewing.dashboard.test_dashboard_server import get
from tests.walks.browser import Browser

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def write_training(folder: Path, last: int = 900, name: str = "mine") -> None:
    scores = [
        {"iteration": i, "validation_voi": 3 - i / 500, "validation_threshold": 0.5} for i in range(100, last + 1, 100)
    ]
    write_log(folder, *count_up(1, last), *scores, name=name)
    (folder / "pictures").mkdir()
    for iteration in (100, last):
        matplotlib.image.imsave(
            folder / f"pictures/{iteration:08d}.png", np.random.default_rng(iteration).random((64, 256, 3))
        )


def test_a_training_is_told_without_a_ledger(tmp_path: Path) -> None:
    write_training(tmp_path)
    with serve(str(tmp_path)) as dashboard, lock_folder(tmp_path):
        told = json.loads(get(dashboard, "/overview")[2])
        (training,) = told["trainings"]
        assert (told["stages"], told["ledger"]) == ([], False)
        assert told["health"]["sentence"].startswith("Running: mine, 900 of 1,000 iterations are done")
        assert (training["id"], training["iteration"], training["picture"]) == (".", 900, 900)
        loss, voi = json.loads(get(dashboard, "/curves?training=.")[2])
        assert loss["name"] == "loss"
        assert len(loss["x"]) == len(loss["y"]) == MOST_POINTS
        assert loss["y"][0] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
        assert (voi["name"], voi["x"], voi["y"][-1]) == ("voi", list(range(100, 901, 100)), pytest.approx(1.2))
        status, headers, picture = get(dashboard, "/picture?training=.&at=900")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert picture == (tmp_path / "pictures/00000900.png").read_bytes()
        for path in (
            "/curves",
            "/curves?training=../x",
            "/picture?training=/etc",
            "/detail?stage=x",
            "/slice?stage=x&block=0",
        ):
            assert get(dashboard, path)[0] == 404


def test_a_run_is_shown_once_it_has_a_ledger_and_nothing_is_refused(tmp_path: Path) -> None:
    write_training(tmp_path / "train", 7)
    with serve(str(tmp_path)) as dashboard:
        assert json.loads(get(dashboard, "/overview")[2])["health"]["state"] == "stopped"
        write_many(tmp_path, 4)
        told = json.loads(get(dashboard, "/overview")[2])
        assert told["ledger"]
        assert [training["id"] for training in told["trainings"]] == ["train"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no ledger here"), open_dashboard(tmp_path / "empty"):
        pass


def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write_training(tmp_path / "train", 7)
    with serve(str(tmp_path)) as dashboard:
        (tmp_path / "ledger.db").write_text("no database")
        told = json.loads(get(dashboard, "/overview")[2])
        assert "ledger.db" in told["trouble"]
        assert [training["iteration"] for training in told["trainings"]] == [7]
    with pytest.raises(UserError, match=r"ledger\.db"), open_dashboard(tmp_path):
        pass


def test_few_losses_are_shown_as_they_are(tmp_path: Path) -> None:
    write_log(tmp_path, *count_up(1, 3))
    (loss,) = Trainings(tmp_path).curves(".")
    assert (loss["x"], loss["y"]) == ([1, 2, 3], pytest.approx([1, 1 / 2, 1 / 3]))
    write_log(tmp_path)
    assert Trainings(tmp_path).curves(".") == []
    with pytest.raises(UserError, match="no picture"):
        Trainings(tmp_path).picture(".")
    assert not Trainings(None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with Browser(CHROMIUM) as opened:
        yield opened


def test_the_page_shows_curves_and_the_newest_picture(browser: Browser, tmp_path: Path) -> None:
    write_training(tmp_path / "round_1/train", name=HOSTILE)
    write_training(tmp_path / "round_2/train", 300)
    shutil.copystat(tmp_path, tmp_path / "round_1")
    with serve(str(tmp_path)) as dashboard:
        for width in (1600, 400):
            for mode in ("light", "dark"):
                look(browser, dashboard.url, width, mode)
                browser.wait(
                    lambda: browser.ask("document.querySelectorAll('#curves canvas').length") == 2, "the curves"
                )
                browser.wait(
                    lambda: browser.ask("document.querySelector('#picture img').naturalWidth") == 256, "the picture"
                )
                assert "300 of 1,000 iterations" in text(browser, "#sentence")
                assert text(browser, "#training-list .stage:last-child .name") == "round_2/train"
                assert "lowest 2.4 at 300" in text(browser, "#curves")
                assert not browser.ask("document.getElementById('stage-card').checkVisibility()")
                assert fits(browser)
                assert browser.complaints == []
        browser.ask("document.querySelector('#training-list .stage').click()")
        browser.wait(lambda: "at 900" in text(browser, "#curves"), "the other training")
        assert HOSTILE in text(browser, "#training-list")
        assert browser.ask("document.title").startswith("stopped")


def test_a_training_stands_beside_the_stages_of_its_run(browser: Browser, tmp_path: Path) -> None:
    write_many(tmp_path, 4)
    write_training(tmp_path / "train")
    with serve(str(tmp_path)) as dashboard:
        look(browser, dashboard.url)
        browser.wait(lambda: browser.ask("document.querySelectorAll('#curves canvas').length") == 2, "the curves")
        assert text(browser, "#sentence").startswith("Running: predict has")
        assert browser.ask("document.querySelectorAll('#stages .stage').length") == 1
        assert "900 of 1,000 iterations are done" in text(browser, "#training-list")
        assert browser.complaints == []
