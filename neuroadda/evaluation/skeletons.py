"""Expected run length: how far one can walk along a neuron before the segmentation is wrong."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import networkx as nx
import numpy as np
from scipy.ndimage import find_objects
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from neuroadda.config import Config
from neuroadda.errors import UserError

# Node positions, float64[n, 3] zyx in nm, to segment ids, uint64[n].
SegmentLookup = Callable[[np.ndarray], np.ndarray]


class ErlScores(Config):
    """Expected run length of a segmentation, and what shortens it.

    Attributes
    ----------
    erl_nm
        Expected run length.
    max_erl_nm
        That of a perfect segmentation of the same skeletons.
    normalised
        The first over the second; 1 is best.
    skeletons, length_nm
        Number of skeletons and their total length.
    split_edges
        Edges between two different segments.
    omitted_edges
        Edges with an end outside of all segments.
    merged_segments
        Segments that hold parts of two or more skeletons.
    merged_skeletons
        Skeletons with a part in such a segment.
    """

    erl_nm: float
    max_erl_nm: float
    normalised: float
    skeletons: int
    length_nm: float
    split_edges: int
    omitted_edges: int
    merged_segments: int
    merged_skeletons: int


def skeletonize_labels(
    labels: np.ndarray,
    voxel_size_nm: Sequence[float],
    offset_nm: Sequence[float] = (0, 0, 0),
    min_length_nm: float = 0.0,
) -> dict[int, nx.Graph]:
    """Return a skeleton of every label, by the 3-D thinning of Lee et al. 1994.

    Parameters
    ----------
    labels
        Integers of shape zyx; 0 is background.
    voxel_size_nm, offset_nm
        Place of the array, zyx.
    min_length_nm
        Shorter skeletons are left out: they say little about runs, yet turn every small contact into a merger.

    Returns
    -------
    dict
        From label id to an undirected forest. Nodes have ``position_nm`` (zyx, of voxel centres), edges ``length_nm``.
    """
    ids, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape).astype(np.int32)
    if ids.size and ids[0] == 0:
        ids = ids[1:]
    else:
        dense += 1
    voxel_size, offset = np.asarray(voxel_size_nm, float), np.asarray(offset_nm, float)
    skeletons = {}
    for index, (label, box) in enumerate(zip(ids, find_objects(dense, len(ids)), strict=True), start=1):
        corner = np.array([side.start for side in box])
        # Thinning treats the array's border as inside; a margin of background lets it close there.
        thin = skeletonize(np.pad(dense[box] == index, 1), method="lee")
        skeleton = _to_forest(np.argwhere(thin) - 1 + corner, voxel_size, offset)
        if skeleton.size(weight="length_nm") >= min_length_nm:
            skeletons[int(label)] = skeleton
    return skeletons


def array_lookup(
    segmentation: np.ndarray, voxel_size_nm: Sequence[float], offset_nm: Sequence[float] = (0, 0, 0)
) -> SegmentLookup:
    """Return the lookup of a segmentation in memory (zyx); 0 is found outside of it."""

    def look_up(positions_nm: np.ndarray) -> np.ndarray:
        index = np.floor((positions_nm - np.asarray(offset_nm)) / np.asarray(voxel_size_nm)).astype(np.int64)
        inside = np.all((index >= 0) & (index < segmentation.shape), axis=1)
        found = np.zeros(len(index), np.uint64)
        found[inside] = segmentation[tuple(index[inside].T)]
        return found

    return look_up


def expected_run_length(
    skeletons: Mapping[int, nx.Graph], segment_lookup: SegmentLookup, merge_nodes: int = 1
) -> ErlScores:
    """Score a segmentation by the length of skeleton that is traced without error.

    An edge is right if both its ends lie in one segment (not 0) that no other skeleton shares. A run is the total
    length of the right edges of one skeleton in one segment. The expected run length is the mean, over all points of
    all skeletons, of the run they lie on, 0 where the edge is wrong: the sum of squared runs over the total length. So
    a merger sets all runs of the merged segment to 0, in every skeleton it touches.

    Parameters
    ----------
    skeletons
        From truth id to a graph as of `skeletonize_labels`: nodes with ``position_nm``, edges with ``length_nm``.
    segment_lookup
        Finds the segments at node positions. It is called once, with the nodes of all skeletons in their order.
    merge_nodes
        A segment holds part of a skeleton if it holds at least this many of its nodes. 1 is the definition; 2 or more
        forgives the tip of a skeleton that strays over a border.

    Raises
    ------
    UserError
        If the skeletons have no length at all.

    References
    ----------
    Januszewski et al. 2018, "High-precision automated reconstruction of neurons with flood-filling networks", Nature
    Methods 15:605.
    """
    positions = [graph.nodes[node]["position_nm"] for graph in skeletons.values() for node in graph]
    found = segment_lookup(np.array(positions, np.float64).reshape(-1, 3))
    ids = iter(np.asarray(found).tolist())
    segment_of = [dict(zip(graph, itertools.islice(ids, len(graph)), strict=True)) for graph in skeletons.values()]
    merged = _merged_segments(segment_of, merge_nodes)

    lengths, squares, split, omitted = [], 0.0, 0, 0
    for graph, segments in zip(skeletons.values(), segment_of, strict=True):
        # Summed in the order of the runs below, so that a perfect segmentation scores exactly 1.
        lengths.append(sum(length for _, _, length in graph.edges(data="length_nm")))
        runs: dict[int, float] = {}
        for u, v, length in graph.edges(data="length_nm"):
            a, b = segments[u], segments[v]
            if a == 0 or b == 0:
                omitted += 1
            elif a != b:
                split += 1
            elif a not in merged:
                runs[a] = runs.get(a, 0.0) + length
        squares += sum(run**2 for run in runs.values())
    total = sum(lengths)
    if not total:
        raise UserError("the skeletons have no length", "skeletons", "give at least one with an edge")
    best = sum(length**2 for length in lengths)
    return ErlScores(
        erl_nm=squares / total,
        max_erl_nm=best / total,
        normalised=squares / best,
        skeletons=len(skeletons),
        length_nm=total,
        split_edges=split,
        omitted_edges=omitted,
        merged_segments=len(merged),
        merged_skeletons=sum(not merged.isdisjoint(segments.values()) for segments in segment_of),
    )


def _merged_segments(segment_of: list[dict[int, int]], merge_nodes: int) -> set[int]:
    holders: dict[int, int] = {}
    for segments in segment_of:
        ids, nodes = np.unique(np.fromiter(segments.values(), np.uint64, len(segments)), return_counts=True)
        for segment in ids[nodes >= merge_nodes].tolist():
            holders[segment] = holders.get(segment, 0) + 1
    return {segment for segment, skeletons in holders.items() if skeletons > 1 and segment != 0}


def _to_forest(voxels: np.ndarray, voxel_size: np.ndarray, offset: np.ndarray) -> nx.Graph:
    """Join 26-neighbours; of the small cycles where branches meet, only the shortest edges stay."""
    positions = (voxels + 0.5) * voxel_size + offset
    graph = nx.Graph()
    graph.add_nodes_from((node, {"position_nm": tuple(place)}) for node, place in enumerate(positions.tolist()))
    pairs = cKDTree(voxels).query_pairs(1.0, p=np.inf, output_type="ndarray")
    lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    tree = minimum_spanning_tree(coo_array((lengths, pairs.T), shape=(len(voxels), len(voxels))).tocsr()).tocoo()
    edges = zip(tree.row.tolist(), tree.col.tolist(), tree.data.tolist(), strict=True)
    graph.add_weighted_edges_from(edges, weight="length_nm")
    return graph
