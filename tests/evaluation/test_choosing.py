"""The choice of a setting and a threshold: exact tables of scores, and what stays as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neuroadda.evaluation.choosing import Estimate, choose, cross_validate, find_lowest
from neuroadda.intervals import half_width, is_above_zero

DEFAULT = 1  # place of the default threshold, of five


def table(*settings: list[list[float]]) -> np.ndarray:
    """float[settings, boxes, thresholds]."""
    return np.array(settings, float)


def test_another_threshold_that_is_truly_better_is_taken():
    rows = [[2.0, 1.5, 1.2, 1.0 + 0.01 * box, 1.4] for box in range(4)]
    choice = choose(table(rows), DEFAULT)
    assert (choice.setting, choice.threshold) == (0, 3)
    assert choice.voi.mean == pytest.approx(1.015)
    assert choice.default.mean == 1.5
    assert choice.gain.mean == pytest.approx(0.485)
    assert "threshold chosen, each box scored at what is best on the others" in choice.why
    assert not choice.is_default


def test_another_setting_that_is_truly_better_is_taken_with_its_own_threshold():
    default = [[1.6, 1.5, 1.6, 1.7, 1.8] for _ in range(4)]
    better = [[1.4, 1.2, 1.0 + 0.02 * box, 1.2, 1.4] for box in range(4)]
    worse = [[3.0] * 5 for _ in range(4)]
    choice = choose(table(default, worse, better), DEFAULT)
    assert (choice.setting, choice.threshold) == (2, 2)
    assert choice.voi.mean == pytest.approx(1.03)
    assert choice.why.startswith("setting and threshold chosen")


def test_a_gain_within_the_spread_over_boxes_keeps_the_default():
    default = [[1.2, 1.0, 1.2, 1.4, 1.6] for _ in range(4)]
    by_chance = [[1.2, 1.2, low, 1.2, 1.2] for low in (0.1, 1.1, 1.2, 1.1)]  # one box alone has a lower mean
    choice = choose(table(default, by_chance), DEFAULT)
    assert find_lowest(table(default, by_chance), DEFAULT) == (1, 2)
    assert choice.is_default
    assert choice.voi == choice.default == Estimate.of(np.ones(4))
    assert choice.why.startswith("the default is kept: no choice lowers the VOI beyond the spread over boxes")


def test_one_box_keeps_the_default():
    choice = choose(table([[3.0, 2.0, 1.0, 0.5, 0.1]]), DEFAULT)
    assert choice.is_default
    assert choice.voi == Estimate(2.0, None)
    assert choice.gain is None


def test_the_box_that_is_left_out_has_no_say():
    voi = np.random.default_rng(0).random((3, 5, 7))
    before = cross_validate(voi, DEFAULT)
    for box in range(5):
        changed = voi.copy()
        changed[1:, box] = 100.0  # whatever was chosen there
        changed[0, box, :] = np.arange(100.0, 107.0)
        places = [find_lowest(np.delete(one, box, axis=1), DEFAULT) for one in (voi, changed)]
        assert places[0] == places[1]
        assert cross_validate(changed, DEFAULT)[box] == changed[places[0][0], box, places[0][1]]
        assert before[box] == voi[places[0][0], box, places[0][1]]


@given(arrays(float, (3, 4, 6), elements=st.floats(0, 5)))
def test_a_choice_is_not_taken_unless_it_is_better_on_boxes_left_out(voi):
    choice = choose(voi, DEFAULT)
    if choice.is_default:
        assert choice.voi.mean == pytest.approx(voi[0, :, DEFAULT].mean())
    else:
        assert choice.gain.mean > 0
        assert choice.voi.mean < choice.default.mean
    low, high = choice.voi.interval
    assert 0 <= low <= choice.voi.mean <= high


def test_of_equals_the_default_is_the_lowest():
    assert find_lowest(np.ones((3, 2, 5)), DEFAULT) == (0, DEFAULT)


def test_one_low_threshold_between_high_ones_is_chance():
    lonely = [[[5.0, 1.0, 5.0, 1.2, 1.1, 1.2, 5.0]]]
    assert find_lowest(np.array(lonely), 0) == (0, 4)


def test_an_interval_is_student_s():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert half_width(values, 0.95) == pytest.approx(3.182446 * values.std(ddof=1) / 2)
    assert Estimate.of(values).interval == pytest.approx((2.5 - 2.054257, 2.5 + 2.054257), abs=1e-5)
    assert is_above_zero(values, 0.95)
    assert not is_above_zero(values - 1, 0.95)
    assert not is_above_zero(values[:1], 0.95)
