"""Put sections side by side, channel by channel; see `backbones.sections`."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

cdef struct Part:
    const uint8_t* begin
    Py_ssize_t z_stride
    Py_ssize_t y_stride
    Py_ssize_t x_stride
    Py_ssize_t size
    Py_ssize_t z_factor
    Py_ssize_t y_factor
    Py_ssize_t x_factor
    Py_ssize_t first


def join(parts, uint8_t[:, :, :, ::1] out):
    """Put the channels of all parts into `out`.

    All are bytes, zyx and those of a voxel's channels, which are contiguous. A part is its voxels, how often each is there (zyx), and
    the section, of those that are then there, which is the first of `out`.
    """
    cdef const uint8_t[:, :, :, :] voxels
    cdef Py_ssize_t i, z, y, offset, count = len(parts)
    cdef Part* table = <Part*>PyMem_Malloc(count * sizeof(Part))
    if table == NULL:
        raise MemoryError
    try:
        for i in range(count):
            voxels, (table[i].z_factor, table[i].y_factor, table[i].x_factor), table[i].first = parts[i]
            table[i].begin, table[i].size = &voxels[0, 0, 0, 0], voxels.shape[3]
            table[i].z_stride, table[i].y_stride, table[i].x_stride = voxels.strides[0], voxels.strides[1], voxels.strides[2]
        with nogil:
            for z in range(out.shape[0]):
                for y in range(out.shape[1]):
                    offset = 0
                    for i in range(count):  # row by row, so that what is written stays in the cache until it is whole
                        join_row(&table[i], z, y, &out[z, y, 0, offset], out.shape[2], out.shape[3])
                        offset += table[i].size
    finally:
        PyMem_Free(table)


cdef void join_row(
    const Part* part, Py_ssize_t z, Py_ssize_t y, uint8_t* out, Py_ssize_t voxels, Py_ssize_t out_stride
) noexcept nogil:
    cdef const uint8_t* voxel = part.begin
    cdef Py_ssize_t x, again
    voxel += (part.first + z) // part.z_factor * part.z_stride + y // part.y_factor * part.y_stride
    for x in range(voxels // part.x_factor):
        for again in range(part.x_factor):
            memcpy(out, voxel, part.size)
            out += out_stride
        voxel += part.x_stride
