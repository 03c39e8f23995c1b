"""A person's path in a real browser: a likely error seen in 3-D, decided, seen corrected; what each command says is next."""

import csv
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda.segmentation.pipeline import Plan
from neuroadda.viewing.error_sheet import COLOURS
from neuroadda.viewing.viewer.client import find_client
from neuroadda.viewing.viewer.view import find_view
from tests.proofreading.planted import plant, segment_planted
from tests.viewing.viewer.published import serving
from tests.viewing.viewer.test_view_browser import CHROMIUM, IN_3D, errors, look
from tests.viewing.viewer.test_view_verb import Run
from tests.walks.browser import Browser

for package in ("tensorstore", "zmesh"):
    pytest.importorskip(package, reason=f"{package} is not installed (pip install neuroadda[publish])")


@pytest.fixture(params=["split", "merge"])
def plan(tmp_path: Path, request: pytest.FixtureRequest) -> Plan:
    """A run with one planted error, whose correction is of that kind."""
    kind = request.param
    return segment_planted(tmp_path, plant(split=kind == "merge", merge=kind == "split"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with Browser(CHROMIUM, 1200, 800) as opened:
        yield opened


def shares(panel: np.ndarray) -> list[float]:
    """Return the share of a panel that has the hue of each side of an error."""
    pixels = panel.astype(float)
    lit = pixels.max(axis=-1) > 40
    hues = pixels / np.linalg.norm(pixels, axis=-1, keepdims=True).clip(1)
    return [
        float((lit & (hues @ (colour / np.linalg.norm(colour)) > 0.985)).mean()) for colour in map(np.array, COLOURS)
    ]


def selected(state: dict[str, Any]) -> list[str]:
    (layer,) = [layer for layer in state["layers"] if layer["name"] == "segmentation"]
    return list(layer["segments"])


def read_state(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/state.json") as answer:
        return dict(json.loads(answer.read()))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: neither chromium nor google-chrome is on the path")
@pytest.mark.skipif(find_client() is None, reason="neuroglancer is not installed (pip install neuroadda[view])")
def test_an_error_is_seen_in_3d_decided_and_seen_corrected(
    plan: Plan, browser: Browser, command: Run, tmp_path: Path
) -> None:
    run, published = Path(plan.config.output), tmp_path / "published"
    code, _, told = command("publish", run, published, "--workers", 1)
    assert (code, told.splitlines()[-1]) == (0, f"look at it: neuroadda view {published}")
    code, out, _ = command("errors", run, "-n", 3)
    assert code == 0
    assert f"neuroadda view {published} {run}/errors --error 1\n" in out
    assert f"neuroadda view PUBLISHED {run}/errors --error RANK" in (run / "errors/errors.html").read_text()
    table = run / "errors/errors.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kind = rows[0]["kind"]
    before, after = (1, 2) if kind == "split" else (2, 1)

    def look_at_first(seen: int) -> list[str]:
        view = find_view([published, run / "errors"])
        with serving(view) as server:

            def is_drawn(panels: list[np.ndarray]) -> bool:
                first, second = shares(panels[IN_3D])
                return first > 0.01 and (second > 0.01 if seen == 2 else second < 0.001)

            picture = tmp_path / f"{kind}_{seen}.png"
            look(browser, f"{server.url}errors/1", picture, is_drawn)
            assert errors(browser) == []
            state = browser.ask("viewer.state.toJSON()")
            assert len(selected(state)) == seen
            assert state["position"] == pytest.approx(
                [float(rows[0][axis]) / size for axis, size in zip("zyx", (30, 6, 6), strict=True)]
            )
            return selected(state)

    ids = look_at_first(before)
    assert set(ids) == {rows[0]["segment_1"], rows[0]["segment_2"]}
    rows[0]["decision"] = "yes"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    code, out, _ = command("edits", "add", run, "--csv", table)
    assert (code, f"`neuroadda edits apply {run}`" in out) == (0, True)
    code, _, told = command("edits", "apply", run)
    (again,) = re.findall(r"`neuroadda (publish .*?)` makes it again", told)
    assert (code, command(*again.split())[0]) == (0, 0)
    for id_ in look_at_first(after):
        assert (published / "precomputed/segmentation/mesh" / f"{id_}:0").is_file()


def test_each_error_has_a_state_and_what_is_no_queue_is_refused(plan: Plan, command: Run, tmp_path: Path) -> None:
    run = Path(plan.config.output)
    code, out, _ = command("errors", run, "-n", 2)
    assert f"neuroadda view {run} {run}/errors --error 1\n" in out
    ids = find_view([run]).volumes[-1].read_id
    points = [error.points_nm for error in find_view([run, run / "errors"]).errors.values()]
    found = [ids(point) for pair in points for point in pair]
    assert command("pyramid", plan.output("relabel"))[0] == 0
    shown = find_view([run, run / "errors"]).volumes[-1]
    assert (str(shown.location)[-9:], [shown.read_id(point) for pair in points for point in pair]) == (
        ".ome.zarr",
        found,
    )
    assert min(found) > 0 == shown.read_id((-30.0, 0.0, 0.0)) == shown.read_id((1e6, 12.0, 0.0))
    with serving(find_view([run, run / "errors"])) as server:
        states = [read_state(f"{server.url}errors/{rank}") for rank in (1, 2)]
        assert states[0]["layers"][-1]["name"].startswith("error 1: ")
        assert states[0]["position"] != states[1]["position"]
        assert selected(states[0])
        for rank in ("0", "3", "01", "1/x", "1/../../state"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{server.url}errors/{rank}")
    code, out, told = command("view", run, run / "errors", "--error", 2, "--root", tmp_path, "--json")
    assert (code, json.loads(out)["layers"][-1]["name"][:7]) == (0, "error 2")
    for places, error in (
        ((run, run / "errors"), "there is no likely error 3"),
        ((run,), "no likely errors are given"),
    ):
        code, out, told = command("view", *places, "--error", 3)
        assert (code, out, error in told) == (2, "", True)
    code, _, told = command("view", run / "errors")
    assert (code, "there is no volume to show the rest over" in told) == (2, True)
    table = run / "errors/errors.csv"
    table.write_text(table.read_text().replace("rank,", "number,", 1))
    code, _, told = command("view", run, run / "errors")
    assert (code, told.count("\n"), "errors.csv, line 2" in told) == (2, 1, True)
