import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.active.scores import (
    BINS,
    FULL,
    binary_entropy,
    reduce_to_cells,
    score_ambiguity,
    score_entropy,
    score_variance,
)


def test_entropy_of_known_probabilities():
    quarter = 2 - 0.75 * np.log2(3)
    np.testing.assert_allclose(
        binary_entropy(np.array([0.0, 0.25, 0.5, 0.75, 1.0])), [0, quarter, 1, quarter, 0], rtol=1e-12
    )


def test_the_entropy_of_affinities_is_the_mean_over_their_channels():
    affs = np.array([[0, 255, 51, 51], [0, 255, 204, 0]], np.uint8)[:, None, None]
    of_a_fifth = 65535 * (np.log2(5) - 0.8 * np.log2(4))
    expected = [0, 0, round(of_a_fifth), round(of_a_fifth / 2)]
    np.testing.assert_allclose(score_entropy(affs)[0, 0], expected, rtol=0, atol=1)
    assert score_entropy(affs)[0, 0, :2].tolist() == [0, 0]
    every = score_entropy(np.arange(256, dtype=np.uint8)[None, None, None])[0, 0]
    assert (every == every[::-1]).all()  # merging and splitting are alike
    assert (np.diff(every[:128].astype(int)) > 0).all()
    assert every.max() >= FULL - 1


def test_variance_of_known_members():
    low, high, middle = (np.full((2, 1, 1, 1), value, np.uint8) for value in (0, 255, 100))
    assert score_variance([low, high]).item() == FULL
    assert score_variance([middle] * 7).item() == 0
    assert score_variance([np.stack([low[0], middle[0]]), np.stack([high[0], middle[0]])]).item() == round(FULL / 2)
    members = np.random.default_rng(0).integers(0, 256, (5, 3, 2, 3, 4)).astype(np.uint8)
    expected = (4 * np.var(members / 255, axis=0)).mean(axis=0) * FULL
    np.testing.assert_allclose(score_variance(members), expected, rtol=0, atol=0.51)
    assert (score_variance(members) == score_variance(members[::-1])).all()


def test_ambiguity_lies_where_fragments_touch():
    fragments = np.array([[[1, 1, 2, 2, 0, 3], [1, 1, 2, 2, 0, 3]]], np.uint32)
    affs = np.full((3, 1, 2, 6), 255, np.uint8)
    affs[2, 0, :, 2] = 0, 102  # between 1 and 2: mean 0.2
    score = score_ambiguity(affs, fragments)
    doubt = round(FULL * binary_entropy(np.array(0.2)).item())
    assert score.tolist() == [[[0, doubt, doubt, 0, 0, 0]] * 2]
    assert not score_ambiguity(affs, np.ones_like(fragments)).any()


def test_of_several_pairs_at_a_voxel_the_most_undecided_counts():
    fragments = np.array([[[1, 2], [3, 2]]], np.uint32)
    affs = np.zeros((3, 1, 2, 2), np.uint8)
    affs[2, 0, 0, 1] = 255  # 1 and 2: sure
    affs[1, 0, 1, 0] = 51  # 1 and 3
    affs[2, 0, 1, 1] = 128  # 3 and 2
    third, half = (round(FULL * binary_entropy(np.array(a / 255)).item()) for a in (51, 128))
    assert score_ambiguity(affs, fragments).tolist() == [[[third, 0], [half, half]]]


@given(
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    cell_vx=st.tuples(*[st.integers(1, 4)] * 3),
    part=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_cells_are_what_a_loop_finds(shape, cell_vx, part, seed):
    rng = np.random.default_rng(seed)
    score = rng.integers(0, FULL + 1, shape).astype(np.uint16)
    tissue = rng.random(shape) < part
    found = reduce_to_cells(score, tissue, cell_vx, histogram=True)
    assert found.shape == (2 + BINS, *(-(-s // c) for s, c in zip(shape, cell_vx, strict=True)))
    assert (reduce_to_cells(score, tissue, cell_vx) == found[:2]).all()
    for cell in np.ndindex(*found.shape[1:]):
        box = tuple(slice(i * c, (i + 1) * c) for i, c in zip(cell, cell_vx, strict=True))
        values = score[box][tissue[box]]
        mean, filled, *bins = found[(slice(None), *cell)].astype(int)
        assert filled == FULL * len(values) // np.prod(cell_vx)  # what is cut off is no tissue
        if len(values) == 0:
            assert mean == 0
            assert not any(bins)
            continue
        assert abs(mean - values.mean()) <= 0.5
        assert sum(bins) == FULL
        expected = np.histogram(values / (FULL + 1), BINS, (0, 1))[0] / len(values) * FULL
        np.testing.assert_allclose(bins, expected, rtol=0, atol=1)


def test_a_cell_with_one_voxel_outside_is_not_full_of_tissue():
    tissue = np.ones((64, 64, 64), bool)
    full, tissue[5, 6, 7] = reduce_to_cells(tissue.astype(np.uint16), tissue, (64, 64, 64))[1], False
    assert full == FULL
    assert reduce_to_cells(tissue.astype(np.uint16), tissue, (64, 64, 64))[1] == FULL - 1
