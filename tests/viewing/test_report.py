import dataclasses
import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.evaluation.choosing import choose
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.evaluation.settings import Setting
from neuroadda.evaluation.skeletons import ErlScores
from neuroadda.evaluation.tuning import Tuned
from neuroadda.quality.change import KeyNumbers
from neuroadda.quality.measure import LargeSegment, Quality, SizeClass
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.viewing.curves import Curve
from neuroadda.viewing.report import (
    Baseline,
    DataSource,
    Report,
    SliceView,
    StageRow,
    cut_slices,
    render_report,
    write_report,
)
from neuroadda.viewing.shapes import ShapePicture, Shapes
from neuroadda.viewing.surface import draw_surface, plot_surface

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> & {{ 7 * 7 }}"


class Page(HTMLParser):
    """A page's elements and text; fails where tags are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def scores(pieces: int = 3) -> Scores:
    segments = np.arange(640) * pieces // 640 + 1
    return score(count_overlaps(segments, np.arange(640) // 320 + 1))


def full_report(name: str = "mouse cortex") -> Report:
    rng = np.random.default_rng(0)
    truth = np.arange(1, 5).repeat(4).reshape(1, 4, 4).repeat(3, 0).repeat(8, 1).repeat(8, 2)
    return Report(
        title=f"Report of {name}",
        data=DataSource(
            name,
            "real",
            name,
            f"Someone et al. 2015 {name}",
            f"CC BY 4.0 {name}",
            "https://example.org/a?b=1&c=2",
            (3, 32, 32),
            (30, 4.05, 4),
        ),
        scores=scores(),
        erl=ErlScores(
            erl_nm=1234.5,
            max_erl_nm=5000.0,
            normalised=0.2469,
            skeletons=3,
            length_nm=9e3,
            split_edges=2,
            omitted_edges=1,
            merged_segments=0,
            merged_skeletons=0,
        ),
        baselines=[Baseline(name, scores(7), name), Baseline("other", scores(2))],
        slices=cut_slices(
            [0, 2],
            raw=rng.integers(0, 256, truth.shape, np.uint8),
            affs=rng.random((3, *truth.shape)),
            fragments=rng.integers(0, 9, truth.shape),
            segmentation=truth * 10,
            truth=truth,
        ),
        sweep=SimpleNamespace(thresholds=[0.1, 0.25, 0.9], scores=[scores(7), scores(2), scores(5)], best=1),
        stages=[StageRow(name, 96, 6_291_456, 12.0, 24.0, 3 * 2**29), StageRow("relabel", 4, 100, 0.0)],
        training=[Curve(name, [0, 1], [1.0, 0.5])],
        config={name: {"block_vx": [32, 64, 64], "path": Path("a/b")}},
        versions={name: "1.2.3"},
        machine={"cpu": name},
        created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    )


def test_the_page_tells_the_given_numbers() -> None:
    report = full_report()
    text = Page(render_report(report)).text
    for given in [report.scores, *(b.scores for b in report.baselines)]:
        assert f"{given.voi_split:.3f}" in text
        assert f"{given.voi:.3f}" in text
        assert f"{given.adapted_rand_error:.4f}" in text
    for expected in (
        "nats", "1.23 µm", "24.7 % of the possible 5 µm", "3 \u00d7 32 \u00d7 32 voxels",
        "30 \u00d7 4.05 \u00d7 4 nm", "CC BY 4.0",
        f"Best: {scores(2).voi:.3f} nats VOI at threshold 0.25", "96 6.29 M 12.0 s 524 k 24.0 s 1.5 GiB",
        "2026-01-02 03:04 UTC", '"block_vx"', "1.2.3", "real data",
    ):  # fmt: skip
        assert expected in text


def test_the_page_tells_of_quality_without_truth() -> None:
    size = SizeClass(from_um3=0.01, segments=1200, voxels=75, orphans=7)
    large = LargeSegment(
        id=2**40, voxels=60, exits=3, length_nm=2340.0, branches=1, branch_points=0, ends=2, dangling_nm=((1, 2, 3),)
    )
    quality = Quality(
        voxels=200, segmented=100, voxel_size_nm=(100, 100, 100), segments=1234, half=5, at_border=34, orphans=1200,
        orphan_voxels=25, sizes=(size,), coarse_nm=(200, 200, 200), largest=(large,),
    )  # fmt: skip
    before, now = (
        KeyNumbers(
            fingerprint=f, threshold=t, edits=0, voi=voi, segments=n, half=5, orphans=7, orphan_share=0.25, dangling=1
        )
        for f, t, voi, n in (("a", 0.5, None, 9), ("b", 0.25, 0.75, 1234))
    )
    before = before.model_copy(update={"written": datetime(2026, 5, 6, 7, 8, tzinfo=UTC)})
    grey = np.full((8, 8, 3), 99, np.uint8)
    shapes = Shapes([ShapePicture(large, grey, grey)], 500.0)
    source = DataSource("name", "real")
    page = Page(render_report(Report("title", source, quality=quality, shapes=shapes, before=before, now=now)))
    for expected in (
        "1,234", "50.0 % of the voxels", "touch no border: 25 % of what is segmented", "of the 1 largest: in tissue",
        "0.01 to 0.1 1,200 7 75.0 %", f"{2**40} 0.06 3 2.34 1 2 1", f"{2**40} : 0.06 µm³, 1 branch, 1 dangling end",
        "What changed since 2026-05-06 07:08 UTC", "threshold 0.5 0.25", "VOI, nats \u2013 0.750", "segments 9 1,234",
        "Each bar is 0.5 µm", "Voxels of 200 \u00d7 200 \u00d7 200 nm", "Right: what the truth has there",
    ):  # fmt: skip
        assert expected in page.text
    assert len(page.tags("img")) == 2
    untraced = quality.model_copy(update={"largest": ()})
    alone = Page(render_report(Report("title", source, quality=untraced, shapes=Shapes([], 500.0))))
    assert "neuroadda publish writes their meshes and skeletons" in alone.text
    assert "Largest segments" not in alone.text
    assert "What changed" not in alone.text


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = render_report(full_report())
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    addresses = [e.get(key) for _, e in page.elements for key in ("src", "srcset", "data", "poster") if key in e]
    assert len(addresses) == 2 * 6 + 2 * 2
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert [a["href"] for a in page.tags("a")] == ["https://example.org/a?b=1&c=2"]
    assert not re.search(r"@import|url\(|@font-face", html)
    policy = next(m["content"] for m in page.tags("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_hostile_names_are_text() -> None:
    page = Page(render_report(full_report(HOSTILE)))
    plain = Page(render_report(full_report()))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.text.count("<script>alert('x')</script>") >= 8
    assert "{{ 7 * 7 }}" in page.text
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "ftp://x", ""])
def test_only_web_addresses_become_links(link: str) -> None:
    page = Page(render_report(Report("r", DataSource("d", "real", citation="Someone 2015", link=link))))
    assert page.tags("a") == []
    assert "Someone 2015" in page.text


def test_absent_sections_are_left_out() -> None:
    text = Page(render_report(Report("Small", DataSource("made", "phantom")))).text
    assert "phantom: synthetic data" in text
    for heading in (
        "VOI",
        "Comparison",
        "Slices",
        "sweep",
        "Training",
        "Stages",
        "Machine",
        "Versions",
        "config",
        "Licence",
    ):
        assert heading not in text


@pytest.mark.parametrize(
    ("absent", "captions"),
    [
        ((), ["raw", "affinities", "fragments", "segmentation", "truth", "errors"]),
        (("truth",), ["raw", "affinities", "fragments", "segmentation"]),
        (("raw", "affs", "fragments", "segmentation"), ["truth"]),
    ],
)
def test_slices_show_what_there_is(absent: tuple[str, ...], captions: list[str]) -> None:
    view = dataclasses.replace(full_report().slices[0], **dict.fromkeys(absent))
    page = Page(render_report(Report("r", DataSource("d", "phantom"), slices=[view])))
    assert [img["alt"] for img in page.tags("img")] == [f"{caption}, z = 0" for caption in captions]
    assert ("Errors:" in page.text) == ("errors" in captions)


def test_the_lowest_total_is_bold() -> None:
    html = render_report(full_report())
    row = re.search(r'<tr class="best">(.*?)</tr>', html, re.DOTALL)
    assert row
    assert "other" in row[1]


def test_large_slices_are_thinned_out() -> None:
    big = SliceView("z = 0", raw=np.random.default_rng(0).integers(0, 256, (2000, 1500), np.uint8))
    assert len(render_report(Report("r", DataSource("d", "real"), slices=[big]))) < 600_000


def test_contradictions_are_refused() -> None:
    other_units = score(count_overlaps(np.ones(4, int), np.ones(4, int)), base=2)
    with pytest.raises(UserError, match="baseline 'b': VOI in bits, not nats"):
        render_report(Report("r", DataSource("d", "real"), scores=scores(), baselines=[Baseline("b", other_units)]))
    uneven = SliceView("z = 3", raw=np.zeros((4, 4), np.uint8), truth=np.zeros((4, 5), int))
    with pytest.raises(UserError, match="slice 'z = 3'"):
        render_report(Report("r", DataSource("d", "real"), slices=[uneven]))


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = write_report(tmp_path / "new" / "report.html", full_report())
    assert target.read_text(encoding="utf-8") == render_report(full_report())
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.html", full_report())


@pytest.mark.parametrize("start", ["first", "other"])
def test_an_adaptation_tells_its_start_and_its_score_on_a_box_left_out(start):
    source = {
        "name": "first",
        "consistency": 0.9,
        "consistency_interval": (0.8, 1.0),
        "mmd2": None,
        "mmd2_interval": None,
    }
    adaptation = {
        "before": None,
        "rounds": [],
        "sources": {"start": start},
        "held_back": {"box": "roi_4", "before": {"voi": 0.92}, "after": {"voi": 0.706}},
    }
    ranking = {"winner": "first", "sources": [source | {"why": "-"}]}
    page = Page(render_report(dataclasses.replace(full_report(), ranking=ranking, adaptation=adaptation)))
    assert f"The training started from {start}." in page.text
    assert "VOI on roi_4: 0.920 before, 0.706 after the same fine-tuning without this box." in page.text


def tuned_report(**changes: str) -> Report:
    boundaries = (0.3, 0.2, 0.5, 0.4, 0.35, 0.25, 0.15)
    settings = tuple(Setting(fragments=Fragments(boundary=b), agglomerate=Agglomerate()) for b in boundaries)
    voi = 1 + np.random.default_rng(0).random((7, 4, 5)) / 10
    voi[2, :, 1:4] = 0.5
    boxes, thresholds = tuple(f"roi_{n}" for n in range(4)), (0.3, 0.4, 0.5, 0.6, 0.7)
    tuned = Tuned(settings, thresholds, boxes, voi, choose(voi, 2), "4 boxes")
    return Report(title="tuned", data=DataSource("d", "real"), scores=scores(), tuned=tuned, **changes)


def test_the_settings_that_were_chosen_are_told_and_drawn() -> None:
    page = Page(render_report(tuned_report()))
    assert "Settings, chosen on labelled boxes" in page.text
    assert "Taken: setting boundary=0.5, threshold 0.5: VOI 0.500 (0.500 to 0.500) on 4 boxes" in page.text
    assert "This run was given its own" not in page.text
    assert any(image["alt"] == "mean VOI of boxes by threshold, for each setting" for image in page.tags("img"))
    own = Page(render_report(tuned_report(untaken="This run was given its own: default, threshold 0.3.")))
    assert "This run was given its own: default, threshold 0.3." in own.text


def test_a_surface_is_a_picture_of_its_own_too() -> None:
    tuned = tuned_report().tuned
    assert tuned is not None
    with Image.open(io.BytesIO(draw_surface(tuned))) as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("RGBA"))[0, 0].tolist() == [255, 255, 255, 255]
    assert len(set(plot_surface(tuned))) == 2


def test_boxes_that_were_trained_on_are_told_beside_the_score() -> None:
    report = dataclasses.replace(tuned_report(), scored_where="without the box that the backbone was trained on")
    assert "voxels, without the box that the backbone was trained on" in Page(render_report(report)).text
