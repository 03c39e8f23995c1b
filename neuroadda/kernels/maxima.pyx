"""Find maxima of a map within a window; see `segmentation.seeded_watershed`."""

import numpy as np
from libc.stdint cimport uint8_t


def mark_maxima(const float[:, :, ::1] values, Py_ssize_t z, Py_ssize_t y, Py_ssize_t x):
    """Return uint8, the same shape: 1 where no voxel up to z, y, x away along the axes has a higher value."""
    found = np.zeros((values.shape[0], values.shape[1], values.shape[2]), np.uint8)
    cdef uint8_t[:, :, ::1] target = found
    cdef Py_ssize_t k, j, i
    with nogil:
        for k in range(values.shape[0]):
            for j in range(values.shape[1]):
                for i in range(values.shape[2]):
                    target[k, j, i] = _is_highest(values, k, j, i, z, y, x)
    return found


cdef inline bint _is_highest(
    const float[:, :, ::1] values,
    Py_ssize_t k,
    Py_ssize_t j,
    Py_ssize_t i,
    Py_ssize_t z,
    Py_ssize_t y,
    Py_ssize_t x,
) noexcept nogil:
    cdef float value = values[k, j, i]
    cdef Py_ssize_t depth = values.shape[0], height = values.shape[1], width = values.shape[2]
    cdef Py_ssize_t kk, jj, ii
    # The nearest ones first: they rule out nearly all.
    if x > 0 and ((i > 0 and values[k, j, i - 1] > value) or (i + 1 < width and values[k, j, i + 1] > value)):
        return False
    if y > 0 and ((j > 0 and values[k, j - 1, i] > value) or (j + 1 < height and values[k, j + 1, i] > value)):
        return False
    for kk in range(max(0, k - z), min(depth, k + z + 1)):
        for jj in range(max(0, j - y), min(height, j + y + 1)):
            for ii in range(max(0, i - x), min(width, i + x + 1)):
                if values[kk, jj, ii] > value:
                    return False
    return True
