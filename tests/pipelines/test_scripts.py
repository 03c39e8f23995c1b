"""The scripts of library calls: they are short, and they do what they say on a phantom."""

import subprocess
import sys
from pathlib import Path

import pytest

import neuroadda as na
from neuroadda.backbones.card import load_card

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
BACKBONE = "fly_larva_l1_sstem"


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "p.zarr"
    na.phantom(folder, shape_vx=(10, 96, 96), seed=3)
    return folder


def run(name: str, *arguments: object) -> str:
    """Run a script, which must succeed; return what it printed."""
    script = [sys.executable, str(ROOT / "pipelines" / f"{name}.py"), *map(str, arguments)]
    ended = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_each_is_under_60_lines() -> None:
    lines = {path.stem: len(path.read_text().splitlines()) for path in (ROOT / "pipelines").glob("*.py")}
    assert lines.keys() == {"adapt", "demo", "propose", "segment", "train"}
    assert max(lines.values()) < 60


def test_propose_asks_for_boxes_and_makes_crops_to_draw_in(volume: Path, tmp_path: Path) -> None:
    shape = (8 * 30, 48 * 6, 48 * 6)
    asked = (volume / "raw", tmp_path / "asked", "--backbone", BACKBONE, "--count", 1, "--shape", *shape)
    told = run("propose", *asked)
    assert told.startswith("roi_1: offset ")
    assert told.splitlines()[-1] == str(tmp_path / "asked" / "crops")
    assert (tmp_path / "asked" / "crops" / "roi_1.zarr").is_dir()
    assert run("propose", *asked) == told


def test_train_validates_on_the_last_sections(volume: Path, tmp_path: Path) -> None:
    given = (volume / "raw", volume / "labels", tmp_path / "mine", "--start", BACKBONE, "--iterations", 1)
    told = run("train", *given, "--output-shape", 4, 16, 16)
    card = load_card(tmp_path / "mine" / "backbone")
    assert card.iterations == 1
    assert card.metrics["voi"] > 0
    assert told.splitlines()[-1].startswith(f"{tmp_path / 'mine' / 'backbone'}: ")
    assert [sample["shape"][0] for sample in card.training_data[:1]] == [8 * 30]


def test_segment_scores_and_publishes(volume: Path, tmp_path: Path) -> None:
    told = run("segment", volume / "raw", BACKBONE, tmp_path / "run", "--labels", volume / "labels", "--any-voxel-size")
    assert "nats at threshold 0." in told
    published = Path(told.splitlines()[-1])
    first, made = na.open_volume(published / "0"), na.open_volume(tmp_path / "run/volumes.zarr/segmentation")
    assert (first.read() == made.read()).all()
    assert not (published / "0").is_symlink()
