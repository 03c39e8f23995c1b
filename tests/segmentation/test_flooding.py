import numpy as np
import pytest
from scipy.ndimage import label
from skimage.segmentation import watershed

from neuroadda.segmentation.flooding import LEVELS, flood
from tests.segmentation.synthetic import smooth_noise


def test_basins_meet_on_the_ridge():
    height = np.array([[0.0, 0.2, 0.4, 0.9, 0.3, 0.1]])
    seeds = np.array([[1, 0, 0, 0, 0, 2]], np.uint32)
    assert flood(height, seeds).tolist() == [
        [1, 1, 1, 2, 2, 2]
    ]  # 0.9 is reached from 0.3 first: at 0.9 both wait, 2 came first


def test_a_flat_ground_is_shared_by_distance():
    seeds = np.zeros((1, 7), np.uint32)
    seeds[0, [0, 6]] = 1, 2
    assert flood(np.zeros((1, 7)), seeds).tolist() == [[1, 1, 1, 1, 2, 2, 2]]


def test_without_seeds_there_are_no_basins():
    assert not flood(np.zeros((3, 4, 5)), np.zeros((3, 4, 5), np.uint32)).any()


@pytest.mark.parametrize("shape", [(70, 90), (12, 40, 50)])
def test_every_basin_is_connected_and_holds_its_seed(shape):
    height = smooth_noise(shape, 3)
    minima, count = label(height < 0.35)
    seeds = minima.astype(np.uint32)
    basins = flood(height, seeds)
    assert (basins > 0).all()
    assert (basins[seeds > 0] == seeds[seeds > 0]).all()
    for basin in range(1, count + 1):
        assert label(basins == basin)[1] == 1


@pytest.mark.parametrize("shape", [(90, 110), (14, 50, 60)])
def test_the_lines_are_those_of_scikit_image_but_for_ties(shape):
    height = np.rint(smooth_noise(shape, 2, seed=3) * (LEVELS - 1)) / (LEVELS - 1)
    seeds = label(height < 0.3)[0].astype(np.uint32)
    assert (flood(height, seeds) == watershed(height, seeds.astype(np.int32))).mean() > 0.99
