"""The neurite that owns a voxel of the phantom, and the one beyond its border; see `phantom_rendering.pyx`.

A voxel belongs to the neurite whose axis is nearest, less its radius there: an additively weighted Voronoi diagram, whose cells
are connected as their axes are. What is looked up is a smoothly warped and turned place, which bends the rods.
"""

from libc.math cimport floor, sin, sqrt
from libc.stdint cimport int64_t, uint64_t

from neuroadda.kernels.hashing cimport hash3, salted, unit
from neuroadda.kernels.phantom_geometry cimport TEXTURE, Link
from neuroadda.kernels.phantom_sections cimport Look, Section

cdef enum:
    REACH = 2  # sites around a tile's own in which the nearest axes lie
    SITES = (2 * REACH + 1) * (2 * REACH + 1) * (2 * REACH + 1)  # within reach
    TILE = 8  # pixels, in y and x

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


cdef inline double length_of(const double* a, const double* b) noexcept nogil:
    """Return the distance of two places."""
    return sqrt(square(b[0] - a[0]) + square(b[1] - a[1]) + square(b[2] - a[2]))


cdef inline double square(double x) noexcept nogil:
    return x * x
