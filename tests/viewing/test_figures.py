import io

import numpy as np
import pytest
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.viewing import figures
from neuroadda.viewing.colours import Palette


def decode(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("shape", [(7, 9), (7, 9, 3)])
def test_png_is_lossless(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert np.array_equal(decode(figures.to_png(image)), image)


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(UserError, match="not an image"):
        figures.to_png(image)


def test_thinning_keeps_small_slices_and_bounds_large_ones() -> None:
    assert figures.thin_out(np.zeros((3, 100, 60)), 100).shape == (3, 100, 60)
    assert figures.thin_out(np.zeros((101, 60)), 100).shape == (51, 30)


def test_raw_bytes_stay_and_other_types_span_grey() -> None:
    raw = np.array([[3, 9]], np.uint8)
    assert figures.raw_image(raw) is raw
    assert figures.raw_image(np.array([[-1.0, 0.0, 1.0]])).tolist() == [[0, 128, 255]]
    assert figures.raw_image(np.full((1, 2), 7.0)).tolist() == [[0, 0]]


def test_affinity_channels_are_colours() -> None:
    affs = np.array([0.0, 0.5, 2.0, 0.1]).reshape(4, 1, 1)
    assert figures.affs_image(affs).tolist() == [[[0, 128, 255]]]
    assert figures.affs_image((affs[:2] * 100).astype(np.uint8)).tolist() == [[[0, 50, 0]]]
    assert figures.affs_image(affs[1:2]).tolist() == [[[128, 128, 128]]]


def test_labels_colour_ids_and_leave_background_clear() -> None:
    labels = np.zeros((6, 8), np.uint64)
    labels[1:5, 1:5] = 4
    raw = np.full(labels.shape, 100, np.uint8)
    colour = Palette().colours(np.array([4], np.uint64))[0]
    solid, over = figures.labels_image(labels), figures.labels_image(labels, raw, opacity=0.5)
    assert np.array_equal(solid[labels == 4], np.broadcast_to(colour, (16, 3)))
    assert not solid[labels == 0].any()
    assert np.all(over[labels == 0] == 100)
    assert np.abs(over[2, 2] - (100 + colour.astype(float)) / 2).max() <= 0.5


def test_borders_between_ids_are_dark_but_not_those_to_background() -> None:
    labels = np.array([[4, 4, 5, 5, 0, 5]])
    image = figures.labels_image(labels).sum(axis=-1)
    assert image[0, 1] < image[0, 0]
    assert image[0, 2] == image[0, 3] == image[0, 5]


def test_errors_are_told_apart() -> None:
    labels = np.array([[1, 1, 1, 1, 2, 2, 3, 3, 3, 0]])
    segmentation = np.array([[7, 7, 7, 8, 8, 8, 9, 9, 0, 7]])
    image = figures.errors_image(segmentation, labels, count_overlaps(segmentation, labels))
    wrong = image.any(axis=-1)[0]
    assert wrong.tolist() == [False, False, False, True, False, False, False, False, True, False]
    # The fourth pixel is cut off from 1 and given to the segment of 2.
    assert np.argmax(image[0, 3]) == np.argmax(figures.BOTH_COLOUR)
    pure_split = figures.errors_image(
        np.array([[7, 7, 8]]), np.ones((1, 3), int), count_overlaps(np.array([7, 7, 8]), np.ones(3, int))
    )
    pure_merge = figures.errors_image(
        np.ones((1, 3), int), np.array([[7, 7, 8]]), count_overlaps(np.ones(3, int), np.array([7, 7, 8]))
    )
    assert np.argmax(pure_split[0, 2]) == np.argmax(figures.SPLIT_COLOUR)
    assert np.argmax(pure_merge[0, 2]) == np.argmax(figures.MERGE_COLOUR)
    assert not pure_split[0, :2].any()
    assert not pure_merge[0, :2].any()
