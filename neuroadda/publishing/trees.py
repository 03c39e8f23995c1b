"""One segment's voxels thinned to a tree with radii, and the tree as SWC."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tree:
    """A tree.

    Attributes
    ----------
    nodes
        float64 ``(n, 3)``, xyz in nm from the origin.
    radii
        float64, nm: how far the nearest voxel outside is.
    edges
        int64 ``(n - 1, 2)``, nodes.
    """

    nodes: np.ndarray
    radii: np.ndarray
    edges: np.ndarray


def thin(mask: np.ndarray, voxel_size_nm: np.ndarray, begin: np.ndarray) -> Tree:
    """Return the tree of a segment.

    Cavities are filled. Loops are opened where the thinned voxels are farthest apart, and parts that do not touch are joined where
    they are nearest to each other.

    Parameters
    ----------
    mask
        bool, zyx, at least one voxel.
    voxel_size_nm, begin
        zyx: of these voxels, and where the first lies from the origin, in voxels.
    """
    import edt
    from scipy.ndimage import binary_fill_holes
    from skimage.morphology import skeletonize

    filled = np.pad(binary_fill_holes(mask), 1)
    distance = edt.edt(np.ascontiguousarray(filled), anisotropy=tuple(voxel_size_nm.tolist()), parallel=1)
    places = np.argwhere(skeletonize(filled))
    if not len(places):  # nothing is left of some small even shapes
        places = np.argwhere(distance == distance.max())[:1]
    half = voxel_size_nm.min() / 2  # the border lies half a voxel before the voxel outside
    radii = np.maximum(distance[tuple(places.T)] - half, half)
    nm = (places - 1 + begin + 0.5) * voxel_size_nm
    return Tree(nm[:, ::-1], radii, _join(places, nm))


def _join(places: np.ndarray, nm: np.ndarray) -> np.ndarray:
    """Return the edges of the shortest tree over neighbouring voxels, and over the nearest pairs of parts that do not touch."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
    from scipy.spatial import cKDTree

    size = len(places)
    pairs = cKDTree(places).query_pairs(1.8, output_type="ndarray").reshape(-1, 2)  # 26 neighbours
    while True:
        pairs = pairs[np.lexsort(pairs.T[::-1])]
        lengths = np.linalg.norm(nm[pairs[:, 0]] - nm[pairs[:, 1]], axis=1)
        forest = minimum_spanning_tree(coo_matrix((lengths, tuple(pairs.T)), (size, size)).tocsr()).tocoo()
        edges = np.stack([forest.row, forest.col], axis=-1).astype(np.int64).reshape(-1, 2)
        count, part = connected_components(forest, directed=False)
        if count == 1:
            return edges[np.lexsort(edges.T[::-1])]
        smallest = int(np.argmin(np.bincount(part)))
        inside, outside = np.flatnonzero(part == smallest), np.flatnonzero(part != smallest)
        away, nearest = cKDTree(nm[outside]).query(nm[inside])
        closest = int(np.argmin(away))
        pairs = np.append(edges, [sorted((inside[closest], outside[nearest[closest]]))], axis=0)


def describe_swc(tree: Tree, id_: int) -> bytes:
    """Return an SWC file: parents come before their children, and the root is the thickest node."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order

    size = len(tree.nodes)
    ones = np.ones(len(tree.edges))
    graph = coo_matrix((ones, (tree.edges[:, 0], tree.edges[:, 1])), (size, size)).tocsr()
    order, parents = breadth_first_order(graph, int(np.argmax(tree.radii)), directed=False)
    number = np.zeros(size, np.int64)
    number[order] = np.arange(1, size + 1)
    lines = [f"# segment {id_}; x, y, z and radius in nm", "# id type x y z radius parent"]
    for node in order.tolist():
        x, y, z = tree.nodes[node]
        parent = number[parents[node]] if parents[node] >= 0 else -1
        lines.append(f"{number[node]} 0 {x:.3f} {y:.3f} {z:.3f} {tree.radii[node]:.3f} {parent}")
    return ("\n".join(lines) + "\n").encode()
