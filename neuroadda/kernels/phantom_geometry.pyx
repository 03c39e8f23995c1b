"""Neurites of the phantom: which there are near any place, from the seed and that place alone; see `volumes.phantom`.

A grid of sites fills space. Rods of sites run along z, x and y, interleaved as in the cubic rod packing of crystallography
(O'Keeffe and Andersson 1977), so that none meets another and every site but a quarter lies on one. Sites are jittered, rods are cut
by chance, and a cut end joins the rod that it passes nearest (a branch) or ends. Each site has thus at most one parent, and
following parents always goes forward along z, y or x: the neurites are trees, and the last site of that walk names the neurite.

What a site does is a hash of seed and site, so any block of the volume can be computed alone.
"""

import numpy as np
from libc.stdint cimport int64_t, uint64_t

from neuroadda.kernels.hashing cimport hash3, salted, unit

cdef struct Site:
    int64_t z
    int64_t y
    int64_t x

cdef struct Rods:
    uint64_t seed
    double spacing
    double jitter
    double end_rate
    double branch_rate


def build_links(
    uint64_t seed,
    const int64_t[::1] first,
    const int64_t[::1] shape,
    const int64_t[::1] low,
    const int64_t[::1] high,
    double spacing,
    double jitter,
    double end_rate,
    double branch_rate,
):
    """Return the neurites' pieces whose first end is one of the sites from `first` on.

    Parameters
    ----------
    first, shape
        Box of sites.
    low, high
        Box of all sites of the volume: beyond it no parent is followed, which keeps ids small.
    spacing
        Of sites, nm.
    jitter
        Of sites, to both sides, in spacings.
    end_rate, branch_rate
        Chance that a rod is cut at a site, and that such an end joins another rod.

    Returns
    -------
    links : float64[*shape, 10]
        The fields of a `Link`, in their order.
    ids : int64[*shape]
        Neurite of each site, from 1; 0 where there is none.
    """
    ids_ = np.zeros((shape[0], shape[1], shape[2]), np.int64)
    links_ = np.zeros((*ids_.shape, sizeof(Link) // sizeof(double)))
    cdef double[:, :, :, ::1] links = links_
    cdef int64_t[:, :, ::1] ids = ids_
    cdef Rods rods = Rods(seed, spacing, jitter, end_rate, branch_rate)
    cdef Site site, root
    cdef Py_ssize_t i, j, k
    with nogil:
        for i in range(shape[0]):
            for j in range(shape[1]):
                for k in range(shape[2]):
                    site = Site(first[0] + i, first[1] + j, first[2] + k)
                    if axis_of(site.z, site.y, site.x) < 0:
                        continue
                    root = find_root(rods, site, &high[0])
                    ids[i, j, k] = 1 + (
                        ((root.z - low[0]) * (high[1] - low[1]) + root.y - low[1]) * (high[2] - low[2]) + root.x - low[2]
                    )
                    (<Link*>&links[i, j, k, 0])[0] = make_link(rods, site, root)
    return links_, ids_


cpdef inline int axis_of(int64_t z, int64_t y, int64_t x) noexcept nogil:
    """Return the axis (0 z, 1 y, 2 x) of the rod through a site, -1 if none goes through it."""
    z, y, x = z & 1, y & 1, x & 1
    if y == 1 and x == 0:
        return 0
    if z == 1 and y == 0:
        return 2
    if x == 1 and z == 0:
        return 1
    return -1


cdef inline Site step(Site site, int axis) noexcept nogil:
    """Return the next site along an axis."""
    return Site(site.z + (axis == 0), site.y + (axis == 1), site.x + (axis == 2))


cdef inline int parent_of(Rods rods, Site site) noexcept nogil:
    """Return the axis along which the next site is the parent, -1 if there is none: this is the root of a neurite."""
    cdef int axis = axis_of(site.z, site.y, site.x), other
    cdef Site beside
    if draw(rods, END, site) >= rods.end_rate:
        return axis
    if draw(rods, BRANCH, site) >= rods.branch_rate:
        return -1
    for other in range(3):  # exactly one of the two other directions leads to a site that is on a rod
        beside = step(site, other)
        if other != axis and axis_of(beside.z, beside.y, beside.x) >= 0:
            return other
    return -1


cdef inline Site find_root(Rods rods, Site site, const int64_t* high) noexcept nogil:
    """Follow parents to the root, or to the last site below `high`."""
    cdef int axis
    cdef Site above
    while True:
        axis = parent_of(rods, site)
        above = step(site, axis)
        if axis < 0 or above.z >= high[0] or above.y >= high[1] or above.x >= high[2]:
            return site
        site = above


cdef inline Link make_link(Rods rods, Site site, Site root) noexcept nogil:
    """Return the piece from a site to its parent; a root's has no length."""
    cdef Link link
    cdef Site end = step(site, parent_of(rods, site))
    cdef double caliber = draw(rods, CALIBER, root)
    put_place(rods, site, link.a)
    put_place(rods, end, link.b)
    link.radius_a = radius_at(rods, site, caliber)
    link.radius_b = radius_at(rods, end, caliber)
    link.organelle = draw(rods, ORGANELLE, site)
    link.form = draw(rods, FORM, site)
    return link


cdef inline void put_place(Rods rods, Site site, double* place) noexcept nogil:
    cdef uint64_t bits = hash3(salted(rods.seed, PLACE), site.z, site.y, site.x)
    place[0] = (site.z + 0.5 + rods.jitter * to_either_side(bits)) * rods.spacing
    place[1] = (site.y + 0.5 + rods.jitter * to_either_side(bits >> 21)) * rods.spacing
    place[2] = (site.x + 0.5 + rods.jitter * to_either_side(bits >> 42)) * rods.spacing


cdef inline double to_either_side(uint64_t bits) noexcept nogil:
    """Return the last 21 bits as a number in [-1, 1]."""
    return 2 * (<double>(bits & 0x1FFFFF) / 0x1FFFFF) - 1


cdef inline double radius_at(Rods rods, Site site, double caliber) noexcept nogil:
    return rods.spacing * (0.22 * (caliber * caliber) + 0.12 * draw(rods, LOCAL, site))


cdef inline double draw(Rods rods, Salt salt, Site site) noexcept nogil:
    """Return the site's number in [0, 1) of a stream."""
    return unit(hash3(salted(rods.seed, salt), site.z, site.y, site.x))
