"""Maxima of boxes of voxels; see `backbones.sections`."""

from libc.stdint cimport int16_t, int32_t

ctypedef fused value:
    int16_t
    int32_t


def pool(const value[:, :, :, :] voxels, factors, value[:, :, :, ::1] out):
    """Put the maxima of boxes of `factors` (zyx) voxels into `out`.

    Both are zyxc, a voxel's channels contiguous.
    """
    cdef Py_ssize_t fz = factors[0], fy = factors[1], fx = factors[2], z, y, i, j, k
    with nogil:
        for z in range(out.shape[0]):
            for y in range(out.shape[1]):
                for i in range(fz):
                    for j in range(fy):
                        for k in range(fx):
                            meet_row(
                                &voxels[z * fz + i, y * fy + j, k, 0],
                                voxels.strides[2] // <Py_ssize_t>sizeof(value) * fx,
                                &out[z, y, 0, 0],
                                out.shape[2],
                                out.shape[3],
                                i + j + k == 0,
                            )


cdef inline void meet_row(
    const value* voxel, Py_ssize_t stride, value* most, Py_ssize_t voxels, Py_ssize_t channels, bint first
) noexcept nogil:
    cdef Py_ssize_t x, c
    for x in range(voxels):
        if first:
            for c in range(channels):
                most[c] = voxel[c]
        else:
            for c in range(channels):
                most[c] = voxel[c] if voxel[c] > most[c] else most[c]
        voxel += stride
        most += channels
