import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.domains.newick import Node, format_newick, is_monophyletic, parse_newick, patristic_distances
from neuroadda.errors import UserError

lengths = st.none() | st.floats(0, 1e6)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@st.composite
def trees(draw):
    leaves = draw(st.lists(names, min_size=1, max_size=12, unique=True))
    nodes = [Node(name, draw(lengths)) for name in leaves]
    while len(nodes) > 1:
        count = draw(st.integers(1, len(nodes)))
        joined = Node(draw(st.just("") | names), draw(lengths), tuple(nodes[:count]))
        nodes = [*nodes[count:], joined] if count > 1 or draw(st.booleans()) else [*nodes[1:], nodes[0]]
    return nodes[0]


@given(trees())
def test_what_is_written_is_read_again(tree):
    assert parse_newick(format_newick(tree)) == tree


def test_the_format():
    tree = parse_newick(" ( 'Mus musculus':2,\n(fly_l1 :1, worm:1e0)'it''s':1 [a comment]) root ;")
    assert tree.leaves == ("Mus musculus", "fly_l1", "worm")
    assert [node.name for node in tree.nodes() if node.children] == ["root", "it's"]
    assert format_newick(tree) == "('Mus musculus':2.0,(fly_l1:1.0,worm:1.0)'it''s':1.0)root;"


def test_distances_run_along_the_branches():
    apart = patristic_distances(parse_newick("((a:1,b:2):3,(c:4,d:5):6,e:7);"))
    expected = [[0, 3, 14, 15, 11], [3, 0, 15, 16, 12], [14, 15, 0, 9, 17], [15, 16, 9, 0, 18], [11, 12, 17, 18, 0]]
    np.testing.assert_allclose(apart.values, expected)
    steps = patristic_distances(parse_newick("((a,b),c);"))
    np.testing.assert_allclose(steps.values, [[0, 2, 3], [2, 0, 3], [3, 3, 0]])


def test_clades():
    tree = parse_newick("(((fly1,fly2),fly3),((mouse1,mouse2),worm));")
    assert is_monophyletic(tree, {"fly1", "fly2", "fly3"})
    assert is_monophyletic(tree, {"mouse1", "mouse2"})
    assert is_monophyletic(tree, {"worm"})
    assert not is_monophyletic(tree, {"fly1", "fly3"})
    assert not is_monophyletic(tree, {"mouse1", "worm"})
    with pytest.raises(UserError, match="'yeast' is no leaf; its leaves: fly1"):
        is_monophyletic(tree, {"fly1", "yeast"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"character 1 \(the end\): ';' is expected"),
        ("(a,b)", "';' is expected"),
        ("((a,b);", r"'\)' is expected"),
        ("(a,b);(c,d);", "text after the tree's end"),
        ("(a b,c);", "must be quoted"),
        ("(a,'b);", "a quote has no partner"),
        ("(a,[b);", "a bracket has no partner"),
        ("(a:x,b:1);", "a length is expected"),
        ("(a:-1,b:1);", "not negative"),
        ("(a:nan,b:1);", "not negative"),
        ("(a:,b:1);", "a length is expected"),
        ("(a,);", "a leaf has no name"),
        ("(a,(b,a));", "two leaves are named 'a'"),
        ("(" * 2000 + "a" + ")" * 2000 + ";", "branches deep"),
    ],
)
def test_malformed_trees_are_refused_in_one_line(text, told):
    with pytest.raises(UserError, match=told) as error:
        parse_newick(text, "tree.nwk")
    assert str(error.value).startswith("tree.nwk: ")
    assert len(str(error.value).splitlines()) == 1


def test_some_lengths_are_not_enough():
    with pytest.raises(UserError, match="1 of 4 branches have no length"):
        patristic_distances(parse_newick("((a:1,b:2):3,c);"))
