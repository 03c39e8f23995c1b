"""Imports between the packages of neuroadda run downward."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "neuroadda"

LAYERS = (
    ("cli",),
    ("api",),
    ("flow",),
    ("checking",),
    ("adaptation",),
    ("viewing",),
    ("quality",),
    ("publishing",),
    ("active", "evaluation", "forecast", "proofreading", "training"),
    ("domains", "pyramids", "segmentation"),
    ("prediction", "runs", "zoo"),
    ("backbones", "blockwise"),
    ("ledger", "volumes"),
    ("config",),
    (
        "faults",
        "intervals",
        "kernels",
        "device_leases",
        "locks",
        "processes",
        "redaction",
        "textfiles",
        "wholefiles",
        "wording",
    ),
    ("errors", "observing"),
)
"""From the top. A package imports packages of lower layers only; those of one layer do not know each other."""

LEVEL = {package: level for level, packages in enumerate(LAYERS) for package in packages}
OUTSIDE = {"benchmarks", "pipelines", "studies", "tests", "tools"}


def find_imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every module that is imported and the line, in functions too, but not for type checking alone.

    ``from neuroadda import __version__`` imports nothing but a constant.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from find_imports(ast.Module(node.orelse, []))
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "neuroadda":
            yield from ((f"neuroadda.{a.name}", node.lineno) for a in node.names if a.name != "__version__")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole module"
            yield str(node.module), node.lineno
        else:
            yield from find_imports(node)


def find_arrows() -> Iterator[tuple[str, str, str]]:
    """Yield (importing package, imported package, file and line); a module beside the packages counts as one."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        package = inside.parts[0].removesuffix(".py")
        for module, line in find_imports(ast.parse(path.read_text())):
            top, *rest = module.split(".")
            if top == "neuroadda" and rest and rest[0] != package:
                yield package, rest[0], f"neuroadda/{inside}:{line}"


ARROWS = [arrow for arrow in find_arrows() if arrow[0] != "__init__"]  # the public API may name any package


def test_every_package_is_in_the_table():
    files = [path for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert {path.stem for path in files} - {"__init__"} == set(LEVEL)


def test_there_is_no_circle():
    graph: dict[str, set[str]] = {package: set() for package in LEVEL}
    for package, other, _ in ARROWS:
        graph[package].add(other)
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


@pytest.mark.parametrize("package", LEVEL)
def test_imports_run_downward(package):
    upward = [f"{where} imports {other}" for p, other, where in ARROWS if p == package and LEVEL[other] <= LEVEL[p]]
    assert upward == []


def test_the_product_imports_nothing_that_is_not_installed_with_it():
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in ROOT.rglob("*.py")
        for module, line in find_imports(ast.parse(path.read_text()))
        if module.partition(".")[0] in OUTSIDE
    ]
    assert found == []


def test_an_import_in_a_function_counts_and_one_for_type_checking_does_not():
    text = """
if TYPE_CHECKING:
    from neuroadda.cli import main
else:
    import neuroadda.zoo.index
def f():
    from neuroadda import config, __version__
    from neuroadda.blockwise.task import Task
"""
    found = [module for module, _ in find_imports(ast.parse(text))]
    assert found == ["neuroadda.zoo.index", "neuroadda.config", "neuroadda.blockwise.task"]


def test_the_page_on_the_architecture_has_these_layers():
    page = (ROOT.parent / "docs/architecture.md").read_text().partition("## Packages")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (`[^|]+) \|", page, re.MULTILINE)
    told = {
        name.rstrip("/").removesuffix(".py"): int(layer)
        for layer, names in rows
        for name in re.findall(r"`([^`]+)`", names)
    }
    shown = {package: level + 1 for package, level in LEVEL.items() if package in told}
    assert told == shown
    assert {package for package, level in LEVEL.items() if (ROOT / package).is_dir()} <= told.keys()
