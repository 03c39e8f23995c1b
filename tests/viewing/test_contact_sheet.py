import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from neuroadda.active.proposals import Pool, Proposal, Proposals
from neuroadda.errors import UserError
from neuroadda.viewing.contact_sheet import render_page, write_contact_sheet
from neuroadda.viewing.panels import (
    MOST_BOXES,
    SIDE,
    Panel,
    coordinates,
    cut_panel,
    cut_panels,
    draw_sections,
    find_scale,
    project,
)
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from tests.viewing.test_report import HOSTILE, Page

VOXEL_NM, OFFSET_NM = (30.0, 4.6, 4.0), (300.0, 46.0, 0.0)
CELL_VX = (2, 4, 8)


def a_proposal(
    offset_vx: tuple[int, ...] = (4, 12, 16), shape_vx: tuple[int, ...] = (4, 16, 16), rank: int = 1, words: str = "why"
) -> Proposal:
    return Proposal.model_validate(
        {
            "offset_nm": tuple(o + i * v for o, i, v in zip(OFFSET_NM, offset_vx, VOXEL_NM, strict=True)),
            "shape_nm": tuple(n * v for n, v in zip(shape_vx, VOXEL_NM, strict=True)),
            "rank": rank,
            "score": 0.125 * rank,
            "reason": words,
        }
    )


def volumes(folder: Path, shape_vx: tuple[int, int, int] = (10, 40, 64)) -> tuple[Volume, Volume, np.ndarray]:
    """Return raw, the grid of its uncertainty, and that grid's cells; one cell has no tissue."""
    rng = np.random.default_rng(0)
    raw = Volume.create(folder / "v.zarr/raw", shape_vx, VOXEL_NM, np.uint8, offset_nm=OFFSET_NM, chunk_vx=(1, 8, 8))
    raw.data[:] = rng.integers(0, 256, shape_vx, np.uint8)
    shape = [-(-n // c) for n, c in zip(shape_vx, CELL_VX, strict=True)]
    size = [c * v for c, v in zip(CELL_VX, VOXEL_NM, strict=True)]
    grid = Volume.create(
        folder / "v.zarr/cells", shape, size, np.uint16, offset_nm=OFFSET_NM, channels=2, chunk_vx=(1, 2, 2)
    )
    cells = rng.integers(1, 65536, (2, *shape)).astype(np.uint16)
    cells[1, 3, 4, 2] = 0
    grid.data[:] = cells
    return raw, grid, cells


def proposals(*chosen: Proposal, words: str = "raw") -> Proposals:
    return Proposals(
        volume=f"/data/{words}", volume_fingerprint="f", voxel_size_nm=VOXEL_NM, backbone=f"net {words}",
        backbone_digest="d", strategy=f"median {words}", seed=7,
        pool=Pool(candidates=1_234_567, lowest=0.05, median=0.25, highest=0.75), proposals=chosen,
    )  # fmt: skip


def a_panel(proposal: Proposal, with_uncertainty: bool = True) -> Panel:
    rng = np.random.default_rng(proposal.rank)
    return Panel(
        proposal=proposal, raw=rng.integers(0, 256, (24, 20), np.uint8), frame=(0.25, 0.2, 0.75, 0.8), aspect=1.15,
        section=6, extent=RoiConfig(offset_nm=OFFSET_NM, shape_nm=(3000, 4600, 40000)),
        uncertainty=rng.random((6, 5)) if with_uncertainty else None,
    )  # fmt: skip


def a_page(words: str = "raw", scores: np.ndarray | None = None) -> str:
    chosen = [a_proposal(rank=rank, words=f"reason {words}") for rank in (1, 2)]
    return render_page(proposals(*chosen, words=words), [a_panel(p) for p in chosen], scores)


def test_a_panel_is_the_middle_section_with_context_and_its_cells(tmp_path: Path) -> None:
    raw, grid, cells = volumes(tmp_path)
    panel = cut_panel(raw, grid, a_proposal())
    assert panel.section == 6
    assert np.array_equal(panel.raw, raw.data[6, 8:32, 12:36])
    assert panel.frame == (4 / 24, 4 / 24, 20 / 24, 20 / 24)
    assert panel.aspect == pytest.approx(4.6 / 4)
    assert panel.uncertainty is not None
    y, x = np.meshgrid(np.arange(8, 32) // 4, np.arange(12, 36) // 8, indexing="ij")
    expected = np.where(cells[1, 3, y, x] > 0, cells[0, 3, y, x] / 65535, np.nan)
    assert np.allclose(panel.uncertainty, expected, equal_nan=True)
    assert np.isnan(panel.uncertainty).sum() == 4 * 8


def test_a_panel_stays_in_the_volume(tmp_path: Path) -> None:
    raw, grid, _ = volumes(tmp_path)
    panel = cut_panel(raw, grid, a_proposal((0, 24, 0), (1, 16, 64)))
    assert panel.section == 0
    assert panel.frame == (16 / 32, 0, 1, 1)
    assert np.array_equal(panel.raw, raw.data[0, 8:40])


def test_a_grid_of_a_part_leaves_the_rest_unknown(tmp_path: Path) -> None:
    raw, _, _ = volumes(tmp_path)
    size = [c * v for c, v in zip(CELL_VX, VOXEL_NM, strict=True)]
    offset = [o + 2 * s for o, s in zip(OFFSET_NM, size, strict=True)]
    part = Volume.create(tmp_path / "part.zarr/cells", (2, 3, 1), size, np.uint16, offset_nm=offset, channels=2)
    part.data[:] = 65535
    found = cut_panel(raw, part, a_proposal()).uncertainty
    assert found is not None
    known = np.zeros((24, 24), bool)
    known[0:12, 4:12] = True  # rows 8 to 20, columns 16 to 24 of the volume
    assert np.array_equal(np.isfinite(found), known)
    assert np.all(found[known] == 1)
    above = cut_panel(raw, part, a_proposal((8, 0, 0), (2, 16, 16))).uncertainty
    assert above is not None
    assert np.isnan(above).all()


def test_only_what_is_shown_is_read(tmp_path: Path) -> None:
    raw, grid, _ = volumes(tmp_path)
    shown = cut_panel(raw, grid, a_proposal())
    needed = {"raw": re.compile(r"6\.[123]\.[1234]"), "cells": re.compile(r"0\.3\.[123]\.[012]")}
    broken = []
    for name, pattern in needed.items():
        array = tmp_path / "v.zarr" / name
        chunks = [path for path in array.rglob("*") if path.is_file() and path.name[0] != "."]
        broken += [c for c in chunks if not pattern.fullmatch(c.relative_to(array).as_posix().replace("/", "."))]
    assert len(broken) > 100
    for chunk in broken:
        chunk.write_bytes(b"broken")
    assert np.array_equal(cut_panel(raw, grid, a_proposal()).raw, shown.raw)


def test_a_large_box_is_thinned_out(tmp_path: Path) -> None:
    shape = (2, 1500, 64)
    raw = Volume.create(tmp_path / "v.zarr/raw", shape, (30, 4, 4), np.uint16)
    raw.data[:] = np.broadcast_to(np.arange(1500, dtype=np.uint16)[:, None], shape)
    grid = Volume.create(tmp_path / "v.zarr/cells", (1, 15, 1), (60, 400, 400), np.uint16, channels=2)
    grid.data[0, 0, :, 0], grid.data[1] = np.arange(15) * 4369, 1
    box = Proposal(offset_nm=(0, 0, 0), shape_nm=(60, 6000, 256), rank=1, score=0.5, reason="large")
    panel = cut_panel(raw, grid, box)
    assert panel.raw.shape == (500, 22)
    assert panel.raw.dtype == np.uint8
    assert panel.uncertainty is not None
    assert np.allclose(panel.uncertainty[:, 0], (np.arange(0, 1500, 3) // 100) / 15)
    assert max(draw_sections(panel, (0, 1))[0][1].shape) <= SIDE


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    raw, grid, _ = volumes(tmp_path)
    with pytest.raises(UserError, match="no grid of uncertainty"):
        cut_panel(raw, raw, a_proposal())
    with pytest.raises(UserError, match="outside the volume"):
        cut_panel(raw, grid, a_proposal((4, 30, 16)))


def test_pictures_show_raw_the_border_and_one_scale() -> None:
    panel = a_panel(a_proposal())
    other = a_panel(a_proposal(rank=2))
    low, high = find_scale([panel, other])
    assert panel.uncertainty is not None
    assert other.uncertainty is not None
    assert (low, high) == (
        min(panel.uncertainty.min(), other.uncertainty.min()),
        max(panel.uncertainty.max(), other.uncertainty.max()),
    )
    (_, grey), (_, coloured) = draw_sections(panel, (low, high))
    factor = SIDE // 24
    assert np.array_equal(grey[0 :: 24 * factor - 1, :: 20 * factor - 1, 0], panel.raw[[0, -1]][:, [0, -1]])
    top, left = round(0.25 * 24 * factor), round(0.2 * 20 * factor)
    for picture in (grey, coloured):
        assert np.all(picture[top : 18 * factor, left] == 255)
        assert np.all(picture[top, left : 16 * factor] == 255)
    assert np.ptp(coloured[0, 0].astype(int)) > 0
    assert [name for name, _ in draw_sections(a_panel(a_proposal(), False), (0, 1))] == ["raw"]


def test_cells_without_tissue_stay_grey() -> None:
    panel = a_panel(a_proposal())
    assert panel.uncertainty is not None
    panel.uncertainty[:] = np.nan
    (_, grey), (_, coloured) = draw_sections(panel, find_scale([panel]))
    assert np.array_equal(grey, coloured)


def test_coordinates_are_told_in_both_conventions() -> None:
    rows = coordinates(a_panel(a_proposal()), proposals())
    assert rows == [
        ("offset, voxels", "16, 12, 4", "4, 12, 16"),
        ("shape, voxels", "16, 16, 4", "4, 16, 16"),
        ("centre, voxels", "24, 20, 6", "6, 20, 24"),
        ("offset, nm", "64, 101.2, 420", "420, 101.2, 64"),
        ("shape, nm", "64, 73.6, 120", "120, 73.6, 64"),
    ]


@given(
    shape=st.tuples(*[st.integers(1, 10**7)] * 3),
    begin=st.tuples(*[st.floats(0, 1)] * 3),
    part=st.tuples(*[st.floats(1e-6, 1)] * 3),
)
def test_the_box_is_seen_inside_the_volume(
    shape: tuple[int, ...], begin: tuple[float, ...], part: tuple[float, ...]
) -> None:
    length = [p * n for p, n in zip(part, shape, strict=True)]
    offset = [b * (n - w) for b, n, w in zip(begin, shape, length, strict=True)]
    box = Proposal.model_validate({"offset_nm": offset, "shape_nm": length, "rank": 1, "score": 0, "reason": ""})
    extent = RoiConfig.model_validate({"offset_nm": (0, 0, 0), "shape_nm": shape})
    position = project(Panel(box, np.zeros((1, 1), np.uint8), (0, 0, 1, 1), 1, 0, extent))
    assert max(position.size) == 100
    for frame, inner in zip(position.volume, position.box, strict=True):
        assert min(inner.width, inner.height) >= 2.99
        assert inner.x >= frame.x - 1e-6
        assert inner.y >= frame.y - 1e-6
        assert inner.x + inner.width <= frame.x + frame.width + 1e-6
        assert inner.y + inner.height <= frame.y + frame.height + 1e-6


def test_the_page_tells_what_a_proofreader_needs() -> None:
    page = Page(a_page(scores=np.linspace(0.05, 0.75, 1000)))
    for expected in (
        "2 boxes to label", "/data/raw", "30 \u00d7 4.6 \u00d7 4 nm", "net raw", "median raw", "seed 7",
        "1,234,567 candidates", "0.050 to 0.750", "median 0.250", "1 score 0.125 reason raw", "2 score 0.250",
        "section z = 6", "40 \u00d7 4.6 \u00d7 3 µm (xyz)", "offset, voxels 16, 12, 4 4, 12, 16",
    ):  # fmt: skip
        assert expected in page.text
    assert len([a for a in page.tags("rect") if a["class"] == "bar"]) == 48
    assert [a["x1"] for a in page.tags("line")] == [f"{48 * (s - 0.05) / 0.7:.3f}" for s in (0.125, 0.25)]
    assert page.tags("line")[0]["class"] == "mark"
    assert "Histogram" not in a_page()


def test_the_page_needs_nothing_from_elsewhere_and_speaks() -> None:
    html = a_page(scores=np.arange(9.0))
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "a"} & {tag for tag, _ in page.elements}
    images = page.tags("img")
    assert len(images) == 2 * 3
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in page.tags("svg"))
    assert not re.search(r"@import|url\(|@font-face|href", html)
    policy = next(m["content"] for m in page.tags("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy)


def test_hostile_words_are_text() -> None:
    page, plain = Page(a_page(HOSTILE)), Page(a_page())
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.text.count("<script>alert('x')</script>") == 6
    assert "{{ 7 * 7 }}" in page.text
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)


def test_text_can_be_read_on_light_and_on_dark() -> None:
    def luminance(colour: str) -> float:
        shares = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return float(
            np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    blocks = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", a_page(), re.S)]
    light, dark, own_light, own_dark = blocks  # of all pages, and of this one
    for theme in (light | own_light, dark | own_dark):
        for ground in ("page", "card"):
            assert min(contrast(theme[name], theme[ground]) for name in ("text", "soft")) >= 4.5
        assert min(contrast(theme[name], theme["card"]) for name in ("bar", "chosen")) >= 3
        assert contrast(theme["on"], theme["chosen"]) >= 3  # large and bold


@pytest.mark.parametrize("count", [1, 3])
def test_both_files_are_written(tmp_path: Path, count: int) -> None:
    chosen = [a_proposal(rank=rank, words=r"$\frac{ \$ & " + "long " * 60) for rank in range(1, count + 1)]
    found = proposals(*chosen, words=r"$x_{" * 40)
    for _ in range(2):
        png, html = write_contact_sheet(tmp_path / "new", found, [a_panel(p) for p in chosen], np.full(4, 0.3))
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["contact_sheet.html", "contact_sheet.png"]
    text = Page(html.read_text(encoding="utf-8")).text
    assert text.count("\\frac") == count
    assert "0.290 uncertainty of all candidates, chosen 0.310" in text
    image = Image.open(io.BytesIO(png.read_bytes())).convert("L")
    assert image.size == ((1140, 757) if count == 1 else (2280, 1245))
    assert np.asarray(image).std() > 10


def test_nothing_is_left_where_nothing_can_be_shown_or_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to show"):
        write_contact_sheet(tmp_path / "new", proposals(), [])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_contact_sheet(tmp_path / "file", proposals(a_proposal()), [a_panel(a_proposal())])


def test_of_many_boxes_the_first_are_shown_and_the_sheet_says_so(tmp_path: Path) -> None:
    raw, grid, _ = volumes(tmp_path)
    many = proposals(*(a_proposal(rank=rank) for rank in range(1, MOST_BOXES + 3)))
    panels = cut_panels(raw, grid, many)
    assert [panel.proposal.rank for panel in panels] == list(range(1, MOST_BOXES + 1))
    assert f"{MOST_BOXES + 2} boxes to label; here are the first {MOST_BOXES}" in render_page(many, panels)
