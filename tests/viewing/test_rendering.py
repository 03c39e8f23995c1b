"""Pictures of surfaces: silhouettes, what hides what, the scale bar."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from neuroadda.viewing import rendering
from neuroadda.viewing.rendering import FINER, GROUND, LINE, Surface, View, make_surface, render
from tests.publishing import shapes

RED, GREEN = np.array([255, 0, 0], np.uint8), np.array([0, 255, 0], np.uint8)


def find_colour(picture: np.ndarray, channel: int) -> np.ndarray:
    """Return bool: where a channel is well above the others."""
    others = [c for c in range(3) if c != channel]
    return picture[..., channel].astype(int) > picture[..., others].max(axis=-1).astype(int) + 20


def area_nm2(seen: np.ndarray, view: View) -> float:
    return float(seen.sum()) * (view.nm * FINER) ** 2


@pytest.mark.parametrize("voxel", [(10.0, 10.0, 10.0), (30.0, 10.0, 10.0)])
def test_a_ball_is_seen_as_a_disc(voxel):
    size = np.array(voxel)
    shape = tuple((1000 / size).astype(int))
    places = (np.indices(shape).T + 0.5) * size
    ball = (((places - 500) ** 2).sum(-1) < 350**2).T
    view = View.of(np.array([1000.0, 1000.0, 1000.0]))
    picture = render([(make_surface(ball, size, np.zeros(3)), RED)], view)
    seen = find_colour(picture, 0)
    assert area_nm2(seen, view) == pytest.approx(np.pi * 350**2, rel=0.03)
    rows, columns = np.nonzero(seen)
    middle = (picture.shape[0] - 1) / 2
    assert abs(rows.mean() - middle) < 1.5
    assert abs(columns.mean() - middle) < 1.5


def test_a_tube_is_as_long_and_as_wide_as_it_is():
    along = shapes.make_tube((60, 60, 120), ((30, 30, 10), (30, 30, 110)), 80, (10, 10, 10))
    view = View.of(np.array([1200.0, 600.0, 600.0]))
    picture = render([(make_surface(along, np.full(3, 10.0), np.zeros(3)), GREEN)], view)
    axis = np.array([np.cos(rendering.TURN) * 1000, 0, 0])  # as long as it is across the view
    turned = view.project(np.array([[100.0, 300.0, 300.0], [1100.0, 300.0, 300.0]]))
    length = float(np.linalg.norm((turned[1] - turned[0])[:2])) * view.nm
    assert length >= axis[0] - 1
    expected = length * 160 + np.pi * 80**2  # with a round cap at each end
    assert area_nm2(find_colour(picture, 1), view) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("first", [RED, GREEN])
def test_what_is_nearer_hides_what_is_behind_whatever_is_drawn_first(first):
    near, far = np.zeros((2, 40, 40, 40), bool)
    near[4:8, 8:32, 8:32] = True
    far[30:34, 2:38, 2:38] = True
    pair = [(make_surface(mask, np.full(3, 10.0), np.zeros(3)), c) for mask, c in ((near, RED), (far, GREEN))]
    view = View.of(np.full(3, 400.0))
    alone = render(pair[:1], view)
    both = render(pair if first is RED else pair[::-1], view)
    inside = binary_erosion(find_colour(alone, 0))  # pixels at its outline show both
    assert inside.sum() > 1000
    assert (both[inside] == alone[inside]).all()
    assert find_colour(both, 1).any()
    assert (both == render(pair, view)).all()


def test_the_side_towards_the_light_is_brighter():
    cube = np.zeros((30, 30, 30), bool)
    cube[5:25, 5:25, 5:25] = True
    view = View.of(np.full(3, 300.0))
    picture = render([(make_surface(cube, np.full(3, 10.0), np.zeros(3)), RED)], view)

    def brightness(z: float, y: float, x: float) -> int:
        column, row, _ = view.project(np.array([[x, y, z]]))[0] / FINER
        return int(picture[round(row), round(column), 0])

    top, front, left = brightness(150, 50, 150), brightness(50, 150, 150), brightness(150, 150, 50)
    assert top > front > left > max(GROUND)


def test_surfaces_point_outward_and_keep_their_volume():
    ball = shapes.make_ball()
    surface = make_surface(ball, np.array([8.0, 8.0, 8.0]), np.array([2.0, 3.0, 4.0]))
    assert shapes.count_open_edges(surface.faces) == 0
    assert shapes.measure_volume(surface.vertices, surface.faces) == pytest.approx(ball.sum() * 512, rel=0.02)
    middle = (surface.vertices.min(axis=0) + surface.vertices.max(axis=0)) / 2
    assert middle == pytest.approx(np.add([21.3, 23.1, 25.7], [2, 3, 4])[::-1] * 8, abs=4)


def test_an_empty_view_shows_the_box_and_a_round_scale_bar():
    for box in ([3072.0, 3072.0, 720.0], [90.0, 40.0, 70.0], [1e6, 2e6, 3e5]):
        view = View.of(np.array(box))
        picture = render([], view)
        assert (picture == LINE).all(axis=-1).any()
        (rows, columns) = np.nonzero((picture == rendering.BAR).all(axis=-1))
        length = (np.ptp(columns) + 1) * view.nm * FINER
        assert length == pytest.approx(view.bar_nm, abs=2 * view.nm * FINER)
        assert np.ptp(rows) < 4
        assert view.bar_nm / 10 ** np.floor(np.log10(view.bar_nm)) == pytest.approx(
            min((1, 2, 5), key=lambda step: abs(step - view.bar_nm / 10 ** np.floor(np.log10(view.bar_nm))))
        )
        corners = view.project(rendering._corners(view.box_nm))[:, :2]
        assert corners.min() >= 0
        assert corners.max() <= view.side - 1


def test_a_triangle_covers_the_pixels_whose_centres_lie_in_it_once():
    corners = np.array([[[1.0, 1, 0], [9, 1, 0], [1, 9, 0]], [[9.0, 9, 0], [1, 9, 0], [9, 1, 0]]])
    pixel, face, weights = rendering._cover(corners, 12)
    assert weights.sum(axis=1) == pytest.approx(1)
    seen = np.zeros(144, int)
    np.add.at(seen, pixel, 1)
    expected = np.zeros((12, 12), int)
    expected[1:10, 1:10] = 1
    assert ((seen.reshape(12, 12) > 0) == expected).all()
    assert (seen > 1).sum() == 9  # on the diagonal, which is of both
    assert set(face.tolist()) == {0, 1}


def test_what_lies_outside_the_picture_is_cut_off():
    view = View.of(np.full(3, 100.0))
    corner = np.array([[-500.0, -500, 50], [600, -500, 50], [50, 900, 50]])
    picture = render([(Surface(corner, np.array([[0, 2, 1]])), RED)], view)
    assert find_colour(picture, 0).mean() > 0.5
