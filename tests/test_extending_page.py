"""The pages for developers: what they name exists, and the examples of docs/extending.md do what the page says."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate

from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import STAGES, Task
from neuroadda.errors import UserError
from neuroadda.volumes import readers
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from tests.pages import DOCS, ROOT, blocks

PAGES = [DOCS / "architecture.md", DOCS / "packages.md", DOCS / "extending.md"]
EXAMPLE = DOCS / "extending.md"
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"^\w+\.(pyx?|json|html|js)$")


def names(page: Path) -> set[str]:
    """Return what a page names as code in its running text."""
    return set(CODE.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    files = {name for name in names(page) if re.fullmatch(r"[\w./]+(\.pyx?|\.md|/)", name)}
    assert len(files) > 20
    tree = [
        path.relative_to(ROOT).as_posix() + "/" * path.is_dir()
        for top in ("neuroadda", "tests", "tools", "benchmarks", "studies", "configs", "pipelines", "docs")
        for path in [ROOT / top, *(ROOT / top).rglob("*")]
    ]
    missing = [name for name in files if not any(f"/{path}".endswith(f"/{name}") for path in tree)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_and_classes_that_a_page_names_exist(page):
    called = (re.fullmatch(r"((?:\w+\.)*\w+)(?:\([\w, ]*\))?", FILE.sub("", name)) for name in names(page))
    words = {
        word
        for found in called
        if found
        for word in found[1].split(".")
        if re.search(r"_|[a-z][A-Z]|^[A-Z][a-z]", word)
    }
    assert len(words) > 40
    source = "\n".join(
        path.read_text()
        for top in ("neuroadda", "tests", "tools")
        for path in (ROOT / top).rglob("*.py*")
        if path.suffix in (".py", ".pyx")
    )
    known = {*re.findall(r"\w+", source), *(path.stem for path in (ROOT / "tools").glob("*.py"))}
    assert sorted(words - known) == []


@pytest.fixture
def examples(tmp_path, monkeypatch) -> Iterator[list[str]]:
    """The modules of the page's examples, which can be imported: a reader, a stage."""
    found = list(blocks(EXAMPLE, "python"))
    made = []
    for number, text in enumerate(found):
        (tmp_path / f"extending_example_{number}.py").write_text(text)
        made.append(f"extending_example_{number}")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield made
    STAGES.pop("invert", None)  # workers of later tests would import its module


def test_the_reader_is_one_by_its_line_in_formats(tmp_path, examples, monkeypatch):
    voxels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    (tmp_path / "a.flat").write_bytes(voxels.tobytes())
    with pytest.raises(UserError, match="the format is not known"):
        import_volume(tmp_path / "a.flat", tmp_path / "a.zarr", voxel_size_nm=(30, 6, 6))
    module = importlib.import_module(examples[0])
    monkeypatch.setattr(readers, "FORMATS", (module.FORMAT, *readers.FORMATS))
    with pytest.raises(UserError, match="it does not say its voxel size; give --voxel-size Z Y X"):
        import_volume(tmp_path / "a.flat", tmp_path / "a.zarr")
    assert not (tmp_path / "a.zarr").exists()
    assert (import_volume(tmp_path / "a.flat", tmp_path / "a.zarr", voxel_size_nm=(30, 6, 6)).read() == voxels).all()
    (tmp_path / "b.flat").write_bytes(b"short")
    with pytest.raises(UserError, match="it has 5 bytes; 4 x 8 x 8 voxels are expected"):
        import_volume(tmp_path / "b.flat", tmp_path / "b.zarr", voxel_size_nm=(30, 6, 6))


def test_the_stage_runs(tmp_path, examples):
    raw = Volume.create(tmp_path / "v.zarr" / "raw", (4, 8, 8), (30, 6, 6), np.uint8)
    voxels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    raw.write(raw.roi, voxels)
    stage = importlib.import_module(examples[1]).Invert
    grid = BlockGrid.make(raw.roi, Coordinate(raw.voxel_size), (2, 4, 4))
    task = Task.make(stage(above=100), {"raw": (raw.path, raw.fingerprint)}, tmp_path / "v.zarr" / "inverted", grid)
    run_task(task, f"sqlite:///{tmp_path / 'ledger.db'}", Execution(launcher="serial"), tmp_path / "logs")
    made = Volume.open(tmp_path / "v.zarr" / "inverted")
    assert (made.read() == np.where(voxels > 100, 255 - voxels, voxels)).all()
    assert made.attrs["fingerprint"] == task.fingerprint
