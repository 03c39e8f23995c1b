"""Give fragments other ids, a voxel at a time; see `segmentation.seams`."""

import numpy as np
from libc.stdint cimport uint8_t, uint32_t, uint64_t


def mark_ids(const uint32_t[:, :, :] fragments, uint8_t[::1] marks):
    """Set `marks` to 1 at the ids (zyx) that there are."""
    cdef Py_ssize_t z, y, x
    with nogil:
        for z in range(fragments.shape[0]):
            for y in range(fragments.shape[1]):
                for x in range(fragments.shape[2]):
                    marks[fragments[z, y, x]] = 1


def look_up(const uint64_t[::1] table, const uint32_t[:, :, :] fragments):
    """Return uint64, zyx: what a table has for each id."""
    found_ = np.empty((fragments.shape[0], fragments.shape[1], fragments.shape[2]), np.uint64)
    cdef uint64_t[:, :, ::1] found = found_
    cdef Py_ssize_t z, y, x
    with nogil:
        for z in range(fragments.shape[0]):
            for y in range(fragments.shape[1]):
                for x in range(fragments.shape[2]):
                    found[z, y, x] = table[fragments[z, y, x]]
    return found_
