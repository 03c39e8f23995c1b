"""The how-to pages on TIFF stacks, terabytes and zoos, from their first command to the last."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import neuroadda as na
from neuroadda.zoo.finding import open_zoo
from tests.pages import ROOT, blocks, commands

DOCS = ROOT / "docs"


def run_page(command: Callable[..., tuple[int, str, str]], page: str, changes: dict[str, str]) -> None:
    """Run the commands of a page, some words replaced by others; not the ranking, which takes minutes and has tests of its own."""
    for words in commands(DOCS / page):
        if words[:2] == ["domains", "rank"]:
            continue
        code, _, error = command(*change(words, changes))
        assert code == 0, f"{words}: {error}"


def change(words: list[str], changes: dict[str, str]) -> list[str]:
    """Return words, some of which are replaced by one or more others."""
    return [new for word in words for new in (changes[word].split() if word in changes else [word])]


def times(folder: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


def test_a_tiff_stack_is_segmented_as_the_page_says(tmp_path: Path, command, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw, labels = na.phantom("made.zarr", shape_vx=(16, 192, 192), seed=1)
    tifffile.imwrite("stack.tif", raw.read(), photometric="minisblack")
    tifffile.imwrite("labels.tif", labels.read().astype(np.uint8), photometric="minisblack")
    (config,) = re.findall(r"```toml\n(.*?)```", (DOCS / "howto_tiff.md").read_text(), re.DOTALL)
    of_phantoms = 'backbone = "fly_larva_l1_sstem"\nany_voxel_size = true'
    Path("run.toml").write_text(config.replace('backbone = "mouse_cortex_sssem"', of_phantoms))
    fits_phantoms = {"mouse_cortex_sssem": "fly_larva_l1_sstem --any-voxel-size"}
    run_page(command, "howto_tiff.md", fits_phantoms)
    assert Path("run/report.html").is_file()
    before = tifffile.imread("segmentation.tif")
    assert before.shape == (16, 192, 192)
    assert len(np.unique(before)) > 3
    (line,) = re.findall(r"`neuroadda (segment [^`]*threshold=0.8 --overwrite)`", (DOCS / "howto_tiff.md").read_text())
    kept, remade = times("run/volumes.zarr/affs") | times("run/edges"), times("run/volumes.zarr/segmentation")
    code, _, error = command(*change(line.split(), fits_phantoms))
    assert code == 0, error
    assert times("run/volumes.zarr/affs") | times("run/edges") == kept, "only components and relabelling run again"
    assert times("run/volumes.zarr/segmentation") != remade


@pytest.mark.slow
def test_a_terabyte_is_planned_as_the_page_says(tmp_path: Path, command, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    na.phantom("volume.zarr", shape_vx=(16, 192, 192), seed=2)
    (config,) = blocks(DOCS / "howto_terabyte.md", "toml")
    small = config.replace("[3000, 6000, 6000]", "[480, 1152, 1152]").replace("[32, 256, 256]", "[16, 96, 96]")
    Path("terabyte.toml").write_text(small)
    run_page(command, "howto_terabyte.md", {"4": "2"})
    assert not Path("runs/corner/volumes.zarr").exists()


def test_a_zoo_is_made_as_the_page_says(tmp_path: Path, command, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    na.phantom("volume.zarr", shape_vx=(16, 192, 192), seed=4)
    small = {"output_shape_vx": [4, 32, 32], "network.features": [4, 8], "network.downsample": [[1, 2, 2]]}
    small |= {"network.kernels": [[[1, 3, 3]], [[3, 3, 3]]]}
    (config,) = blocks(DOCS / "howto_zoo.md", "toml")
    keys = "".join(f"{key} = {value}\n" for key, value in small.items())
    Path("train.toml").write_text(config.replace("iterations = 2000\n", f"iterations = 2\n{keys}"))
    options = " ".join(f"--set train.{key}={value}".replace(", ", ",") for key, value in small.items())
    changes = {"2000": f"2 {options}", "--raw": "--patches 16 --raw", "https://host/zoo": "zoo"}
    run_page(command, "howto_zoo.md", changes)
    zoo = open_zoo("zoo")
    assert zoo.names() == sorted([*open_zoo().names(), "bare", "my_tissue"])
    assert zoo.card("my_tissue").training_data[0]["licence"] == "CC BY 4.0"
    assert "embedding.safetensors" in zoo.files("my_tissue")
