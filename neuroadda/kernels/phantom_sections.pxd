"""Sections of the phantom, and what happened to each; see `phantom_rendering.pyx`."""

from libc.math cimport M_PI, cos, sin
from libc.stdint cimport int64_t, uint64_t

from neuroadda.kernels.hashing cimport hash3, salted, unit
from neuroadda.kernels.phantom_geometry cimport SECTION

cdef struct Look:  # what is read of a `PhantomConfig`, by the names it has there
    uint64_t seed
    int64_t shape_vx[3]
    double voxel_size_nm[3]
    double neurite_spacing_nm
    double membrane_nm
    bint membrane_label0
    double mitochondria_rate
    double bouton_rate
    double noise
    double shift_nm
    double missing_rate
    double contrast_rate
    double fold_rate

cdef struct Section:  # what happened to it
    double shift_y  # nm
    double shift_x
    double gain
    double offset
    bint missing
    double fold_y  # the fold's normal, place and width; no fold is 0 wide
    double fold_x
    double fold_place
    double fold_width


cdef inline Section make_section(const Look& look, int64_t z) noexcept nogil:
    cdef Section section
    cdef uint64_t key = salted(look.seed, SECTION)
    cdef double u[11]
    cdef double angle
    cdef int64_t n
    for n in range(11):
        u[n] = unit(hash3(key, z, n, 0))
    section.shift_y, section.shift_x = look.shift_nm * (2 * u[0] - 1), look.shift_nm * (2 * u[1] - 1)
    section.gain, section.offset = 1 + 0.06 * (u[2] - 0.5), 10 * (u[3] - 0.5)
    if u[4] < look.contrast_rate:
        section.gain, section.offset = 0.4 + 0.3 * u[2], 60 * (u[3] - 0.5)
    section.missing = u[5] < look.missing_rate
    section.fold_y = section.fold_x = section.fold_place = section.fold_width = 0
    if u[6] < look.fold_rate:
        angle = M_PI * u[7]
        section.fold_y, section.fold_x = cos(angle), sin(angle)
        section.fold_place = section.fold_y * u[8] * (look.shape_vx[1] * look.voxel_size_nm[1]) + (
            section.fold_x * u[9] * (look.shape_vx[2] * look.voxel_size_nm[2])
        )
        section.fold_width = 60 + 200 * u[10]
    return section
