"""Neurites of the phantom: which there are near any place, from the seed and that place alone.

A grid of sites fills space. Rods of sites run along z, x and y, interleaved as in the cubic rod packing of crystallography
(O'Keeffe and Andersson 1977), so that none meets another and every site but a quarter lies on one. Sites are jittered, rods are cut
by chance, and a cut end joins the rod that it passes nearest (a branch) or ends. Each site has thus at most one parent, and
following parents always goes forward along z, y or x: the neurites are trees, and the last site of that walk names the neurite.

What a site does is a hash of seed and site, so any block of the volume can be computed alone.
"""

import numpy as np
from numba import njit

LINK_FIELDS = 10
# columns of a link: a (zyx), b (zyx), radius at a, radius at b, and two random numbers in [0, 1)
RADIUS_A, RADIUS_B, CHANCE_ORGANELLE, CHANCE_SHAPE = 6, 7, 8, 9
JITTER = 0.2  # of the spacing, to both sides

_END, _BRANCH, _PLACE, _CALIBER, _LOCAL, _ORGANELLE, _SHAPE = range(7)


@njit(cache=True, inline="always")
def mix(x):  # type: ignore[no-untyped-def]
    """Return 64 scrambled bits of 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, inline="always")
def hash3(key, z, y, x):  # type: ignore[no-untyped-def]
    """Return 64 random bits of a key and three integers."""
    step = np.uint64(0x9E3779B97F4A7C15)
    h = mix(np.uint64(key) + step)
    h = mix((h ^ np.uint64(np.int64(z))) + step)
    h = mix((h ^ np.uint64(np.int64(y))) + step)
    return mix((h ^ np.uint64(np.int64(x))) + step)


@njit(cache=True, inline="always")
def unit(bits):  # type: ignore[no-untyped-def]
    """Return bits as a number in [0, 1)."""
    return np.float64(np.uint64(bits) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, inline="always")
def salted(seed, salt):  # type: ignore[no-untyped-def]
    """Return a key for `hash3`: one independent stream for each salt."""
    return mix(np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(salt) + np.uint64(1))


@njit(cache=True)
def axis_of(z, y, x):  # type: ignore[no-untyped-def]
    """Return the axis (0 z, 1 y, 2 x) of the rod through a site, -1 if none goes through it."""
    z, y, x = z & 1, y & 1, x & 1
    if y == 1 and x == 0:
        return 0
    if z == 1 and y == 0:
        return 2
    if x == 1 and z == 0:
        return 1
    return -1


@njit(cache=True)
def parent(seed, z, y, x, end_rate, branch_rate):  # type: ignore[no-untyped-def]
    """Return (axis, found): the parent is the site one further along `axis`; the root of a neurite has none."""
    axis = axis_of(z, y, x)
    if unit(hash3(salted(seed, _END), z, y, x)) >= end_rate:
        return axis, True
    if unit(hash3(salted(seed, _BRANCH), z, y, x)) >= branch_rate:
        return axis, False
    for other in range(3):  # exactly one of the two other directions leads to a site that is on a rod
        if other != axis and axis_of(z + (other == 0), y + (other == 1), x + (other == 2)) >= 0:
            return other, True
    return axis, False


@njit(cache=True)
def _root(seed, z, y, x, end_rate, branch_rate, low, high):  # type: ignore[no-untyped-def]
    """Follow parents to the root, or to the last site inside [low, high)."""
    while True:
        axis, found = parent(seed, z, y, x, end_rate, branch_rate)
        nz, ny, nx = z + (axis == 0), y + (axis == 1), x + (axis == 2)
        if not found or nz >= high[0] or ny >= high[1] or nx >= high[2]:
            return z, y, x
        z, y, x = nz, ny, nx


@njit(cache=True)
def build_links(seed, first, shape, low, high, spacing, end_rate, branch_rate):  # type: ignore[no-untyped-def]
    """Return the neurites' pieces whose first end is one of the sites from `first` on.

    Parameters
    ----------
    first, shape
        Box of sites.
    low, high
        Box of all sites of the volume: beyond it no parent is followed, which keeps ids small.
    spacing
        Of sites, nm.
    end_rate, branch_rate
        Chance that a rod is cut at a site, and that such an end joins another rod.

    Returns
    -------
    links : float64[*shape, 10]
        See LINK_FIELDS.
    ids : int64[*shape]
        Neurite of each site, from 1; 0 where there is none.
    """
    links = np.zeros((shape[0], shape[1], shape[2], LINK_FIELDS))
    ids = np.zeros((shape[0], shape[1], shape[2]), np.int64)
    place, organelle, form = salted(seed, _PLACE), salted(seed, _ORGANELLE), salted(seed, _SHAPE)
    end = np.zeros(3, np.int64)
    for i in range(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                z, y, x = first[0] + i, first[1] + j, first[2] + k
                if axis_of(z, y, x) < 0:
                    continue
                rz, ry, rx = _root(seed, z, y, x, end_rate, branch_rate, low, high)
                ids[i, j, k] = ((rz - low[0]) * (high[1] - low[1]) + ry - low[1]) * (high[2] - low[2]) + rx - low[2] + 1
                axis, found = parent(seed, z, y, x, end_rate, branch_rate)
                end[0], end[1], end[2] = z, y, x
                if found:
                    end[axis] += 1
                link = links[i, j, k]
                caliber = unit(hash3(salted(seed, _CALIBER), rz, ry, rx)) ** 2
                for a, site in enumerate(((z, y, x), (end[0], end[1], end[2]))):
                    bits = hash3(place, site[0], site[1], site[2])
                    for c in range(3):
                        part = np.float64((bits >> np.uint64(21 * c)) & np.uint64(0x1FFFFF)) / 0x1FFFFF
                        link[3 * a + c] = (site[c] + 0.5 + JITTER * (2 * part - 1)) * spacing
                    local = unit(hash3(salted(seed, _LOCAL), site[0], site[1], site[2]))
                    link[RADIUS_A + a] = spacing * (0.22 * caliber + 0.12 * local)
                link[CHANCE_ORGANELLE] = unit(hash3(organelle, z, y, x))
                link[CHANCE_SHAPE] = unit(hash3(form, z, y, x))
    return links, ids
