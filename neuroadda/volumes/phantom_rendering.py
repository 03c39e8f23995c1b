"""Voxels of the phantom: the neurite that owns each, and how an electron microscope would show it.

A voxel belongs to the neurite whose axis is nearest, less its radius there: an additively weighted Voronoi diagram, whose cells
are connected as their axes are. What is looked up is a smoothly warped and turned place, which bends the rods.
Everything is decided by voxel, or by tiles that are fixed to the volume, so no voxel depends on the block it is computed in.
"""

import math

import numpy as np
from numba import njit

from neuroadda.volumes.phantom_geometry import (
    CHANCE_ORGANELLE,
    CHANCE_SHAPE,
    RADIUS_A,
    RADIUS_B,
    hash3,
    mix,
    salted,
    unit,
)

TILE = 8  # pixels, in y and x
REACH = 2  # sites around a tile's own in which the nearest axes lie

_SECTION, _NOISE, _TEXTURE, _TONE, _VESICLE = range(16, 21)
# grey values
_CYTOPLASM, _MEMBRANE, _SYNAPSE, _MITOCHONDRION, _VESICLE_RIM = 172.0, 62.0, 34.0, 104.0, 108.0


@njit(cache=True)
def warp(z, y, x, waves, turn, out):  # type: ignore[no-untyped-def]
    """Put the place that a point of the tissue (nm) is looked up at into `out`.

    `waves` has the columns wave vector (zyx), displacement (zyx) and phase; `turn` is a rotation matrix.
    """
    dz, dy, dx = z, y, x
    for m in range(waves.shape[0]):
        w = waves[m]
        s = math.sin(w[0] * z + w[1] * y + w[2] * x + w[6])
        dz += w[3] * s
        dy += w[4] * s
        dx += w[5] * s
    for c in range(3):
        out[c] = turn[c, 0] * dz + turn[c, 1] * dy + turn[c, 2] * dx


@njit(cache=True, inline="always")
def _distance(link, qz, qy, qx):  # type: ignore[no-untyped-def]
    """Return (distance to the axis less its radius, distance, part of the link's length, and the zyx way from the axis)."""
    az, ay, ax = link[0], link[1], link[2]
    bz, by, bx = link[3] - az, link[4] - ay, link[5] - ax
    pz, py, px = qz - az, qy - ay, qx - ax
    length2 = bz * bz + by * by + bx * bx
    t = 0.0
    if length2 > 0.0:
        t = min(1.0, max(0.0, (pz * bz + py * by + px * bx) / length2))
    pz, py, px = pz - t * bz, py - t * by, px - t * bx
    d = math.sqrt(pz * pz + py * py + px * px)
    return d - (link[RADIUS_A] + t * (link[RADIUS_B] - link[RADIUS_A])), d, t, pz, py, px


@njit(cache=True)
def section(seed, z, rates, shift_nm, extent_y, extent_x, out):  # type: ignore[no-untyped-def]
    """Put what happened to a section into `out`: shift y and x (nm), gain, offset, missing, fold's normal (yx), place and width."""
    key = salted(seed, _SECTION)
    u = np.empty(12)
    for n in range(12):
        u[n] = unit(hash3(key, z, n, 0))
    missing_rate, contrast_rate, fold_rate = rates[0], rates[1], rates[2]
    out[0], out[1] = shift_nm * (2 * u[0] - 1), shift_nm * (2 * u[1] - 1)
    out[2], out[3] = 1 + 0.06 * (u[2] - 0.5), 10 * (u[3] - 0.5)
    if u[4] < contrast_rate:
        out[2], out[3] = 0.4 + 0.3 * u[2], 60 * (u[3] - 0.5)
    out[4] = 1.0 if u[5] < missing_rate else 0.0
    out[5], out[6], out[7], out[8] = 0.0, 0.0, 0.0, 0.0
    if u[6] < fold_rate:
        angle = math.pi * u[7]
        out[5], out[6] = math.cos(angle), math.sin(angle)
        out[7] = out[5] * u[8] * extent_y + out[6] * u[9] * extent_x
        out[8] = 60 + 200 * u[10]


@njit(cache=True)
def _nearest(links, ids, first, q, slack, rows, row_ids):  # type: ignore[no-untyped-def]
    """Collect the links that may own or border a voxel within `slack` of q; return how many.

    That is those no farther than the nearest of a second neurite, with `slack` once for that one and once for them.
    """
    spacing = q[3]
    cz, cy, cx = math.floor(q[0] / spacing), math.floor(q[1] / spacing), math.floor(q[2] / spacing)
    best, best_id, second = 1e30, np.int64(-1), 1e30
    n = 0
    for i in range(cz - REACH - first[0], cz + REACH + 1 - first[0]):
        for j in range(cy - REACH - first[1], cy + REACH + 1 - first[1]):
            for k in range(cx - REACH - first[2], cx + REACH + 1 - first[2]):
                neurite = ids[i, j, k]
                if neurite == 0:
                    continue
                d = _distance(links[i, j, k], q[0], q[1], q[2])[0]
                rows[n, 0], rows[n, 1], rows[n, 2] = i, j, k
                row_ids[n] = neurite
                q[4 + n] = d
                n += 1
                if neurite == best_id:
                    best = min(best, d)
                elif d < best:
                    second, best, best_id = best, d, neurite
                elif d < second:
                    second = d
    kept = 0
    for m in range(n):
        if q[4 + m] <= second + 2 * slack:
            rows[kept, 0], rows[kept, 1], rows[kept, 2] = rows[m, 0], rows[m, 1], rows[m, 2]
            row_ids[kept] = row_ids[m]
            kept += 1
    return kept


@njit(cache=True)
def render(seed, begin, raw, labels, voxel, shape, links, ids, first, spacing, waves, turn, look, rates):  # type: ignore[no-untyped-def]
    """Fill `raw` (uint8) and `labels` (uint64), the block of the volume that begins at voxel `begin`.

    Parameters
    ----------
    voxel, shape
        Voxel size (nm) and shape of the whole volume, zyx.
    links, ids, first
        From `build_links`; `first` is their first site.
    look
        membrane (nm), 1 if membrane is labelled 0, mitochondria rate, bouton rate, noise, shift (nm).
    rates
        Of missing, low-contrast and folded sections.
    """
    membrane, gap, mito_rate, bouton_rate, noise, shift_nm = look[0], look[1] > 0, look[2], look[3], look[4], look[5]
    most = (2 * REACH + 1) ** 3
    rows, row_ids = np.empty((most, 3), np.int64), np.empty(most, np.int64)
    q = np.empty(4 + most)
    corner = np.empty((2, 2, 3))
    art = np.empty(9)
    grid = np.empty((3, 3))
    noise_key, texture_key = salted(seed, _NOISE), salted(seed, _TEXTURE)
    tone_key, vesicle_key = salted(seed, _TONE), salted(seed, _VESICLE)
    end_y, end_x = begin[1] + raw.shape[1], begin[2] + raw.shape[2]
    tile_y, tile_x = TILE * voxel[1], TILE * voxel[2]
    vesicle_z = max(55.0, voxel[0])
    for z in range(begin[0], begin[0] + raw.shape[0]):
        section(seed, z, rates, shift_nm, shape[1] * voxel[1], shape[2] * voxel[2], art)
        pz = (z + 0.5) * voxel[0]
        for ty in range(begin[1] // TILE, (end_y - 1) // TILE + 1):
            for tx in range(begin[2] // TILE, (end_x - 1) // TILE + 1):
                y0, x0 = ty * tile_y + art[0], tx * tile_x + art[1]
                for a in range(2):
                    for b in range(2):
                        warp(pz, y0 + a * tile_y, x0 + b * tile_x, waves, turn, corner[a, b])
                slack, stretch_y, stretch_x = 0.0, 0.0, 0.0
                for c in range(3):
                    q[c] = 0.25 * (corner[0, 0, c] + corner[0, 1, c] + corner[1, 0, c] + corner[1, 1, c])
                    stretch_y += (corner[1, 0, c] - corner[0, 0, c]) ** 2
                    stretch_x += (corner[0, 1, c] - corner[0, 0, c]) ** 2
                for a in range(2):
                    for b in range(2):
                        far = 0.0
                        for c in range(3):
                            far += (corner[a, b, c] - q[c]) ** 2
                        slack = max(slack, math.sqrt(far))
                stretch = 0.5 * (math.sqrt(stretch_y) / tile_y + math.sqrt(stretch_x) / tile_x)
                q[3] = spacing
                kept = _nearest(links, ids, first, q, 1.3 * slack, rows, row_ids)  # radii vary along a link
                for a in range(3):
                    for b in range(3):
                        grid[a, b] = unit(hash3(texture_key, z, 2 * ty + a, 2 * tx + b)) - 0.5
                for y in range(max(begin[1], ty * TILE), min(end_y, (ty + 1) * TILE)):
                    fy = (y - ty * TILE + 0.5) / TILE
                    for x in range(max(begin[2], tx * TILE), min(end_x, (tx + 1) * TILE)):
                        fx = (x - tx * TILE + 0.5) / TILE
                        w00, w01, w10, w11 = (1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx
                        qz = (
                            w00 * corner[0, 0, 0]
                            + w01 * corner[0, 1, 0]
                            + w10 * corner[1, 0, 0]
                            + w11 * corner[1, 1, 0]
                        )
                        qy = (
                            w00 * corner[0, 0, 1]
                            + w01 * corner[0, 1, 1]
                            + w10 * corner[1, 0, 1]
                            + w11 * corner[1, 1, 1]
                        )
                        qx = (
                            w00 * corner[0, 0, 2]
                            + w01 * corner[0, 1, 2]
                            + w10 * corner[1, 0, 2]
                            + w11 * corner[1, 1, 2]
                        )
                        d1, d2, id1 = 1e30, 1e30, np.int64(-1)
                        axial, t1, m1, m2 = 0.0, 0.0, 0, 0
                        n1z, n1y, n1x, n2z, n2y, n2x = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
                        for m in range(kept):
                            link = links[rows[m, 0], rows[m, 1], rows[m, 2]]
                            d, far, t, uz, uy, ux = _distance(link, qz, qy, qx)
                            if d >= d1 and (row_ids[m] == id1 or d >= d2):
                                continue
                            inverse = 1.0 / max(far, 1e-9)
                            uz, uy, ux = uz * inverse, uy * inverse, ux * inverse
                            if d < d1:
                                if row_ids[m] != id1:
                                    d2, m2, n2z, n2y, n2x = d1, m1, n1z, n1y, n1x
                                d1, id1, m1, axial, t1 = d, row_ids[m], m, far, t
                                n1z, n1y, n1x = uz, uy, ux
                            else:
                                d2, m2, n2z, n2y, n2x = d, m, uz, uy, ux
                        # to the border, along its normal; a section sees it smeared by its slope
                        gz, gy, gx = n2z - n1z, n2y - n1y, n2x - n1x
                        steep = max(0.5, math.sqrt(gz * gz + gy * gy + gx * gx))
                        border = (d2 - d1) / (steep * stretch)
                        slope = abs(gz * turn[0, 0] + gy * turn[1, 0] + gx * turn[2, 0]) / steep
                        iz, iy, ix = z - begin[0], y - begin[1], x - begin[2]
                        labels[iz, iy, ix] = 0 if gap and border < 0.5 * membrane else id1
                        if art[4] > 0:
                            raw[iz, iy, ix] = 0
                            continue
                        link = links[rows[m1, 0], rows[m1, 1], rows[m1, 2]]
                        other = links[rows[m2, 0], rows[m2, 1], rows[m2, 2]]
                        lot = link[CHANCE_ORGANELLE]
                        gy2, gx2 = 2 * fy, 2 * fx
                        ga, gb = int(gy2), int(gx2)
                        gy2, gx2 = gy2 - ga, gx2 - gb
                        texture = (1 - gy2) * ((1 - gx2) * grid[ga, gb] + gx2 * grid[ga, gb + 1]) + gy2 * (
                            (1 - gx2) * grid[ga + 1, gb] + gx2 * grid[ga + 1, gb + 1]
                        )
                        grey = _CYTOPLASM + 30 * (unit(mix(tone_key + np.uint64(id1))) - 0.5) + 44 * texture
                        if lot < mito_rate:
                            length = 0.0
                            for c in range(3):
                                length += (link[3 + c] - link[c]) ** 2
                            length = math.sqrt(length) + 1e-9
                            wide = spacing * (0.26 + 0.18 * link[CHANCE_SHAPE])
                            along = (t1 - 0.5) * length
                            e = (along / (0.52 * length)) ** 2 + (axial / wide) ** 2
                            if t1 <= 0.0 or t1 >= 1.0:
                                e = 2.0
                            if e < 1.0 and border > 0.7 * membrane:
                                cristae = math.sin(
                                    6.2832 * (along * 0.9 + axial * 0.45) / 38.0 + 6.2832 * link[CHANCE_SHAPE]
                                )
                                grey = _MITOCHONDRION + 16 * cristae + 24 * texture
                                if e > 0.8 or border < 0.7 * membrane + 8:
                                    grey = 74.0
                        elif lot > 1 - bouton_rate and border > 0.5 * membrane + 14:
                            ry, rx = (y + 0.5) * voxel[1] + art[0], (x + 0.5) * voxel[2] + art[1]
                            vz, vy, vx = math.floor(pz / vesicle_z), math.floor(ry / 52.0), math.floor(rx / 52.0)
                            bits = hash3(vesicle_key, vz, vy, vx)
                            if unit(bits) < 0.85:
                                oy = (vy + 0.5) * 52.0 + 22 * (unit(mix(bits + np.uint64(1))) - 0.5) - ry
                                ox = (vx + 0.5) * 52.0 + 22 * (unit(mix(bits + np.uint64(2))) - 0.5) - rx
                                oz = 0.5 * ((vz + 0.5) * vesicle_z - pz)
                                d = math.sqrt(oz * oz + oy * oy + ox * ox)
                                if abs(d - 14.0) < 5.0:
                                    grey = _VESICLE_RIM
                        half, dark = 0.5 * membrane, _MEMBRANE
                        touching = max(lot, other[CHANCE_ORGANELLE]) > 1 - bouton_rate
                        if touching and other[CHANCE_SHAPE] + link[CHANCE_SHAPE] < 0.9 and 0.25 < t1 < 0.75:
                            half, dark = 1.6 * half, _SYNAPSE
                        seen = 0.5 * slope * voxel[0] + 0.6 * voxel[2]
                        cover = max(0.0, min(border + seen, half) - max(border - seen, -half)) / (2 * seen)
                        grey += (dark - grey) * min(1.0, cover)
                        if art[8] > 0:
                            d = abs(art[5] * y * voxel[1] + art[6] * x * voxel[2] - art[7])
                            grey *= 1 - 0.75 * max(0.0, 1 - d / art[8])
                        grey = 128 + art[2] * (grey - 128) + art[3]
                        bits = hash3(noise_key, z, y, x)
                        white = -2.0
                        for c in range(4):
                            white += np.float64((bits >> np.uint64(16 * c)) & np.uint64(0xFFFF)) / 0xFFFF
                        grey += noise * white * 1.7320508  # a sum of four uniform numbers has variance 1/3
                        raw[iz, iy, ix] = np.uint8(min(255.0, max(0.0, grey + 0.5)))
