# distutils: language = c++
"""Voxels of the phantom: the neurite that owns each, and how an electron microscope would show it; see `volumes.phantom`.

Everything is decided by voxel, or by tiles that are fixed to the volume, so no voxel depends on the block it is computed in.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from neuroadda.kernels.phantom_geometry cimport Link
from neuroadda.kernels.phantom_sections cimport Look, Section, make_section
from neuroadda.kernels.phantom_shading cimport shade
from neuroadda.kernels.phantom_tiles cimport REACH as REACH_, TILE, Tile, Tissue, Voxel, Wave, fill_tile, find_owner

REACH = REACH_  # for Python, too


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


cdef inline uint64_t label_of(const Voxel& voxel, const Look& look) noexcept nogil:
    if look.membrane_label0 and voxel.border < 0.5 * look.membrane_nm:
        return 0
    return voxel.owner.id
