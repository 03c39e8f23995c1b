"""A page of likely errors: three sections through each place, with both sides outlined."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi
from scipy.ndimage import binary_erosion

from neuroadda.observing import track
from neuroadda.proofreading.likely_errors import LikelyError, Queue
from neuroadda.viewing import figures
from neuroadda.viewing.pages import open_template
from neuroadda.viewing.panels import plain
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.placing import placing

SHEET = "errors.html"
REACH_NM = 1000.0  # shown on each side of the place
SMALLEST, TINT = 256, 0.25  # pixels of a picture's longer side, at least; how much of a side's colour is laid over raw
COLOURS = (figures.SPLIT_COLOUR, figures.MERGE_COLOUR)  # of the first and of the second side
MOST = 100
PLANES = ("yx", "zx", "zy")


@dataclass(frozen=True)
class ErrorPanel:
    """What is shown of one error: a picture uint8[rows, columns, 3] and its height over its width, of each plane."""

    error: LikelyError
    place_vx: tuple[int, int, int]
    pictures: list[tuple[str, np.ndarray, float]]


def write_error_sheet(queue: Queue, target: Path, *, overwrite: bool = False) -> Path:
    """Write a page, which needs nothing else, of the first `MOST` errors of a queue.

    Raises
    ------
    UserError
        If it cannot be written, or exists and `overwrite` is false.
    """
    raw, fragments = Volume.open(queue.plan.config.raw), Volume.open(queue.plan.output("fragments"))
    panels = [cut_panel(queue, raw, fragments, error) for error in track("pictures of errors", queue.errors[:MOST])]
    with placing(target, overwrite) as partial:
        partial.write_text(
            render_error_page(panels, len(queue.errors), str(queue.plan.config.output), str(target.parent)),
            encoding="utf-8",
        )
    return target


def render_error_page(panels: Sequence[ErrorPanel], count: int, run: str, folder: str) -> str:
    """Return the page, which lies in a folder with the queue's table, as text."""
    shown = [
        (p, [(name, figures.to_data_uri(figures.to_png(image)), ratio) for name, image, ratio in p.pictures])
        for p in panels
    ]
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS]
    return open_template(SHEET, plain=plain).render(
        panels=shown, count=count, run=run, folder=folder, colours=colours, created=datetime.now(UTC)
    )


def cut_panel(queue: Queue, raw: Volume, fragments: Volume, error: LikelyError) -> ErrorPanel:
    """Read the three sections through an error's place; raw and fragments are on one voxel grid."""
    voxel = np.array(raw.voxel_size_nm)
    at = np.floor((np.array(error.place_nm) - np.array(raw.offset_nm)) / voxel).astype(int)
    at = np.minimum(at, np.array(raw.shape_vx) - 1)
    reach = np.ceil(REACH_NM / voxel).astype(int)
    begin = raw.roi.begin + Coordinate(at - reach) * raw.voxel_size
    box = Roi(begin, Coordinate(2 * reach + 1) * raw.voxel_size).intersect(fragments.roi).intersect(raw.roi)
    corner = np.array((box.begin - raw.roi.begin) / raw.voxel_size)
    pictures = []
    for plane, axis in zip(PLANES, range(3), strict=True):
        offset, shape = list(box.begin), list(box.shape)
        offset[axis] = int(box.begin[axis] + (at - corner)[axis] * raw.voxel_size[axis])
        shape[axis] = raw.voxel_size[axis]
        section = Roi(offset, shape)
        grey, ids = (np.squeeze(volume.read(section), axis=axis) for volume in (raw, fragments))
        across = [other for other in range(3) if other != axis]
        rows, columns = voxel[across]
        here = [int(place) for place in (at - corner)[across]]
        square = [max(1, round(float(size / min(rows, columns)))) for size in (rows, columns)]
        image = draw_sides(figures.raw_image(grey), queue.find_sides(error, ids), here, square)
        pictures.append((plane, image, float(grey.shape[0] * rows / (grey.shape[1] * columns))))
    return ErrorPanel(error, (int(at[0]), int(at[1]), int(at[2])), pictures)


def draw_sides(grey: np.ndarray, sides: np.ndarray, at: Sequence[int], pixels: Sequence[int] = (1, 1)) -> np.ndarray:
    """Return raw uint8[y, x] under the tint and the outline of two sides (1 and 2 of uint8[y, x]), a cross at a place.

    Parameters
    ----------
    pixels
        Rows and columns of the picture that a voxel has, at least: more where it is longer along one axis.
    """
    larger = max(1, -(-SMALLEST // max(n * size for n, size in zip(grey.shape, pixels, strict=True))))
    factors = [larger * size for size in pixels]
    image, sides = (part.repeat(factors[0], axis=0).repeat(factors[1], axis=1) for part in (grey, sides))
    picture = np.repeat(image[..., None], 3, axis=-1).astype(np.float64)
    for side, colour in enumerate(COLOURS, 1):
        inside = sides == side
        outline = inside & ~binary_erosion(inside, iterations=2, border_value=1)
        picture[inside] = picture[inside] * (1 - TINT) + np.array(colour) * TINT
        picture[outline] = colour
    row, column = (factor * place + factor // 2 for factor, place in zip(factors, at, strict=True))
    for thick, shade in ((2, 0), (1, 255)):  # light within dark: seen on any ground
        for drow, dcolumn in ((8, thick - 1), (thick - 1, 8)):
            rows, columns = (
                slice(max(0, row - drow), row + drow + 1),
                slice(max(0, column - dcolumn), column + dcolumn + 1),
            )
            picture[rows, columns] = shade
    return np.asarray(picture.round().astype(np.uint8))
