"""The tree of domains, and whether it follows the tree of life."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.cluster import hierarchy
from scipy.stats import rankdata

from neuroadda.domains.distances import DistanceMatrix
from neuroadda.domains.newick import Node, format_newick, patristic_distances
from neuroadda.errors import UserError

Linkage = Literal["average", "complete", "single", "weighted"]
Correlation = Literal["pearson", "spearman"]
EXACT_UP_TO = 8  # 40,320 permutations: as quick as the 9,999 random ones, and without their noise
BATCH = 2**21


@dataclass(frozen=True, eq=False)
class DomainTree:
    """A rooted tree of domains from hierarchical clustering.

    Attributes
    ----------
    names
        As in the distance matrix.
    linkage
        float64[n - 1, 4], as of `scipy.cluster.hierarchy.linkage`, ordered so that neighbouring leaves are near.
    cophenetic
        Pearson correlation of distances along the tree with those it was made of (Sokal and Rohlf 1962): how well a
        tree tells them at all. None where all distances are equal.
    support
        Of each clade, the share of bootstrap resamples whose tree has it (Felsenstein 1985); empty without resamples.
    """

    names: tuple[str, ...]
    linkage: np.ndarray
    cophenetic: float | None
    support: Mapping[frozenset[str], float] = field(default_factory=dict)

    @property
    def order(self) -> tuple[str, ...]:
        """Names as the tree's leaves are ordered."""
        return tuple(self.names[i] for i in hierarchy.leaves_list(self.linkage))

    @property
    def root(self) -> Node:
        """The same tree of nodes, its branch lengths such that leaves are as far apart as the height they join at.

        Inner nodes are named by their support, as "0.97", where it is known.
        """
        joined = [(Node(name), 0.0) for name in self.names]
        clades = _clades(self.linkage)
        for (left, right, height, _), clade in zip(self.linkage, clades, strict=True):
            pair = (joined[int(left)], joined[int(right)])
            children = tuple(Node(node.name, float(height - low) / 2, node.children) for node, low in pair)
            share = self.support.get(frozenset(self.names[i] for i in clade))
            joined.append((Node("" if share is None else f"{share:.2f}", None, children), height))
        return joined[-1][0]

    def to_newick(self) -> str:
        """Return the tree as one line of Newick with branch lengths."""
        return format_newick(self.root)


@dataclass(frozen=True)
class Mantel:
    """A Mantel test's outcome: the correlation `r`, its one-sided `p`, and whether all permutations were tried."""

    r: float
    p: float
    permutations: int
    exact: bool


def build_tree(matrix: DistanceMatrix, method: Linkage = "average", resampled: np.ndarray | None = None) -> DomainTree:
    """Cluster domains; "average" is UPGMA (Sokal and Michener 1958).

    Parameters
    ----------
    resampled
        float64[resamples, n, n]: distances of bootstrap resamples, for the support of clades.

    Raises
    ------
    UserError
        If there are fewer than three domains.
    """
    if len(matrix.names) < 3:
        raise UserError(f"{len(matrix.names)} domains make no tree", "domains", "give at least three")
    linkage = hierarchy.linkage(matrix.condensed, method, optimal_ordering=True)
    along = hierarchy.cophenet(linkage)
    varied = np.ptp(along) > 0 and np.ptp(matrix.condensed) > 0
    cophenetic = float(np.corrcoef(along, matrix.condensed)[0, 1]) if varied else None
    inner = [frozenset(matrix.names[i] for i in clade) for clade in _clades(linkage)[:-1]]
    support = {} if resampled is None else support_clades(resampled, matrix.names, inner, method)
    return DomainTree(matrix.names, linkage, cophenetic, support)


def support_clades(
    resampled: np.ndarray, names: Sequence[str], clades: Iterable[frozenset[str]], method: Linkage = "average"
) -> dict[frozenset[str], float]:
    """Return in which share of resampled distances, float64[resamples, n, n], the tree has each clade."""
    wanted = {frozenset(names.index(name) for name in clade): clade for clade in clades}
    counts = dict.fromkeys(wanted.values(), 0)
    upper = np.triu_indices(len(names), 1)
    for values in resampled:
        for clade in _clades(hierarchy.linkage(values[upper], method)):
            if clade in wanted:
                counts[wanted[clade]] += 1
    return {clade: count / len(resampled) for clade, count in counts.items()}


def _clades(linkage: np.ndarray) -> list[frozenset[int]]:
    """Return the leaves below each inner node, in the order of the linkage; the root is last."""
    below = [frozenset([i]) for i in range(len(linkage) + 1)]
    for left, right, *_ in linkage:
        below.append(below[int(left)] | below[int(right)])
    return below[len(linkage) + 1 :]


def phylogenetic_distances(
    phylogeny: Node, domains: Sequence[str], organisms: Mapping[str, str] | None = None, where: str = "phylogeny"
) -> DistanceMatrix:
    """Return how far apart domains are in a given phylogeny; domains of one leaf are 0 apart.

    A domain's leaf is the one of its own name, else the longest one its organism begins with: "Drosophila melanogaster
    (larva)" is the leaf ``Drosophila_melanogaster``. Case does not matter, and underscores stand for blanks.

    Parameters
    ----------
    organisms
        By domain, of those whose name is no leaf.

    Raises
    ------
    UserError
        If a domain has no leaf; see also `patristic_distances`.
    """
    apart = patristic_distances(phylogeny, where)
    leaves = [_find_leaf(name, (organisms or {}).get(name, ""), apart.names, where) for name in domains]
    return DistanceMatrix(tuple(domains), apart.values[np.ix_(leaves, leaves)])


def _find_leaf(domain: str, organism: str, leaves: Sequence[str], where: str) -> int:
    plain = [leaf.replace("_", " ").casefold() for leaf in leaves]
    own, organism_plain = (text.replace("_", " ").casefold() for text in (domain, organism))
    if own in plain:
        return plain.index(own)
    fitting = [leaf for leaf in plain if f"{organism_plain} ".startswith(f"{leaf} ")]
    if not fitting:
        told = f"organism {organism!r}" if organism else "no organism is given"
        raise UserError(f"there is no leaf for {domain!r} ({told})", where, f"its leaves: {', '.join(leaves)}")
    return plain.index(max(fitting, key=len))


def mantel_test(
    a: DistanceMatrix,
    b: DistanceMatrix,
    given: DistanceMatrix | None = None,
    *,
    correlation: Correlation = "pearson",
    permutations: int = 9999,
    seed: int = 0,
) -> Mantel:
    """Test whether two matrices of distances between the same domains go together (Mantel 1967).

    The names of `a` are permuted: distances that share a domain are not independent, so the usual p of a correlation is
    wrong. All n! permutations are tried for n <= 8, else `permutations` random ones and the given order itself. p is
    the share of them whose correlation is at least as large (one-sided).

    Parameters
    ----------
    given
        A third matrix held constant: the partial Mantel test (Smouse, Long and Sokal 1986), with the partial
        correlation of `a` and `b`.
    correlation
        Pearson of distances, or of their ranks (Spearman).

    Raises
    ------
    UserError
        If names differ, there are fewer than three, or the distances in a matrix are all equal (or, of `b` and `given`,
        proportional).
    """
    n = len(a.names)
    if n < 3:
        raise UserError(f"{n} domains have no correlation", "Mantel test", "give at least three")
    square = _standardise(a, a.names, correlation)
    others = [_standardise(m, a.names, correlation)[np.triu_indices(n, 1)] for m in (b, given) if m is not None]
    pairs = np.array(others) / math.comb(n, 2)
    between = float(pairs[0] @ others[1]) if given is not None else 0.0
    if 1 - between**2 < 1e-12:
        raise UserError("the matrix held constant leaves nothing to explain", "Mantel test", "it equals the other one")
    exact = n <= EXACT_UP_TO
    count, r, tried = 0, 0.0, 0
    for orders in _permutations(n, None if exact else permutations, seed):
        rows, columns = np.triu_indices(n, 1)
        found = square[orders[:, rows], orders[:, columns]] @ pairs.T
        values = found[:, 0] if given is None else _partial(found[:, 0], found[:, 1], between)
        r = float(values[0]) if not tried else r
        count += int((values >= r - 1e-12).sum())
        tried += len(orders)
    return Mantel(r, count / tried, tried, exact)


def _partial(with_b: np.ndarray, with_given: np.ndarray, between: float) -> np.ndarray:
    left = np.maximum(1 - with_given**2, 0)
    # where `given` explains all, nothing is left that could correlate
    scale = np.sqrt(np.where(left > 1e-12, left, np.inf) * (1 - between**2))
    return (with_b - with_given * between) / scale


def _standardise(matrix: DistanceMatrix, names: Sequence[str], correlation: Correlation) -> np.ndarray:
    """Return the distances as float64[n, n] whose upper triangle has mean 0 and variance 1."""
    if set(matrix.names) != set(names):
        odd = sorted(set(matrix.names) ^ set(names))
        raise UserError(f"{odd[0]!r} is in one matrix only", "Mantel test", "compare the same domains")
    values = matrix.select(names).condensed
    if correlation == "spearman":
        values = rankdata(values)
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        raise UserError("all distances are equal", "Mantel test", "there is nothing to correlate")
    values = (values - values.mean()) / values.std()
    square = np.zeros((len(names),) * 2)
    square[np.triu_indices(len(names), 1)] = values
    return square + square.T


def _permutations(n: int, count: int | None, seed: int) -> "itertools.chain[np.ndarray] | list[np.ndarray]":
    """Return batches of orders int[m, n], the given order first: all of them, or `count` random ones besides it."""
    if count is None:
        return [np.array(list(itertools.permutations(range(n))))]
    rng = np.random.default_rng(seed)
    step = max(1, BATCH // math.comb(n, 2))
    sizes = (min(step, count - done) for done in range(0, count, step))
    drawn = (rng.permuted(np.tile(np.arange(n), (size, 1)), axis=1) for size in sizes)
    return itertools.chain([np.arange(n)[None]], drawn)
