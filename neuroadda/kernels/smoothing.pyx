"""Weigh voxels with their neighbours along an axis; see `segmentation.seeded_watershed`.

``weights[0]`` is a voxel's own weight, ``weights[k]`` that of both voxels k away. Beyond its ends an array goes on as its mirror image,
which begins with the last voxel. Sums are float64 and begin with the farthest neighbours.
"""

import numpy as np

cdef enum:
    STRIP = 1024  # sums that stay in the processor's nearest cache


def weigh_planes(const float[:, :, ::1] values, const double[::1] weights):
    """Return float32, the same shape: voxels weighed with those along the middle axis."""
    cdef Py_ssize_t n = values.shape[1], width = values.shape[2], reach = weights.shape[0] - 1
    weighed = np.empty((values.shape[0], n, width), np.float32)
    cdef float[:, :, ::1] target = weighed
    cdef double[::1] sums = np.empty(STRIP)
    cdef Py_ssize_t outer, strip, first, count, i, k
    with nogil:
        for outer in range(values.shape[0]):
            for strip in range((width + STRIP - 1) // STRIP):
                first = strip * STRIP
                count = min(<Py_ssize_t>STRIP, width - first)
                for i in range(n):
                    start(&sums[0], &values[outer, i, first], weights[0], count)
                    for k in range(reach, 0, -1):
                        add(
                            &sums[0],
                            &values[outer, mirror(i - k, n), first],
                            &values[outer, mirror(i + k, n), first],
                            weights[k],
                            count,
                        )
                    finish(&target[outer, i, first], &sums[0], count)
    return weighed


def weigh_rows(const float[:, ::1] values, const double[::1] weights):
    """Return float32, the same shape: voxels weighed with those along the last axis."""
    cdef Py_ssize_t width = values.shape[1], reach = weights.shape[0] - 1
    weighed = np.empty((values.shape[0], width), np.float32)
    cdef float[:, ::1] target = weighed
    cdef double[::1] sums = np.empty(width)
    cdef float[::1] row = np.empty(width + 2 * reach, np.float32)
    cdef Py_ssize_t outer, i, k
    with nogil:
        for outer in range(values.shape[0]):
            for i in range(-reach, width + reach):
                row[reach + i] = values[outer, mirror(i, width)]
            start(&sums[0], &row[reach], weights[0], width)
            for k in range(reach, 0, -1):
                add(&sums[0], &row[reach - k], &row[reach + k], weights[k], width)
            finish(&target[outer, 0], &sums[0], width)
    return weighed


cdef inline Py_ssize_t mirror(Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    i = i % (2 * n)
    if i < 0:
        i += 2 * n
    return i if i < n else 2 * n - 1 - i


cdef inline void start(double* sums, const float* values, double weight, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        sums[i] = values[i] * weight


cdef inline void add(double* sums, const float* a, const float* b, double weight, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        sums[i] += (<double>a[i] + <double>b[i]) * weight


cdef inline void finish(float* target, const double* sums, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        target[i] = <float>sums[i]
