"""The graph of the classic recipe in a database, where its published scripts keep it: nodes by block, edges with their scores."""

from pathlib import Path

import networkx as nx
import numpy as np
from funlib.geometry import Roi
from funlib.persistence.graphs import SQLiteGraphDataBase
from funlib.persistence.types import Vec
from scipy.ndimage import center_of_mass


def open_graph(folder: Path, mode: str = "r+") -> SQLiteGraphDataBase:
    """Open the graph of a run ("w": a new one)."""
    return SQLiteGraphDataBase(
        folder / "graph.db",
        position_attribute="position",
        mode=mode,
        node_attrs={"position": Vec(int, 3)},
        edge_attrs={"merge_score": float},
    )


def write_nodes(folder: Path, local: np.ndarray, first: int, roi: Roi, voxel_size: tuple[int, ...]) -> None:
    """Write a block's fragments with their centres, in world units."""
    ids = np.unique(local[local > 0])
    graph = nx.Graph()
    for i, centre in zip(ids.tolist(), center_of_mass(np.ones_like(local), local, ids), strict=True):
        position = [int(b + c * v) for b, c, v in zip(roi.begin, centre, voxel_size, strict=True)]
        graph.add_node(first + i, position=position)
    if graph.number_of_nodes():
        open_graph(folder).write_nodes(graph.nodes)


def write_edges(folder: Path, u: np.ndarray, v: np.ndarray, score: np.ndarray, roi: Roi) -> None:
    """Write a block's edges with their merge scores."""
    database = open_graph(folder)
    graph = database.read_graph(roi)
    for a, b, s in zip(u.tolist(), v.tolist(), score.tolist(), strict=True):
        graph.add_edge(a, b, merge_score=s)
    database.write_edges(graph.nodes, graph.edges)


def read_edges(folder: Path, roi: Roi) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return u, v and merge scores of all edges."""
    graph = open_graph(folder, "r").read_graph(roi)
    rows = [(a, b, s) for a, b, s in graph.edges.data("merge_score")]
    u, v = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    return u, v, np.array([row[2] for row in rows], np.float64)
