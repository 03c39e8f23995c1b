import itertools

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

from neuroadda.domains.distances import DistanceMatrix
from neuroadda.domains.phylogeny import build_tree
from neuroadda.errors import UserError
from neuroadda.viewing.domain_figures import plot_dendrogram, plot_heatmap, plot_map, save_figure

NAMES = ("fly_fibsem", "fly_brain", "fly_l1 & <l3>", "mouse_cortex", "mouse_callosum", "worm")
GROUPS = dict(zip(NAMES, ["fly"] * 3 + ["mouse"] * 2, strict=False))


def make_matrix(seed=0, spread=1.0) -> DistanceMatrix:
    places = np.random.default_rng(seed).normal(scale=spread, size=(len(NAMES), 2))
    return DistanceMatrix(NAMES, cdist(places, places))


def make_figures(matrix, groups):
    tree = build_tree(matrix)
    return [plot_heatmap(matrix, tree, groups), plot_dendrogram(tree, groups), plot_map(matrix, groups)]


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_pictures_name_every_domain_on_a_white_ground(groups, tmp_path):
    for index, figure in enumerate(make_figures(make_matrix(), groups)):
        png, pdf, svg = save_figure(figure, tmp_path / "new", f"picture{index}")
        text = svg.read_text()
        assert all(name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in text for name in NAMES)
        assert (">mouse<" in text) == (groups is not None)
        assert pdf.read_bytes().startswith(b"%PDF")
        with Image.open(png) as image:
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
            pixels = np.asarray(image.convert("RGB"))
        assert (pixels[0, 0] == 255).all()
        assert (pixels < 255).any(axis=-1).sum() > 10_000


def test_the_heat_map_is_in_the_order_of_the_tree_and_tells_the_values():
    matrix = make_matrix()
    tree = build_tree(matrix)
    cells = plot_heatmap(matrix, tree).axes[0]
    assert tuple(label.get_text() for label in cells.get_yticklabels()) == tree.order
    np.testing.assert_array_equal(cells.images[0].get_array(), matrix.select(tree.order).values)
    shown = [text.get_text() for text in cells.texts if text.get_text()]
    upper = [f"{value:.2f}" for value in matrix.condensed]
    assert sorted(shown) == sorted(upper * 2)


def test_a_group_has_one_colour():
    matrix = make_matrix()
    labels = plot_dendrogram(build_tree(matrix), GROUPS).axes[0].get_yticklabels()
    colours = {label.get_text(): label.get_color() for label in labels}
    assert len({colours[name] for name in NAMES[:3]}) == 1
    assert len(set(colours.values())) == 3


@pytest.mark.parametrize("seed", range(5))
def test_labels_of_the_map_do_not_hide_each_other(seed):
    figure = plot_map(make_matrix(seed), GROUPS)
    figure.draw_without_rendering()
    boxes = []
    for text in figure.axes[0].texts:
        text.arrow_patch = None  # the lines that lead to names may cross
        boxes.append(text.get_window_extent())
    assert len(boxes) == len(NAMES)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_the_same_data_give_the_same_files(tmp_path):
    matrix = make_matrix()
    once, again = (save_figure(plot_heatmap(matrix, build_tree(matrix)), tmp_path / part, "p") for part in "ab")
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


def test_equal_domains_and_one_place_can_be_drawn(tmp_path):
    matrix = DistanceMatrix(("a", "b", "c"), np.zeros((3, 3)))
    for figure in make_figures(matrix, None):
        save_figure(figure, tmp_path, "p")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_figure(plot_map(make_matrix()), tmp_path / "file", "p")
