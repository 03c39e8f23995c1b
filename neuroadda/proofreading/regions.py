"""What a run holds of its segments, as candidates are found in it: fragments that are certainly one are one region."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from neuroadda.kernels.forest import number_roots, unite
from neuroadda.proofreading.links import Links, link
from neuroadda.segmentation.components import Numbering
from neuroadda.segmentation.edges import Edges

CERTAIN = 0.0  # the score of pieces of one fragment that a block's border has cut


@dataclass(frozen=True)
class Regions:
    """What candidates are found in.

    Attributes
    ----------
    segment
        int64, by region (0 is none): its segment, 0 for none.
    sizes, borders
        int64, by region: its voxels, and how many of its fragments touch the border of the volume.
    links
        Contacts of regions.
    merges
        Columns u, v (int64 regions) and score of the merges below the threshold.
    threshold
        Of the segmentation.
    region
        int64, by dense number of fragments: the region that each is part of.
    apart
        int64 segments of shape (n, 2): pairs that a person has decided are two neurons.
    """

    segment: np.ndarray
    sizes: np.ndarray
    borders: np.ndarray
    links: Links
    merges: tuple[np.ndarray, np.ndarray, np.ndarray]
    threshold: float
    region: np.ndarray
    apart: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))


def gather_regions(
    numbering: Numbering,
    lut: np.ndarray,
    sizes: np.ndarray,
    at_border: np.ndarray,
    merges: Iterable[dict[str, np.ndarray]],
    edges: Iterator[Edges],
    threshold: float,
) -> Regions:
    """Gather the regions of fragments, known by their dense numbers; edges and merges are streamed.

    Parameters
    ----------
    lut
        uint64, the segment of each fragment.
    sizes
        int64, its voxels.
    at_border
        bool, whether it touches the border of the volume.
    merges
        Columns u, v and score of `segmentation.rag.Merges`, in parts.
    edges
        Of fragments, in parts.
    """
    parent = np.arange(len(lut))
    empty = np.zeros(0, np.int64)
    held: list[tuple[np.ndarray, ...]] = [(empty, empty, np.zeros(0))]
    for columns in merges:
        joined = columns["score"] < threshold
        u, v = (numbering.to_dense(columns[name][joined]) for name in ("u", "v"))
        score = columns["score"][joined]
        certain = (score <= CERTAIN) & (lut[u] == lut[v])
        unite(parent, u[certain], v[certain])
        held.append((u[~certain], v[~certain], score[~certain]))
    region = number_roots(parent).astype(np.int64)
    count = int(region.max(initial=0)) + 1
    segment = np.zeros(count, np.int64)
    segment[region] = lut
    dense_u, dense_v, score = (np.concatenate(column) for column in zip(*held, strict=True))
    u, v = region[dense_u], region[dense_v]
    return Regions(
        segment=segment,
        sizes=np.bincount(region, sizes, count).astype(np.int64),
        borders=np.bincount(region, at_border, count).astype(np.int64),
        links=link(edges, lambda fragments: region[numbering.to_dense(fragments)]),
        merges=(u, v, score),
        threshold=threshold,
        region=region,
    )
