"""Trees as text: a small, strict reader and writer of the Newick format (as described by Olsen 1990)."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroadda.domains.distances import DistanceMatrix
from neuroadda.errors import UserError
from neuroadda.textfiles import read_text

MAX_DEPTH = 300
TOKEN = re.compile(r"\s+|\[[^\]]*\]|(?P<quoted>'(?:[^']|'')*')|(?P<mark>[(),:;])|(?P<word>[^\s()\[\],:;']+)")
PLAIN = re.compile(r"[^\s()\[\],:;']+")


@dataclass(frozen=True)
class Node:
    """A node of a rooted tree, and with its children the tree below it.

    Attributes
    ----------
    name
        Of a leaf; inner nodes may have one.
    length
        Of the branch to the parent, if it is known.
    children
        None for a leaf.
    """

    name: str = ""
    length: float | None = None
    children: tuple["Node", ...] = ()

    def nodes(self) -> Iterator["Node"]:
        """Yield this node and all below it, parents before children, children from left to right."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of the leaves, from left to right."""
        return tuple(node.name for node in self.nodes() if not node.children)


def format_newick(tree: Node) -> str:
    """Return a tree as one line of Newick.

    Names with blanks or any of ``()[],:;'`` are quoted. Underscores are written, and read, as they are, as most
    programs do; Olsen's description of the format takes them for blanks.
    """
    return f"{_format(tree)};"


def parse_newick(text: str, where: str = "newick") -> Node:
    """Read one tree; comments in square brackets are skipped.

    Parameters
    ----------
    text
        Such as ``((fly:1,worm:1):1,mouse:2);``.
    where
        What an error names as the place.

    Raises
    ------
    UserError
        If it is malformed, a leaf has no name or two have the same one, or a branch is negative.
    """
    tree = _Reader(text, where).read()
    leaves = tree.leaves
    if not all(leaves):
        raise UserError("a leaf has no name", where)
    repeated = sorted({name for name in leaves if leaves.count(name) > 1})
    if repeated:
        raise UserError(f"two leaves are named {repeated[0]!r}", where, "the names of leaves are unique")
    return tree


def read_newick(path: Path) -> Node:
    """Read the tree in a file; see `parse_newick`."""
    return parse_newick(read_text(path, "the tree"), str(path))


def patristic_distances(tree: Node, where: str = "newick") -> DistanceMatrix:
    """Return how far apart leaves are along the branches; in a tree without any lengths each branch counts 1.

    Raises
    ------
    UserError
        If some branches have a length and others do not.
    """
    below_root = [node for child in tree.children for node in child.nodes()]
    unknown = sum(node.length is None for node in below_root)
    if 0 < unknown < len(below_root):
        raise UserError(f"{unknown} of {len(below_root)} branches have no length", where, "give all lengths, or none")
    names = tree.leaves
    row = {name: i for i, name in enumerate(names)}
    heights = np.zeros(len(names))
    values = np.zeros((len(names), len(names)))
    # Leaves on both sides of a node meet there: children first, each adds its branch to the heights of its leaves.
    for node in reversed(list(tree.nodes())):
        groups = [np.array([row[name] for name in child.leaves]) for child in node.children]
        for child, group in zip(node.children, groups, strict=True):
            heights[group] += 1.0 if child.length is None else child.length
        for i, group in enumerate(groups):
            for other in groups[:i]:
                meeting = heights[group][:, None] + heights[other][None]
                values[np.ix_(group, other)] = meeting
                values[np.ix_(other, group)] = meeting.T
    return DistanceMatrix(names, values)


def is_monophyletic(tree: Node, names: set[str] | frozenset[str]) -> bool:
    """Tell whether leaves form a clade: some node has exactly them below it. One leaf alone always does.

    Raises
    ------
    UserError
        If a name is no leaf of the tree, or none is given.
    """
    missing = sorted(set(names) - set(tree.leaves))
    if missing or not names:
        raise UserError(f"{missing[0]!r} is no leaf" if missing else "no leaves are named", "tree", _among(tree))
    return any(set(node.leaves) == set(names) for node in tree.nodes())


def _among(tree: Node) -> str:
    return f"its leaves: {', '.join(sorted(tree.leaves))}"


def _format(node: Node) -> str:
    inside = f"({','.join(map(_format, node.children))})" if node.children else ""
    name = node.name if not node.name or PLAIN.fullmatch(node.name) else "'" + node.name.replace("'", "''") + "'"
    return inside + name + ("" if node.length is None else f":{node.length!r}")


class _Reader:
    """Recursive descent over the tokens of one tree."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.tokens = list(self._split())
        self.place = 0

    def read(self) -> Node:
        tree = self._node(0)
        self._expect(";")
        if self.place < len(self.tokens):
            raise self._error("there is text after the tree's end")
        return tree

    def _split(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(self.text):
            match = TOKEN.match(self.text, at)
            if match is None:
                what = "a quote" if self.text[at] == "'" else "a bracket"
                raise UserError(f"the tree is malformed at character {at + 1}: {what} has no partner", self.where)
            if match.lastgroup:
                yield match.lastgroup, match[0], at
            at = match.end()

    def _node(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(f"it is more than {MAX_DEPTH} branches deep")
        children = []
        if self._take("("):
            children.append(self._node(depth + 1))
            while self._take(","):
                children.append(self._node(depth + 1))
            self._expect(")")
        return Node(self._name(), self._length(), tuple(children))

    def _name(self) -> str:
        kind, text, _ = self._peek()
        if kind not in ("quoted", "word"):
            return ""
        self.place += 1
        if self._peek()[0] in ("quoted", "word"):
            raise self._error("a name with blanks or quotes in it must be quoted")
        return text[1:-1].replace("''", "'") if kind == "quoted" else text

    def _length(self) -> float | None:
        if not self._take(":"):
            return None
        text = self._peek()[1]
        try:
            length = float(text)
        except ValueError:
            raise self._error("a length is expected") from None
        if not 0 <= length < math.inf:
            raise self._error("a branch's length must be finite and not negative")
        self.place += 1
        return length

    def _peek(self) -> tuple[str, str, int]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "", len(self.text))

    def _take(self, mark: str) -> bool:
        found = self._peek()[:2] == ("mark", mark)
        self.place += found
        return found

    def _expect(self, mark: str) -> None:
        if not self._take(mark):
            raise self._error(f"{mark!r} is expected")

    def _error(self, what: str) -> UserError:
        _, text, at = self._peek()
        found = repr(text[:20]) if text else "the end"
        right = "a tree is written like ((fly:1,worm:1):1,mouse:2);"
        return UserError(f"the tree is malformed at character {at + 1} ({found}): {what}", self.where, right)
