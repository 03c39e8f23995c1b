# distutils: language = c++
"""Voxels of the phantom: the neurite that owns each, and how an electron microscope would show it; see `volumes.phantom`.

A voxel belongs to the neurite whose axis is nearest, less its radius there: an additively weighted Voronoi diagram, whose cells
are connected as their axes are. What is looked up is a smoothly warped and turned place, which bends the rods.
Everything is decided by voxel, or by tiles that are fixed to the volume, so no voxel depends on the block it is computed in.
"""

from libc.math cimport M_PI, cos, floor, sin, sqrt
from libc.stdint cimport int64_t, uint8_t, uint64_t

from neuroadda.kernels.hashing cimport hash3, mix, salted, unit
from neuroadda.kernels.phantom_geometry cimport Link

cpdef enum:
    REACH = 2  # sites around a tile's own in which the nearest axes lie

cdef enum:
    SITES = (2 * REACH + 1) * (2 * REACH + 1) * (2 * REACH + 1)  # within reach
    TILE = 8  # pixels, in y and x

cdef enum Salt:
    SECTION = 16
    NOISE = 17
    TEXTURE = 18
    TONE = 19
    VESICLE = 20

cdef enum:  # grey values
    CYTOPLASM = 172
    VESICLE_RIM = 108
    MITOCHONDRION = 104
    MITOCHONDRION_RIM = 74
    MEMBRANE = 62
    SYNAPSE = 34

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

cdef struct Wave:
    double vector[3]
    double displacement[3]
    double phase

cdef struct Tissue:
    const Link* links
    const int64_t* ids
    int64_t first[3]  # site of links and ids
    int64_t sites[3]  # their shape
    const Wave* waves
    Py_ssize_t n_waves
    const double* turn  # a rotation matrix

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

cdef struct Tile:
    double corner[2][2][3]  # where its corners are looked up
    double stretch  # nm there for one here
    const Link* links[SITES]  # those that may own or border its voxels, and their neurites
    int64_t ids[SITES]
    Py_ssize_t number
    double texture[3][3]

cdef struct Sight:  # a link, seen from a place
    const Link* link
    int64_t id
    double distance  # to the axis less its radius
    double axial  # to the axis
    double part  # of the link's length, where the axis is nearest
    double way[3]  # from there

cdef struct Voxel:
    int64_t z
    int64_t y
    int64_t x
    double tile_y  # of the tile's height and width
    double tile_x
    Sight owner
    Sight other  # the nearest of another neurite
    double border  # nm to the border of the two
    double slope  # of the border against the section: 0 if it is upright


def render(
    Look look,
    const int64_t[::1] begin,
    uint8_t[:, :, ::1] raw,
    uint64_t[:, :, ::1] labels,
    const double[:, :, :, ::1] links,
    const int64_t[:, :, ::1] ids,
    const int64_t[::1] first,
    const double[:, ::1] waves,
    const double[:, ::1] turn,
):
    """Fill `raw` and `labels`, the block of the volume that begins at voxel `begin`.

    Parameters
    ----------
    look
        Fields of a `PhantomConfig`.
    links, ids, first
        From `build_links`; `first` is their first site.
    waves
        Wave vector (zyx), displacement (zyx) and phase of each.
    turn
        Rotation matrix.
    """
    cdef Tissue tissue
    cdef Section section
    cdef Tile tile
    cdef Voxel voxel
    cdef int64_t z, y, x, ty, tx
    cdef int64_t end_z = begin[0] + raw.shape[0], end_y = begin[1] + raw.shape[1], end_x = begin[2] + raw.shape[2]
    tissue.links, tissue.ids = <const Link*>&links[0, 0, 0, 0], &ids[0, 0, 0]
    tissue.first, tissue.sites = [first[0], first[1], first[2]], [ids.shape[0], ids.shape[1], ids.shape[2]]
    tissue.waves, tissue.n_waves, tissue.turn = <const Wave*>&waves[0, 0], waves.shape[0], &turn[0, 0]
    with nogil:
        for z in range(begin[0], end_z):
            section = make_section(look, z)
            for ty in range(begin[1] // TILE, (end_y - 1) // TILE + 1):
                for tx in range(begin[2] // TILE, (end_x - 1) // TILE + 1):
                    fill_tile(tile, look, tissue, section, z, ty, tx)
                    for y in range(max(begin[1], ty * TILE), min(end_y, (ty + 1) * TILE)):
                        for x in range(max(begin[2], tx * TILE), min(end_x, (tx + 1) * TILE)):
                            voxel.z, voxel.y, voxel.x = z, y, x
                            voxel.tile_y, voxel.tile_x = (y - ty * TILE + 0.5) / TILE, (x - tx * TILE + 0.5) / TILE
                            find_owner(voxel, tile, tissue)
                            labels[z - begin[0], y - begin[1], x - begin[2]] = label_of(voxel, look)
                            raw[z - begin[0], y - begin[1], x - begin[2]] = shade(voxel, look, section, tile)


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


cdef inline void fill_tile(
    Tile& tile, const Look& look, const Tissue& tissue, const Section& section, int64_t z, int64_t ty, int64_t tx
) noexcept nogil:
    cdef double height = TILE * look.voxel_size_nm[1], width = TILE * look.voxel_size_nm[2]
    cdef double place[3]
    cdef double middle[3]
    cdef double slack = 0
    cdef uint64_t key = salted(look.seed, TEXTURE)
    cdef int a, b, c
    place[0] = (z + 0.5) * look.voxel_size_nm[0]
    for a in range(2):
        for b in range(2):
            place[1] = ty * height + section.shift_y + a * height
            place[2] = tx * width + section.shift_x + b * width
            warp(place, tissue, tile.corner[a][b])
    for c in range(3):
        middle[c] = 0.25 * (
            tile.corner[0][0][c] + tile.corner[0][1][c] + tile.corner[1][0][c] + tile.corner[1][1][c]
        )
    for a in range(2):
        for b in range(2):
            slack = max(slack, length_of(middle, tile.corner[a][b]))
    tile.stretch = 0.5 * (
        length_of(tile.corner[0][0], tile.corner[1][0]) / height
        + length_of(tile.corner[0][0], tile.corner[0][1]) / width
    )
    collect_links(tile, tissue, look.neurite_spacing_nm, middle, 1.3 * slack)  # radii vary along a link
    for a in range(3):
        for b in range(3):
            tile.texture[a][b] = unit(hash3(key, z, 2 * ty + a, 2 * tx + b)) - 0.5


cdef inline void warp(const double* place, const Tissue& tissue, double* out) noexcept nogil:
    """Put the place that a point of the volume (nm) is looked up at into `out`."""
    cdef double moved[3]
    cdef double s
    cdef const double* turn = tissue.turn
    cdef const Wave* wave
    cdef Py_ssize_t m
    cdef int c
    for c in range(3):
        moved[c] = place[c]
    for m in range(tissue.n_waves):
        wave = tissue.waves + m
        s = sin(wave.vector[0] * place[0] + wave.vector[1] * place[1] + wave.vector[2] * place[2] + wave.phase)
        for c in range(3):
            moved[c] += wave.displacement[c] * s
    for c in range(3):
        out[c] = turn[3 * c] * moved[0] + turn[3 * c + 1] * moved[1] + turn[3 * c + 2] * moved[2]


cdef inline void collect_links(
    Tile& tile, const Tissue& tissue, double spacing, const double* middle, double slack
) noexcept nogil:
    """Keep the links that may own or border a voxel within `slack` of the tile's middle.

    That is those no farther than the nearest of a second neurite, with `slack` once for that one and once for them.
    """
    cdef double distance[SITES]
    cdef int64_t corner[3]
    cdef int64_t i, j, k, site, best_id = -1
    cdef double d, best = 1e30, second = 1e30
    cdef Py_ssize_t n = 0, m
    for i in range(3):
        corner[i] = <int64_t>floor(middle[i] / spacing) - REACH - tissue.first[i]
    for i in range(corner[0], corner[0] + 2 * REACH + 1):
        for j in range(corner[1], corner[1] + 2 * REACH + 1):
            for k in range(corner[2], corner[2] + 2 * REACH + 1):
                site = (i * tissue.sites[1] + j) * tissue.sites[2] + k
                if tissue.ids[site] == 0:
                    continue
                d = look_at(tissue.links + site, tissue.ids[site], middle).distance
                tile.links[n], tile.ids[n], distance[n] = tissue.links + site, tissue.ids[site], d
                n += 1
                if tissue.ids[site] == best_id:
                    best = min(best, d)
                elif d < best:
                    second, best, best_id = best, d, tissue.ids[site]
                elif d < second:
                    second = d
    tile.number = 0
    for m in range(n):
        if distance[m] <= second + 2 * slack:
            tile.links[tile.number], tile.ids[tile.number] = tile.links[m], tile.ids[m]
            tile.number += 1


cdef inline Sight look_at(const Link* link, int64_t neurite, const double* place) noexcept nogil:
    cdef Sight seen
    cdef double along[3]
    cdef double length2, part = 0
    cdef int c
    for c in range(3):
        along[c] = link.b[c] - link.a[c]
        seen.way[c] = place[c] - link.a[c]
    length2 = along[0] * along[0] + along[1] * along[1] + along[2] * along[2]
    if length2 > 0:
        part = (seen.way[0] * along[0] + seen.way[1] * along[1] + seen.way[2] * along[2]) / length2
        part = min(1.0, max(0.0, part))
    for c in range(3):
        seen.way[c] -= part * along[c]
    seen.link, seen.id, seen.part = link, neurite, part
    seen.axial = sqrt(seen.way[0] * seen.way[0] + seen.way[1] * seen.way[1] + seen.way[2] * seen.way[2])
    seen.distance = seen.axial - (link.radius_a + part * (link.radius_b - link.radius_a))
    return seen


cdef inline void find_owner(Voxel& voxel, const Tile& tile, const Tissue& tissue) noexcept nogil:
    cdef double place[3]
    cdef double to_border[3]
    cdef double steep
    cdef const double* turn = tissue.turn
    cdef Sight seen
    cdef Py_ssize_t m
    cdef int c
    for c in range(3):
        place[c] = (
            (1 - voxel.tile_y) * (1 - voxel.tile_x) * tile.corner[0][0][c]
            + (1 - voxel.tile_y) * voxel.tile_x * tile.corner[0][1][c]
            + voxel.tile_y * (1 - voxel.tile_x) * tile.corner[1][0][c]
            + voxel.tile_y * voxel.tile_x * tile.corner[1][1][c]
        )
    voxel.owner = voxel.other = Sight(tile.links[0], -1, 1e30, 0, 0, [0, 0, 0])
    for m in range(tile.number):
        seen = look_at(tile.links[m], tile.ids[m], place)
        if seen.distance < voxel.owner.distance:
            if seen.id != voxel.owner.id:
                voxel.other = voxel.owner
            voxel.owner = seen
        elif seen.id != voxel.owner.id and seen.distance < voxel.other.distance:
            voxel.other = seen
    for c in range(3):
        to_border[c] = (
            voxel.other.way[c] * (1.0 / max(voxel.other.axial, 1e-9))
            - voxel.owner.way[c] * (1.0 / max(voxel.owner.axial, 1e-9))
        )
    steep = sqrt(to_border[0] * to_border[0] + to_border[1] * to_border[1] + to_border[2] * to_border[2])
    steep = max(0.5, steep)
    voxel.border = (voxel.other.distance - voxel.owner.distance) / (steep * tile.stretch)
    voxel.slope = abs(to_border[0] * turn[0] + to_border[1] * turn[3] + to_border[2] * turn[6]) / steep


cdef inline uint64_t label_of(const Voxel& voxel, const Look& look) noexcept nogil:
    if look.membrane_label0 and voxel.border < 0.5 * look.membrane_nm:
        return 0
    return voxel.owner.id


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


cdef inline double length_of(const double* a, const double* b) noexcept nogil:
    """Return the distance of two places."""
    return sqrt(square(b[0] - a[0]) + square(b[1] - a[1]) + square(b[2] - a[2]))


cdef inline double square(double x) noexcept nogil:
    return x * x
