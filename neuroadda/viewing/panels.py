"""What is shown of a proposal: a section of raw and uncertainty, its place in the volume, its coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib
import numpy as np

from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.active.scores import FULL
from neuroadda.errors import UserError
from neuroadda.viewing import figures
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig

SIDE = 512  # pixels of a picture's longer side, at most
MOST_BOXES = 48  # of one sheet: a page of megabytes, and a picture that fits memory
CONTEXT = 0.25  # shown on each side of a box, of its longer side in the section
COLOUR_MAP, OPACITY = "viridis", 0.5
THINNEST = 0.12  # a volume's shortest side is drawn no shorter than this share of its longest
SMALLEST = 0.03  # and a box no smaller than this
GAP = 8.0  # between projections, of the longest side's 100


@dataclass(frozen=True)
class Panel:
    """One proposal as it is shown: a section through the middle of its box.

    Attributes
    ----------
    raw
        uint8[y, x]: the box and some context, thinned out where it is large.
    frame
        The box in this picture, as shares of its height and width: top, left, bottom, right, 0 to 1.
    aspect
        A pixel's height over its width, in nm.
    section
        Index of the section in the volume.
    extent
        The whole volume.
    uncertainty
        float[y, x], 0 to 1, of the same picture; may be coarser. NaN where there is no tissue.
    """

    proposal: Proposal
    raw: np.ndarray
    frame: tuple[float, float, float, float]
    aspect: float
    section: int
    extent: RoiConfig
    uncertainty: np.ndarray | None = None


class Box(NamedTuple):
    """A rectangle of a drawing."""

    x: float
    y: float
    width: float
    height: float


class Position(NamedTuple):
    """Three projections of a volume, unfolded: along z (yx), to its right along x (yz), below it along y (zx).

    Attributes
    ----------
    size
        x, y, z as drawn; the longest is 100.
    volume, box
        One rectangle a projection.
    """

    size: tuple[float, float, float]
    volume: list[Box]
    box: list[Box]


def cut_panels(raw: Volume, grid: Volume | None, proposals: Proposals) -> list[Panel]:
    """Read the panels of the first `MOST_BOXES` proposals; see `cut_panel`."""
    return [cut_panel(raw, grid, proposal) for proposal in proposals.proposals[:MOST_BOXES]]


def cut_panel(raw: Volume, grid: Volume | None, proposal: Proposal) -> Panel:
    """Read what a proposal's panel shows, and no more of it than it shows.

    Parameters
    ----------
    raw
        zyx.
    grid
        Cells of uncertainty, uint16 czyx: channel 0 the score (65535 is 1), channel 1 the share of tissue. None where it is
        not known.

    Raises
    ------
    UserError
        If the proposal does not lie in `raw` on its voxels, or `grid` holds something else.
    """
    if grid is not None and (grid.dtype != np.uint16 or (grid.channels or 0) < 2):
        found = f"{grid.dtype} {grid.data.shape}"
        raise UserError(f"{found} is no grid of uncertainty", str(grid.path), "uint16 czyx is expected")
    middle, *box = raw.to_slices(proposal.to_roi(raw))
    section = (middle.start + middle.stop) // 2
    margin = int(CONTEXT * max(s.stop - s.start for s in box))
    begin = [max(0, s.start - margin) for s in box]
    end = [min(n, s.stop + margin) for s, n in zip(box, raw.shape_vx[1:], strict=True)]
    step = max(1, -(-max(e - b for b, e in zip(begin, end, strict=True)) // SIDE))
    rows, columns = (slice(b, e, step) for b, e in zip(begin, end, strict=True))
    shares = [((s.start - b) / (e - b), (s.stop - b) / (e - b)) for s, b, e in zip(box, begin, end, strict=True)]
    shape_nm = tuple(n * v for n, v in zip(raw.shape_vx, raw.voxel_size_nm, strict=True))
    return Panel(
        proposal=proposal,
        raw=figures.raw_image(raw.read_box((section, rows, columns))),
        frame=(shares[0][0], shares[1][0], shares[0][1], shares[1][1]),
        aspect=raw.voxel_size_nm[1] / raw.voxel_size_nm[2],
        section=section,
        extent=RoiConfig.model_validate({"offset_nm": raw.offset_nm, "shape_nm": shape_nm}),
        uncertainty=None if grid is None else _look_up(raw, grid, (np.array([section]), np.r_[rows], np.r_[columns])),
    )


def find_scale(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return the lowest and highest uncertainty shown, the same for all panels, so that they can be compared."""
    if not panels:
        raise UserError("there is nothing to show", "contact sheet", "at least one proposal is needed")
    maps = [panel.uncertainty for panel in panels if panel.uncertainty is not None]
    values = np.concatenate([m[np.isfinite(m)] for m in maps]) if maps else np.empty(0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.01, low + 0.01)


def colour(uncertainty: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Return the colour of uncertainty [y, x] on a scale from lowest to highest, uint8[y, x, 3]."""
    share = np.clip((np.nan_to_num(uncertainty) - scale[0]) / (scale[1] - scale[0]), 0, 1)
    return np.round(matplotlib.colormaps[COLOUR_MAP](share)[..., :3] * 255).astype(np.uint8)


def draw_sections(panel: Panel, scale: tuple[float, float]) -> list[tuple[str, np.ndarray]]:
    """Return the section in grey and, where it is known, under its uncertainty; both with the box's border."""
    grey = np.repeat(panel.raw[..., None], 3, axis=-1)
    pictures = [("raw", grey)]
    if panel.uncertainty is not None:
        rows, columns = (np.arange(n) * m // n for n, m in zip(panel.raw.shape, panel.uncertainty.shape, strict=True))
        fine = panel.uncertainty[np.ix_(rows, columns)]
        over = np.round(grey * (1 - OPACITY) + colour(fine, scale) * OPACITY).astype(np.uint8)
        pictures.append(("uncertainty", np.where(np.isfinite(fine)[..., None], over, grey)))
    return [(name, _draw_border(image, panel.frame)) for name, image in pictures]


def coordinates(panel: Panel, proposals: Proposals) -> list[tuple[str, str, str]]:
    """Return (what, xyz, zyx) of a proposal's box; voxels are counted from the volume's first, nm are of the world."""
    box = panel.proposal
    voxel, origin = np.array(proposals.voxel_size_nm), np.array(panel.extent.offset_nm)
    offset, shape = np.array(box.offset_nm), np.array(box.shape_nm)
    offset_vx, shape_vx = np.round((offset - origin) / voxel), np.round(shape / voxel)
    rows = {
        "offset, voxels": offset_vx,
        "shape, voxels": shape_vx,
        "centre, voxels": offset_vx + shape_vx // 2,
        "offset, nm": offset,
        "shape, nm": shape,
    }
    return [(what, ", ".join(map(plain, zyx[::-1])), ", ".join(map(plain, zyx))) for what, zyx in rows.items()]


def project(panel: Panel) -> Position:
    """Return where a proposal's box lies in its volume, as drawn."""
    extent = np.array(panel.extent.shape_nm)
    size = 100 * np.maximum(extent / extent.max(), THINNEST)
    share = np.maximum(np.array(panel.proposal.shape_nm) / extent, 100 * SMALLEST / size)
    first = (np.array(panel.proposal.offset_nm) - panel.extent.offset_nm) / extent
    low, length = np.clip(first, 0, 1 - share) * size, share * size

    def unfold(begin: np.ndarray, shape: np.ndarray) -> list[Box]:
        (z, y, x), (d, h, w) = begin.tolist(), shape.tolist()
        right, below = float(size[2]) + GAP, float(size[1]) + GAP
        return [Box(x, y, w, h), Box(right + z, y, d, h), Box(x, below + z, w, d)]

    return Position((float(size[2]), float(size[1]), float(size[0])), unfold(np.zeros(3), size), unfold(low, length))


def plain(number: float) -> str:
    """Return a number without trailing zeros or an exponent."""
    return f"{number:.12g}"


def _look_up(raw: Volume, grid: Volume, voxels: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the score of the cell that each voxel's centre lies in, float32[y, x]; NaN without tissue or cell."""
    places = zip(voxels, raw.voxel_size_nm, raw.offset_nm, grid.voxel_size_nm, grid.offset_nm, strict=True)
    cells = [np.floor((o + (i + 0.5) * v - first) / cell).astype(int) for i, v, o, cell, first in places]
    inside = [(c >= 0) & (c < n) for c, n in zip(cells, grid.shape_vx, strict=True)]
    near = [np.clip(c, 0, n - 1) for c, n in zip(cells, grid.shape_vx, strict=True)]
    box = np.asarray(grid.data[(slice(0, 2), *(slice(n.min(), n.max() + 1) for n in near))])
    score, tissue = box[(slice(None), *np.ix_(*(n - n.min() for n in near)))][:, 0]
    known = inside[0] & inside[1][:, None] & inside[2] & (tissue > 0)
    return np.where(known, score / np.float32(FULL), np.nan).astype(np.float32)


def _draw_border(image: np.ndarray, frame: tuple[float, float, float, float]) -> np.ndarray:
    """Enlarge a small picture, and draw the box's border inside the box: a light line beside a dark one."""
    factor = max(1, SIDE // max(image.shape[:2]))
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[:2]
    top, left, bottom, right = (round(f * n) for f, n in zip(frame, (height, width) * 2, strict=True))
    thick = max(1, max(height, width) // 128)
    for inset, shade in ((0, 255), (thick, 0)):
        inside = image[top + inset : max(0, bottom - inset), left + inset : max(0, right - inset)]
        for edge in (inside[:thick], inside[-thick:], inside[:, :thick], inside[:, -thick:]):
            edge[...] = shade
    return image
