from dataclasses import replace

import numpy as np
import pytest

from neuroadda.domains.mmd import mmd2, spread_bandwidths
from neuroadda.domains.pairwise import measure_distances
from neuroadda.errors import UserError
from neuroadda.zoo.embeddings import Embedding


def make_embedding(shift=0.0, seed=0, blocks=8, count=64, features=3) -> Embedding:
    values = np.random.default_rng(seed).normal(shift, 1, (count, features)).astype(np.float32)
    return Embedding(values, np.arange(count) * blocks // count + 5, "net", "mean", 8.0, (1, 20, 20))


DOMAINS = {"a": make_embedding(), "b": make_embedding(0.5, 1, count=96), "c": make_embedding(2, 2, blocks=5)}


@pytest.mark.parametrize("bandwidth", ["median", "multi"])
def test_a_distance_is_that_of_the_pair_under_the_common_kernel(bandwidth):
    found = measure_distances(DOMAINS, bandwidth, resamples=5)
    if bandwidth == "multi":
        assert found.bandwidths == pytest.approx(
            spread_bandwidths(measure_distances(DOMAINS, resamples=1).bandwidths[0])
        )
    for i, x in enumerate(DOMAINS.values()):
        for j, y in enumerate(DOMAINS.values()):
            if i != j:
                expected = mmd2(x.features, y.features, found.bandwidths, x_blocks=x.blocks, y_blocks=y.blocks)
                assert found.matrix.values[i, j] == pytest.approx(max(expected, 0) ** 0.5, abs=1e-5)


def test_distances_do_not_depend_on_the_order_of_patches_or_the_numbers_of_blocks():
    order = np.random.default_rng(3).permutation(96)
    b = DOMAINS["b"]
    shuffled = DOMAINS | {"b": replace(b, features=b.features[order], blocks=b.blocks[order] * 3 - 1)}
    once, again = measure_distances(DOMAINS, resamples=20), measure_distances(shuffled, resamples=20)
    # the median is taken of a seeded draw of patches, so that the kernel differs a little
    np.testing.assert_allclose(again.matrix.values, once.matrix.values, atol=0.02)


def test_resamples_lie_about_the_estimate_and_are_seeded():
    found = measure_distances(DOMAINS, resamples=400)
    assert found.resampled.shape == (400, 3, 3)
    np.testing.assert_array_equal(found.resampled, found.resampled.transpose(0, 2, 1))
    far = found.resampled[:, 0, 2]
    assert far.mean() == pytest.approx(found.matrix.values[0, 2], abs=2 * far.std() / 20 + 0.01)
    assert 0 < far.std() < 0.2
    np.testing.assert_array_equal(measure_distances(DOMAINS, resamples=400).resampled, found.resampled)
    assert (measure_distances(DOMAINS, resamples=400, seed=1).resampled != found.resampled).any()


def test_one_domain_seen_twice_is_hardly_apart():
    found = measure_distances({"a": make_embedding(), "again": make_embedding(seed=9), "far": make_embedding(3)})
    assert found.matrix.values[0, 1] < 0.25 * found.matrix.values[0, 2]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match="b: embeddings differ in network"):
        measure_distances(DOMAINS | {"b": replace(DOMAINS["b"], network="another")})
    with pytest.raises(UserError, match="c: 2 spatial blocks give no bootstrap"):
        measure_distances(DOMAINS | {"c": make_embedding(blocks=2)})
    with pytest.raises(UserError, match="1 domains have no distances"):
        measure_distances({"a": DOMAINS["a"]})
