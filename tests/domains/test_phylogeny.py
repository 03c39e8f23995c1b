import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import kstest, pearsonr, spearmanr

from neuroadda.domains.distances import DistanceMatrix
from neuroadda.domains.newick import is_monophyletic, parse_newick, patristic_distances
from neuroadda.domains.phylogeny import build_tree, mantel_test, phylogenetic_distances, support_clades
from neuroadda.errors import UserError

ULTRAMETRIC = DistanceMatrix(
    ("a", "b", "c", "d"),
    np.array([[0, 2, 6, 10], [2, 0, 6, 10], [6, 6, 0, 10], [10, 10, 10, 0]]),
)


def random_matrix(n: int, seed: int) -> DistanceMatrix:
    places = np.random.default_rng(seed).normal(size=(n, 3))
    return DistanceMatrix(tuple(f"d{i}" for i in range(n)), cdist(places, places))


def test_an_ultrametric_matrix_gives_its_tree():
    tree = build_tree(ULTRAMETRIC)
    apart = patristic_distances(parse_newick(tree.to_newick())).select("abcd")
    np.testing.assert_allclose(apart.values, ULTRAMETRIC.values)
    assert tree.cophenetic == pytest.approx(1)
    nested = {frozenset(node.leaves) for node in tree.root.nodes() if node.children}
    assert nested == {frozenset("ab"), frozenset("abc"), frozenset("abcd")}
    lengths = {node.name: node.length for node in tree.root.nodes() if node.name}
    assert lengths == {"a": 1, "b": 1, "c": 3, "d": 5}


@given(st.integers(3, 9), st.integers(0, 99), st.sampled_from(["average", "complete", "single", "weighted"]))
def test_leaves_are_as_far_apart_as_the_height_they_join_at(n, seed, method):
    matrix = random_matrix(n, seed)
    tree = build_tree(matrix, method)
    assert sorted(tree.order) == sorted(tree.root.leaves) == sorted(matrix.names)
    along = patristic_distances(parse_newick(tree.to_newick())).select(matrix.names).condensed
    assert tree.cophenetic == pytest.approx(pearsonr(along, matrix.condensed).statistic)


@given(st.permutations("abcd"))
def test_the_tree_does_not_depend_on_the_order_of_domains(order):
    root = build_tree(ULTRAMETRIC.select(order)).root
    assert is_monophyletic(root, {"a", "b"})
    assert is_monophyletic(root, {"a", "b", "c"})


def test_equal_distances_have_no_cophenetic_correlation():
    assert build_tree(DistanceMatrix(tuple("abc"), 1 - np.eye(3))).cophenetic is None


def test_two_domains_make_no_tree():
    with pytest.raises(UserError, match="2 domains make no tree"):
        build_tree(ULTRAMETRIC.select("ab"))


@pytest.mark.parametrize("correlation", ["pearson", "spearman"])
@pytest.mark.parametrize("seed", range(3))
def test_mantel_by_hand(correlation, seed):
    a, b = random_matrix(4, seed), random_matrix(4, seed + 50)
    correlate = {"pearson": pearsonr, "spearman": spearmanr}[correlation]
    upper = np.triu_indices(4, 1)
    of_order = [
        correlate(a.values[np.ix_(order, order)][upper], b.values[upper]).statistic
        for order in map(list, itertools.permutations(range(4)))
    ]
    found = mantel_test(a, b, correlation=correlation)
    assert found.r == pytest.approx(of_order[0])
    assert found.p == pytest.approx(np.mean(np.array(of_order) >= of_order[0] - 1e-12))
    assert (found.permutations, found.exact) == (24, True)


def test_partial_mantel_is_that_of_residuals():
    a, b, given_ = (random_matrix(5, seed) for seed in (1, 2, 3))
    upper = np.triu_indices(5, 1)

    def residual(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return y - np.polyval(np.polyfit(x, y, 1), x)

    c = given_.values[upper]
    of_order = [
        pearsonr(residual(a.values[np.ix_(o, o)][upper], c), residual(b.values[upper], c)).statistic
        for o in map(list, itertools.permutations(range(5)))
    ]
    found = mantel_test(a, b, given_)
    assert found.r == pytest.approx(of_order[0])
    assert found.p == pytest.approx(np.mean(np.array(of_order) >= of_order[0] - 1e-12))


def test_random_permutations_agree_with_all_of_them(monkeypatch):
    a, b = random_matrix(7, 4), random_matrix(7, 5)
    exact = mantel_test(a, b)
    monkeypatch.setattr("neuroadda.domains.phylogeny.EXACT_UP_TO", 3)
    drawn = mantel_test(a, b, permutations=20_000, seed=1)
    assert drawn.r == pytest.approx(exact.r)
    assert not drawn.exact
    assert drawn.p == pytest.approx(exact.p, abs=0.015)
    assert drawn == mantel_test(a, b, permutations=20_000, seed=1)


@pytest.mark.parametrize("partial", [False, True])
def test_p_is_uniform_where_nothing_goes_together(partial):
    of_pairs = [
        mantel_test(
            random_matrix(10, s),
            random_matrix(10, s + 10_000),
            random_matrix(10, s + 20_000) if partial else None,
            permutations=199,
            seed=s,
        ).p
        for s in range(400)
    ]
    assert kstest(of_pairs, "uniform").pvalue > 0.01


def test_the_order_of_names_does_not_matter_and_equal_matrices_correlate_fully():
    a = random_matrix(6, 0)
    found = mantel_test(a, a.select(reversed(a.names)))
    assert found.r == pytest.approx(1)
    assert found.p == pytest.approx(1 / 720)


def test_ties_in_the_phylogeny_bound_p_from_below():
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    same = DistanceMatrix(tuple("abcdefgh"), (groups[:, None] != groups).astype(float))
    assert mantel_test(same, same).p == pytest.approx(120 * 2 / 40320)


def test_mantel_refuses_what_it_cannot_answer():
    a, flat = random_matrix(4, 0), DistanceMatrix(("d0", "d1", "d2", "d3"), 1 - np.eye(4))
    with pytest.raises(UserError, match="all distances are equal"):
        mantel_test(a, flat)
    with pytest.raises(UserError, match="'d4' is in one matrix only"):
        mantel_test(a, random_matrix(5, 0))
    with pytest.raises(UserError, match="at least three"):
        mantel_test(random_matrix(2, 0), random_matrix(2, 1))
    with pytest.raises(UserError, match="nothing to explain"):
        mantel_test(a, random_matrix(4, 1), random_matrix(4, 1))


def test_domains_find_their_leaves():
    tree = parse_newick("((Drosophila_melanogaster:1,'Caenorhabditis elegans':1):1,(Mus:1,Mus_musculus:1):1);")
    organisms = {"l1": "Drosophila melanogaster (first instar larva)", "ac4": "mus musculus", "spretus": "Mus spretus"}
    apart = phylogenetic_distances(tree, ["l1", "Drosophila melanogaster", "ac4", "spretus"], organisms)
    np.testing.assert_allclose(apart.values, [[0, 0, 4, 4], [0, 0, 4, 4], [4, 4, 0, 2], [4, 4, 2, 0]])
    with pytest.raises(UserError, match=r"no leaf for 'x' \(no organism is given\); its leaves: Drosophila_mel"):
        phylogenetic_distances(tree, ["l1", "x"], organisms)
    with pytest.raises(UserError, match=r"no leaf for 'x' \(organism 'Must'\)"):
        phylogenetic_distances(tree, ["x"], {"x": "Must"})


def test_support_is_the_share_of_resamples_with_a_clade():
    other = ULTRAMETRIC.select("acbd").values  # b and c change places
    resampled = np.stack([ULTRAMETRIC.values] * 3 + [other])
    tree = build_tree(ULTRAMETRIC, resampled=resampled)
    assert tree.support == {frozenset("ab"): 0.75, frozenset("abc"): 1.0}
    assert {node.name for node in tree.root.nodes() if node.children} == {"0.75", "1.00", ""}
    groups = [frozenset("ac"), frozenset("bd")]
    assert support_clades(resampled, ULTRAMETRIC.names, groups) == {groups[0]: 0.25, groups[1]: 0.0}
