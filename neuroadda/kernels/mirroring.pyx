# distutils: language = c++
"""Find the mirror images that fill what is not known; see `volumes.coverage.filling`."""

import numpy as np
from libc.stdint cimport INT32_MAX, int32_t, uint8_t


def find_images(const uint8_t[:, ::1] known, int reach_y, int reach_x):
    """Return int32, of the shape of `known`: where the mirror image of each unknown place is (y * width + x), -1 where there is none.

    A place that is at most the reach away from a known one, along an axis, is mirrored at it; of two axes, at the nearer one, of
    equally near ones along y. As by `Volume.read_mirrored`, the border is not repeated, and the image is mirrored again where the
    run of known places ends.
    """
    cdef Py_ssize_t height = known.shape[0], width = known.shape[1], i
    images = np.full((height, width), -1, np.int32)
    nearest = np.full((height, width), INT32_MAX, np.int32)
    cdef int32_t[:, ::1] found = images, best = nearest
    if height == 0 or width == 0:
        return images
    with nogil:
        for i in range(width if reach_y > 0 else 0):
            mirror_line(&known[0, i], height, width, reach_y, i, &found[0, i], &best[0, i])
        for i in range(height if reach_x > 0 else 0):
            mirror_line(&known[i, 0], width, 1, reach_x, i * width, &found[i, 0], &best[i, 0])
    return images


cdef void mirror_line(
    const uint8_t* known, Py_ssize_t size, Py_ssize_t step, int32_t reach, Py_ssize_t first, int32_t* found, int32_t* best
) noexcept nogil:
    """Mirror a line at the runs of known places on both sides of each gap, of two equally near ones at that before."""
    cdef Py_ssize_t begin = 0, end, after, after_end, i  # the run before is begin .. end, the gap end .. after
    cdef Py_ssize_t distance, run, border, away, period, inward
    while begin < size:
        end = begin
        while end < size and known[end * step]:
            end += 1
        after = end
        while after < size and not known[after * step]:
            after += 1
        after_end = after
        while after_end < size and known[after_end * step]:
            after_end += 1
        for i in range(end, after):
            if end > begin and (after == size or i - end + 1 <= after - i):
                distance, run, border, away = i - end + 1, end - begin, end - 1, -1
            elif after < size:
                distance, run, border, away = after - i, after_end - after, after, 1
            else:
                break
            if distance > reach or distance >= best[i * step]:
                continue
            period = max(2 * (run - 1), 1)
            inward = distance % period
            if inward >= run:
                inward = period - inward
            best[i * step] = <int32_t>distance
            found[i * step] = <int32_t>(first + (border + away * inward) * step)
        begin = after
