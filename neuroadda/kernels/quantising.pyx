"""Look logits of two bytes up in a table of all; see `segmentation.quantising`."""

from libc.stdint cimport uint8_t, uint16_t


def look_up(const uint16_t[:, :, :, :] logits, const uint8_t[::1] table, uint8_t[:, :, :, :] out):
    """Put ``table[logits]`` into `out`; channels (c of czyx) may be innermost in memory."""
    cdef Py_ssize_t c, z, y, x
    with nogil:
        for z in range(logits.shape[1]):
            for y in range(logits.shape[2]):
                for c in range(logits.shape[0]):
                    for x in range(logits.shape[3]):
                        out[c, z, y, x] = table[logits[c, z, y, x]]
