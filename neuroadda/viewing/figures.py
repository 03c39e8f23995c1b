"""Slices of volumes as pictures: arrays in, RGB images and PNG files out."""

import base64
import io

import numpy as np
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import Contingency, LookupTable
from neuroadda.viewing.colours import Palette

# Colours that the colour-blind tell apart (Okabe and Ito 2008).
SPLIT_COLOUR = (0, 114, 178)
MERGE_COLOUR = (230, 120, 0)
BOTH_COLOUR = (204, 60, 150)
MISSING_COLOUR = (240, 228, 66)


def to_png(image: np.ndarray) -> bytes:
    """Encode uint8[y, x] (grey) or uint8[y, x, 3] (RGB).

    Raises
    ------
    UserError
        If the array is not such an image.
    """
    if (
        image.dtype != np.uint8
        or image.ndim not in (2, 3)
        or (image.ndim == 3 and image.shape[2] != 3)
        or not image.size
    ):
        raise UserError(
            f"{image.dtype} {image.shape} is not an image", "image", "uint8 [y, x] or [y, x, 3] is expected"
        )
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def to_data_uri(png: bytes) -> str:
    """Return a PNG as a ``data:`` address that a page can hold."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def thin_out(array: np.ndarray, side: int) -> np.ndarray:
    """Return every n-th row and column of [..., y, x], so that neither axis is longer than `side`."""
    step = max(1, -(-max(array.shape[-2:]) // side))
    return array[..., ::step, ::step]


def raw_image(raw: np.ndarray) -> np.ndarray:
    """Return a slice in grey, uint8[y, x]: bytes as they are, other types from their lowest to their highest value."""
    if raw.dtype == np.uint8:
        return raw
    low, high = float(raw.min()), float(raw.max())
    return np.round((raw.astype(np.float64) - low) / ((high - low) or 1.0) * 255).astype(np.uint8)


def affs_image(affs: np.ndarray) -> np.ndarray:
    """Return affinities [c, y, x] as uint8[y, x, 3]: channels 0, 1, 2 (z, y, x) are red, green, blue.

    Bytes are taken as they are, floats as of [0, 1]. Fewer channels leave colours out; one is grey.
    """
    channels = affs[:3] if affs.dtype == np.uint8 else np.round(np.clip(affs[:3], 0, 1) * 255).astype(np.uint8)
    if len(channels) == 1:
        channels = np.repeat(channels, 3, axis=0)
    image = np.zeros((*affs.shape[1:], 3), np.uint8)
    image[..., : len(channels)] = np.moveaxis(channels, 0, -1)
    return image


def labels_image(
    labels: np.ndarray, raw: np.ndarray | None = None, palette: Palette | None = None, opacity: float = 0.5
) -> np.ndarray:
    """Return a slice of ids in colour over raw (or black), uint8[y, x, 3]; id 0 is clear, borders between ids dark."""
    ids, dense = np.unique(labels, return_inverse=True)
    colours = (palette or Palette()).colours(ids.astype(np.uint64))[dense.reshape(labels.shape)]
    ground = _ground(labels, raw)
    image = ground + (colours - ground) * (opacity if raw is not None else 1.0)
    image[_borders(labels)] *= 0.35
    return np.where((labels == 0)[..., None], ground, image).round().astype(np.uint8)


def errors_image(
    segmentation: np.ndarray, labels: np.ndarray, overlaps: Contingency, raw: np.ndarray | None = None
) -> np.ndarray:
    """Return where a slice of a segmentation is wrong, over raw (or black), uint8[y, x, 3].

    A labelled pixel is split where its segment is not the largest one of its label (`SPLIT_COLOUR`), merged where its
    label is not the largest one of its segment (`MERGE_COLOUR`), or both (`BOTH_COLOUR`). One without a segment is
    missing (`MISSING_COLOUR`).

    Parameters
    ----------
    segmentation, labels
        Ids [y, x].
    overlaps
        Which are largest: counted over the whole volume, or over what is shown.
    """
    scored = (labels != 0) & (segmentation != 0)
    split = (_look_up(labels, overlaps.main_segments()) != segmentation) & scored
    merged = (_look_up(segmentation, overlaps.main_labels()) != labels) & scored
    image = _ground(labels, raw)
    for mask, colour in (
        (split & ~merged, SPLIT_COLOUR),
        (merged & ~split, MERGE_COLOUR),
        (split & merged, BOTH_COLOUR),
        ((labels != 0) & (segmentation == 0), MISSING_COLOUR),
    ):
        image[mask] = image[mask] * 0.3 + np.array(colour) * 0.7
    return image.round().astype(np.uint8)


def _ground(labels: np.ndarray, raw: np.ndarray | None) -> np.ndarray:
    grey = np.zeros(labels.shape, np.uint8) if raw is None else raw_image(raw)
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.float64)


def _borders(labels: np.ndarray) -> np.ndarray:
    """Return the pixels whose right or lower neighbour has another id, neither of them 0."""
    borders = np.zeros(labels.shape, bool)
    for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        borders[here] |= (labels[here] != labels[there]) & (labels[there] != 0)
    return borders & (labels != 0)


def _look_up(ids: np.ndarray, table: LookupTable) -> np.ndarray:
    keys, values = table
    place = np.minimum(np.searchsorted(keys, ids.astype(np.uint64)), len(keys) - 1)
    return np.where(keys[place] == ids, values[place], 0)
