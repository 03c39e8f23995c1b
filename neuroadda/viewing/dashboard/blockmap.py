"""The volume's blocks as a map of few cells, and their history as a curve of few bins."""

from typing import Any

import numpy as np

from neuroadda.config import Zyx
from neuroadda.viewing.dashboard.progress import DONE, FAILED, RUNNING, StageProgress

MOST_CELLS = 48  # along an axis
MOST_BINS = 96
NICE_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
VIEWS = (("along z", 0, "y", "x"), ("along y", 1, "z", "x"))


def map_blocks(progress: StageProgress) -> list[dict[str, Any]]:
    """Return the map seen along z and along y, as plain data; nothing for a task whose grid is not known.

    Each view has ``rows`` and ``columns`` of cells that hold all blocks behind each other, in C order: ``blocks`` and how many of
    them are ``done``, ``running``, ``failed``; ``when``, the mean time at which those done were finished, seconds since the epoch
    (None without); ``pick``, the finished block that is nearest to the volume's middle in it (None without).
    """
    grid = progress.grid
    if grid is None:
        return []
    status = progress.statuses.reshape(grid.counts)
    done = status == DONE
    counted = {"blocks": np.broadcast_to(True, grid.counts), "done": done}
    counted |= {"running": status == RUNNING, "failed": status == FAILED}
    when = np.where(done, progress.when.reshape(grid.counts), 0)
    nearest = np.where(done, _middle_first(grid.counts), np.iinfo(np.int64).max)
    views = []
    for name, axis, down, right in VIEWS:
        factors = [-(-n // MOST_CELLS) for n in grid.counts]
        factors[axis] = grid.counts[axis]
        cells = {key: _reduce(values, factors, np.add, np.int64) for key, values in counted.items()}
        mean = _reduce(when, factors, np.add, np.float64) / np.maximum(1, cells["done"]) + progress.task.created
        pick = _reduce(nearest, factors, np.minimum, np.int64) % len(grid)
        shown = cells["done"] > 0
        kept = [n for place, n in enumerate(cells["done"].shape) if place != axis]
        sides = [s for place, s in enumerate(grid.shape) if place != axis]
        views.append(
            {
                "name": name,
                "down": down,
                "right": right,
                "rows": kept[0],
                "columns": kept[1],
                "blocks_per_cell": [f for place, f in enumerate(factors) if place != axis],
                "aspect": sides[0] / sides[1],
                **{key: values.ravel().tolist() for key, values in cells.items()},
                "when": [round(w, 1) if s else None for w, s in zip(mean.ravel().tolist(), shown.ravel(), strict=True)],
                "pick": [p if s else None for p, s in zip(pick.ravel().tolist(), shown.ravel(), strict=True)],
            }
        )
    return views


def count_history(progress: StageProgress) -> dict[str, Any]:
    """Return blocks and voxels that were done in each bin of time, as plain data.

    ``start`` is where the first bin begins, seconds since the epoch, ``width`` how long each is.
    """
    done = progress.statuses == DONE
    if progress.first is None or progress.last is None or not done.any():
        return {"start": 0.0, "width": 1, "blocks": [], "voxels": []}
    start, span = progress.first - progress.task.created, max(1e-3, progress.last - progress.first)
    width = next((n for n in NICE_SECONDS if n * MOST_BINS >= span), 86400 * -(-int(span) // (86400 * MOST_BINS)))
    bins = np.clip(((progress.when[done] - start) / width).astype(np.int64), 0, int(span // width))
    blocks = np.bincount(bins, minlength=int(span // width) + 1)
    voxels = np.bincount(bins, progress.voxels_of(done), minlength=len(blocks))
    return {
        "start": progress.first,
        "width": width,
        "span": span,
        "blocks": blocks.tolist(),
        "voxels": voxels.astype(np.int64).tolist(),
    }


def _reduce(values: np.ndarray, factors: list[int], how: np.ufunc, dtype: Any) -> np.ndarray:
    for axis, factor in enumerate(factors):
        values = how.reduceat(values, np.arange(0, values.shape[axis], factor), axis=axis, dtype=dtype)
    return values


def _middle_first(counts: Zyx) -> np.ndarray:
    """Return int64, by place: what orders blocks by their distance to the middle, and is the block's index modulo their number."""
    away = sum(
        np.abs(2 * np.arange(n) - n + 1).reshape([-1 if axis == place else 1 for place in range(3)])
        for axis, n in enumerate(counts)
    )
    size = int(np.prod(counts))
    return np.asarray(away, np.int64) * size + np.arange(size).reshape(counts)
