"""Branches and ends of a segment's skeleton: short side branches, which its rough surface makes, are cut off first."""

from dataclasses import dataclass

import numpy as np

from neuroadda.publishing.trees import Tree

SHORTEST_NM, SHORTEST_RADII = 500.0, 2.0


@dataclass(frozen=True)
class Branching:
    """What is measured of a skeleton.

    Attributes
    ----------
    length_nm
        Of all its branches.
    branches
        Paths without a fork: one of a tube, three of a Y.
    branch_points
        Where three or more of them meet.
    ends
        float64 ``(n, 3)``, zyx in nm, of a tube its two ends.
    """

    length_nm: float
    branches: int
    branch_points: int
    ends: np.ndarray


def measure_branches(tree: Tree) -> Branching:
    """Return the branches of a skeleton.

    A side branch is cut off if it is shorter than `SHORTEST_NM`, or than `SHORTEST_RADII` times the radius where it leaves; the
    shortest goes first. A path without forks stays, however short it is.
    """
    graph = _contract(tree)
    _prune(graph, tree.radii)
    ends = sorted(node for node, near in graph.items() if len(near) <= 1)
    lengths = [length for node, near in graph.items() for other, length in near.items() if node < other]
    forks = sum(len(near) > 2 for near in graph.values())
    return Branching(float(sum(lengths)), len(lengths), forks, tree.nodes[ends][:, ::-1])


Graph = dict[int, dict[int, float]]
"""By node: its neighbours, and how far they are along the skeleton."""


def _contract(tree: Tree) -> Graph:
    """Return the tree of the nodes that are not in the middle of a path."""
    steps = np.linalg.norm(tree.nodes[tree.edges[:, 0]] - tree.nodes[tree.edges[:, 1]], axis=1)
    graph: Graph = {node: {} for node in range(len(tree.nodes))}
    for (a, b), step in zip(tree.edges.tolist(), steps.tolist(), strict=True):
        graph[a][b] = graph[b][a] = step
    for node in range(len(tree.nodes)):
        _join(graph, node)
    return graph


def _join(graph: Graph, node: int) -> None:
    """Replace a node between two others by an edge."""
    if len(graph[node]) == 2:
        (a, before), (b, after) = graph.pop(node).items()
        del graph[a][node], graph[b][node]
        graph[a][b] = graph[b][a] = before + after


def _prune(graph: Graph, radii: np.ndarray) -> None:
    while True:
        twigs = [(*_only(near), node) for node, near in graph.items() if len(near) == 1]
        short = [
            (length, node, fork)
            for length, fork, node in twigs
            if len(graph[fork]) > 2 and length < max(SHORTEST_NM, SHORTEST_RADII * float(radii[fork]))
        ]
        if not short:
            return
        _, node, fork = min(short)
        del graph[node], graph[fork][node]
        _join(graph, fork)


def _only(near: dict[int, float]) -> tuple[float, int]:
    ((node, length),) = near.items()
    return length, node
