"""How an electron microscope would show a voxel of the phantom; see `phantom_rendering.pyx`."""

from libc.math cimport floor, sin, sqrt
from libc.stdint cimport int64_t, uint8_t, uint64_t

from neuroadda.kernels.hashing cimport hash3, mix, salted, unit
from neuroadda.kernels.phantom_geometry cimport NOISE, TONE, VESICLE, Link
from neuroadda.kernels.phantom_sections cimport Look, Section
from neuroadda.kernels.phantom_tiles cimport Tile, Voxel, length_of, square

cdef enum:  # grey values
    CYTOPLASM = 172
    VESICLE_RIM = 108
    MITOCHONDRION = 104
    MITOCHONDRION_RIM = 74
    MEMBRANE = 62
    SYNAPSE = 34


cdef inline uint8_t shade(const Voxel& voxel, const Look& look, const Section& section, const Tile& tile) noexcept nogil:
    """Return what the microscope shows: tissue, stain, the section's artefacts and noise, each over what came before."""
    cdef double texture, grey, organelle = voxel.owner.link.organelle
    if section.missing:
        return 0
    texture = texture_at(voxel, tile)
    grey = CYTOPLASM + 30 * (unit(mix(salted(look.seed, TONE) + <uint64_t>voxel.owner.id)) - 0.5) + 44 * texture
    if organelle < look.mitochondria_rate:
        grey = add_mitochondrion(grey, voxel, look, texture)
    elif organelle > 1 - look.bouton_rate and voxel.border > 0.5 * look.membrane_nm + 14:
        grey = add_vesicle(grey, voxel, look, section)
    grey = add_membrane(grey, voxel, look)
    grey = add_artefacts(grey, voxel, look, section)
    grey = add_noise(grey, voxel, look)
    return <uint8_t>min(255.0, max(0.0, grey + 0.5))


cdef inline double texture_at(const Voxel& voxel, const Tile& tile) noexcept nogil:
    cdef double y = 2 * voxel.tile_y, x = 2 * voxel.tile_x
    cdef int a = <int>y, b = <int>x
    y, x = y - a, x - b
    return (1 - y) * ((1 - x) * tile.texture[a][b] + x * tile.texture[a][b + 1]) + y * (
        (1 - x) * tile.texture[a + 1][b] + x * tile.texture[a + 1][b + 1]
    )


cdef inline double add_mitochondrion(double grey, const Voxel& voxel, const Look& look, double texture) noexcept nogil:
    """Show an ellipsoid around the middle of a link, if the voxel lies in it."""
    cdef const Link* link = voxel.owner.link
    cdef double length = length_of(link.a, link.b) + 1e-9
    cdef double width = look.neurite_spacing_nm * (0.26 + 0.18 * link.form)
    cdef double along = (voxel.owner.part - 0.5) * length
    cdef double level = square(along / (0.52 * length)) + square(voxel.owner.axial / width)
    cdef double cristae
    if voxel.owner.part <= 0 or voxel.owner.part >= 1 or level >= 1 or voxel.border <= 0.7 * look.membrane_nm:
        return grey
    if level > 0.8 or voxel.border < 0.7 * look.membrane_nm + 8:
        return MITOCHONDRION_RIM
    cristae = sin(6.2832 * (along * 0.9 + voxel.owner.axial * 0.45) / 38.0 + 6.2832 * link.form)
    return MITOCHONDRION + 16 * cristae + 24 * texture


cdef inline double add_vesicle(double grey, const Voxel& voxel, const Look& look, const Section& section) noexcept nogil:
    """Show the rim of the vesicle that the voxel's box of space may hold, if the voxel lies on it."""
    cdef double depth = max(55.0, look.voxel_size_nm[0]), size = 52
    cdef double z = (voxel.z + 0.5) * look.voxel_size_nm[0]
    cdef double y = (voxel.y + 0.5) * look.voxel_size_nm[1] + section.shift_y
    cdef double x = (voxel.x + 0.5) * look.voxel_size_nm[2] + section.shift_x
    cdef double box_z = floor(z / depth), box_y = floor(y / size), box_x = floor(x / size)
    cdef uint64_t bits = hash3(salted(look.seed, VESICLE), <int64_t>box_z, <int64_t>box_y, <int64_t>box_x)
    if unit(bits) >= 0.85:
        return grey
    z = 0.5 * ((box_z + 0.5) * depth - z)
    y = (box_y + 0.5) * size + 22 * (unit(mix(bits + 1)) - 0.5) - y
    x = (box_x + 0.5) * size + 22 * (unit(mix(bits + 2)) - 0.5) - x
    return VESICLE_RIM if abs(sqrt(z * z + y * y + x * x) - 14) < 5 else grey


cdef inline double add_membrane(double grey, const Voxel& voxel, const Look& look) noexcept nogil:
    """Show the membrane, or the synapse, as far as it covers the voxel: a section sees it smeared by its slope."""
    cdef const Link* owner = voxel.owner.link
    cdef const Link* other = voxel.other.link
    cdef double half = 0.5 * look.membrane_nm, dark = MEMBRANE
    cdef double seen = 0.5 * voxel.slope * look.voxel_size_nm[0] + 0.6 * look.voxel_size_nm[2]
    cdef double cover
    cdef bint bouton = max(owner.organelle, other.organelle) > 1 - look.bouton_rate
    if bouton and other.form + owner.form < 0.9 and 0.25 < voxel.owner.part < 0.75:
        half, dark = 1.6 * half, SYNAPSE
    cover = max(0.0, min(voxel.border + seen, half) - max(voxel.border - seen, -half)) / (2 * seen)
    return grey + (dark - grey) * min(1.0, cover)


cdef inline double add_artefacts(double grey, const Voxel& voxel, const Look& look, const Section& section) noexcept nogil:
    cdef double away
    if section.fold_width > 0:
        away = abs(
            section.fold_y * voxel.y * look.voxel_size_nm[1]
            + section.fold_x * voxel.x * look.voxel_size_nm[2]
            - section.fold_place
        )
        grey *= 1 - 0.75 * max(0.0, 1 - away / section.fold_width)
    return 128 + section.gain * (grey - 128) + section.offset


cdef inline double add_noise(double grey, const Voxel& voxel, const Look& look) noexcept nogil:
    cdef uint64_t bits = hash3(salted(look.seed, NOISE), voxel.z, voxel.y, voxel.x)
    cdef double white = -2
    cdef int c
    for c in range(4):
        white += <double>((bits >> (16 * c)) & 0xFFFF) / 0xFFFF
    return grey + look.noise * white * 1.7320508  # a sum of four uniform numbers has variance 1/3
