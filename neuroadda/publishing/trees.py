"""One segment's voxels traced to a tree with radii, and the tree as SWC.

The tracing is as in TEASAR (Sato et al. 2000, doi:10.1109/PCCGA.2000.883951), on the minimum cost paths of scikit-image: paths from
one end of the segment to what lies farthest from it and near no path yet, through its middle. What a step costs depends on how far
the surface is there, and on nothing elsewhere: so thin branches of thick cells are traced through their middle, too.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

CENTRING = 4  # power of the distance to the surface, by which a step costs less
NEAR_RADII, NEAR_VOXELS = 1.5, 2.0  # what lies so near a path is no branch of its own


@dataclass(frozen=True)
class Tree:
    """A tree.

    Attributes
    ----------
    nodes
        float64 ``(n, 3)``, xyz in nm from the origin.
    radii
        float64, nm: how far the surface is.
    edges
        int64 ``(n - 1, 2)``, parent and child. Node 0 is the root, the thickest; parents come before their children.
    """

    nodes: np.ndarray
    radii: np.ndarray
    edges: np.ndarray


def trace(mask: np.ndarray, voxel_size_nm: np.ndarray, begin: np.ndarray) -> Tree:
    """Return the tree of a segment.

    Cavities are filled. Loops are open; parts that do not touch are joined where they are nearest to each other.

    Parameters
    ----------
    mask
        bool, zyx, at least one voxel.
    voxel_size_nm, begin
        zyx: of these voxels, and where the first lies from the origin, in voxels.
    """
    import cc3d
    import edt
    from scipy.ndimage import binary_fill_holes, find_objects

    filled = np.pad(binary_fill_holes(mask), 1)
    distance = edt.edt(np.ascontiguousarray(filled), anisotropy=tuple(voxel_size_nm.tolist()), parallel=1)
    parts = cc3d.connected_components(filled, connectivity=26)
    places, edges, count = [], [], 0
    for part, box in enumerate(find_objects(parts), start=1):
        nodes, joined = _trace_part(parts[box] == part, distance[box], voxel_size_nm)
        places.append(nodes + [axis.start for axis in box])
        edges.append(joined + count)
        count += len(nodes)
    all_places, half = np.concatenate(places), voxel_size_nm.min() / 2
    radii = np.maximum(
        distance[tuple(all_places.T)] - half, half
    )  # the surface lies half a voxel before the voxel outside
    nm = (all_places - 1 + begin + 0.5) * voxel_size_nm
    return _direct(nm, radii, _join_parts(nm, np.concatenate(edges)))


def _trace_part(mask: np.ndarray, distance: np.ndarray, voxel_size_nm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels (int64, zyx) and edges of the tree of voxels that touch."""
    from skimage.graph import MCP_Geometric

    sampling = tuple(voxel_size_nm.tolist())
    even = MCP_Geometric(np.where(mask, 1.0, np.inf), sampling=sampling)
    first = np.unravel_index(int(np.argmax(mask)), mask.shape)
    root = _place(int(np.argmax(np.where(mask, even.find_costs([first])[0], -1.0))), mask.shape)
    voxels = np.flatnonzero(mask)
    away = even.find_costs([root])[0].ravel()[voxels]
    cost = np.where(mask, np.maximum(distance / voxel_size_nm.min(), 1), 1.0).astype(np.float64) ** -CENTRING
    paths = MCP_Geometric(np.where(mask, cost, np.inf), sampling=sampling)
    paths.find_costs([root])
    number, edges, left = {root: 0}, [], mask.copy()
    _clear(left, root, distance, voxel_size_nm)
    for end in voxels[np.argsort(-away, kind="stable")]:  # the farthest first
        if not left.flat[end]:
            continue
        # All paths are of one tree: they begin at the root, and run together as far as they can.
        path = [tuple(place) for place in paths.traceback(_place(end, mask.shape))]
        for before, place in pairwise(path):
            if place not in number:
                number[place] = len(number)
                edges.append((number[before], number[place]))
                _clear(left, place, distance, voxel_size_nm)
        left[path[-1]] = False
    return np.array(list(number), np.int64), np.array(edges, np.int64).reshape(-1, 2)


def _place(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.unravel_index(flat, shape))


def _clear(left: np.ndarray, place: tuple[int, ...], distance: np.ndarray, voxel_size_nm: np.ndarray) -> None:
    reach = np.ceil(NEAR_RADII * distance[place] / voxel_size_nm + NEAR_VOXELS).astype(int)
    left[tuple(slice(max(0, int(p - r)), int(p + r + 1)) for p, r in zip(place, reach, strict=True))] = False


def _join_parts(nm: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the edges, and one more for each part that touches no other: between its and others' nearest nodes."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    while True:
        graph = coo_matrix((np.ones(len(edges)), tuple(edges.T)), (len(nm), len(nm)))
        count, part = connected_components(graph, directed=False)
        if count == 1:
            return edges
        smallest = int(np.argmin(np.bincount(part)))
        inside, outside = np.flatnonzero(part == smallest), np.flatnonzero(part != smallest)
        away, nearest = cKDTree(nm[outside]).query(nm[inside])
        closest = int(np.argmin(away))
        edges = np.append(edges, [[inside[closest], outside[nearest[closest]]]], axis=0)


def _direct(nm: np.ndarray, radii: np.ndarray, edges: np.ndarray) -> Tree:
    """Return the tree with its edges from parent to child: some readers take the first node of an edge for the parent."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order

    size = len(nm)
    graph = coo_matrix((np.ones(len(edges)), tuple(edges.T)), (size, size)).tocsr()
    order, parents = breadth_first_order(graph, int(np.argmax(radii)), directed=False)
    number = np.zeros(size, np.int64)
    number[order] = np.arange(size)
    children = order[1:]
    return Tree(nm[order, ::-1], radii[order], np.stack([number[parents[children]], number[children]], axis=1))


def describe_swc(tree: Tree, id_: int) -> bytes:
    """Return an SWC file."""
    parents = np.full(len(tree.nodes), -1)
    parents[tree.edges[:, 1]] = tree.edges[:, 0] + 1
    lines = [f"# segment {id_}; x, y, z and radius in nm", "# id type x y z radius parent"]
    for number, (place, radius, parent) in enumerate(zip(tree.nodes, tree.radii, parents, strict=True), start=1):
        x, y, z = place
        lines.append(f"{number} 0 {x:.3f} {y:.3f} {z:.3f} {radius:.3f} {parent}")
    return ("\n".join(lines) + "\n").encode()
