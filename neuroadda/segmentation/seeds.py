"""Seeds of a watershed: where a map is highest within a window around."""

import numba
import numpy as np


def find_maxima(values: np.ndarray, reach: tuple[int, ...]) -> np.ndarray:
    """Return bool, the same shape: where no voxel up to `reach` away along any axis has a higher value.

    Plateaus are maxima as a whole, and where the window leaves the array, only what is inside counts: the voxels that equal
    `scipy.ndimage.maximum_filter` of a window of 2 reach + 1, found several times as fast, since few of them beat even their
    neighbours.

    Parameters
    ----------
    values
        float32, 2-D or 3-D.
    """
    flat = values.ndim == 2
    z, y, x = (0, *reach) if flat else reach
    found = _find_maxima(values[np.newaxis] if flat else values, z, y, x)
    return found[0] if flat else found


@numba.njit(cache=True)
def _find_maxima(values: np.ndarray, z: int, y: int, x: int) -> np.ndarray:  # pragma: no cover - compiled
    depth, height, width = values.shape
    found = np.zeros(values.shape, np.bool_)
    for k in range(depth):
        for j in range(height):
            for i in range(width):
                value = values[k, j, i]
                # The nearest ones first: they rule out nearly all.
                if x > 0 and (
                    (i > 0 and values[k, j, i - 1] > value) or (i + 1 < width and values[k, j, i + 1] > value)
                ):
                    continue
                if y > 0 and (
                    (j > 0 and values[k, j - 1, i] > value) or (j + 1 < height and values[k, j + 1, i] > value)
                ):
                    continue
                highest = True
                for kk in range(max(0, k - z), min(depth, k + z + 1)):
                    for jj in range(max(0, j - y), min(height, j + y + 1)):
                        for ii in range(max(0, i - x), min(width, i + x + 1)):
                            if values[kk, jj, ii] > value:
                                highest = False
                                break
                        if not highest:
                            break
                    if not highest:
                        break
                found[k, j, i] = highest
    return found
