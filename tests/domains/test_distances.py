import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from neuroadda.domains.distances import DistanceMatrix, scale_classically
from neuroadda.errors import UserError

points = st.integers(1, 7).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-10, 10, width=16)))


def matrix_of(places: np.ndarray) -> DistanceMatrix:
    return DistanceMatrix(tuple(f"d{i}" for i in range(len(places))), cdist(places, places))


def test_mmd2_becomes_a_distance():
    matrix = DistanceMatrix.from_mmd2(["a", "b", "c"], np.array([[9, 0.25, -0.01], [0.25, 9, 0.04], [-0.01, 0.04, 9]]))
    np.testing.assert_allclose(matrix.values, [[0, 0.5, 0], [0.5, 0, 0.2], [0, 0.2, 0]])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([[0, 1]], "shape"),
        ([[0, 1], [2, 0]], "symmetric"),
        ([[1, 1], [1, 0]], "diagonal"),
        ([[0, -1], [-1, 0]], "negative"),
        ([[0, np.nan], [np.nan, 0]], "not finite"),
    ],
)
def test_what_is_no_distance_matrix_is_refused(values, told):
    with pytest.raises(UserError, match=told):
        DistanceMatrix(("a", "b"), np.array(values))


def test_names_are_unique_and_known():
    with pytest.raises(UserError, match="empty or repeated"):
        DistanceMatrix(("a", "a"), np.zeros((2, 2)))
    with pytest.raises(UserError, match="'c' is not in it"):
        DistanceMatrix(("a", "b"), np.zeros((2, 2))).select(["c"])


def test_a_selection_is_in_the_order_asked_for():
    matrix = matrix_of(np.array([[0, 0], [3, 4], [0, 1]]))
    np.testing.assert_allclose(matrix.select(["d2", "d0"]).values, [[0, 1], [1, 0]])
    assert matrix.select(["d1", "d0"]).condensed.tolist() == [5]


def test_the_table_is_read_back():
    matrix = DistanceMatrix(('a "b", c', "d"), np.array([[0, 0.5], [0.5, 0]]))
    rows = list(csv.reader(io.StringIO(matrix.to_csv())))
    assert rows == [["", 'a "b", c', "d"], ['a "b", c', "0", "0.5"], ["d", "0.5", "0"]]


@given(points)
def test_scaling_finds_a_plane_again(places):
    found, shares = scale_classically(matrix_of(places))
    np.testing.assert_allclose(cdist(found, found), cdist(places, places), atol=1e-5)
    assert shares.sum() <= 1 + 1e-9
