"""Tiles are halved where memory does not do, and nobody can tell by the bytes."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import Backbone, load_backbone, save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.tiles import LEAST_STEPS, cover_box, halve_tile
from neuroadda.volumes.arrays import Volume
from tests.backbones.foreign_networks import MedNeXt
from tests.backbones.test_foreign import make

ROOT = Path(__file__).parents[2]
NARROW = UNetConfig(features=(4, 8), downsample=((1, 2, 2),), kernels=(((1, 3, 3),), ((3, 3, 3),)))
ISOTROPIC = UNetConfig(features=(4, 8, 16), downsample=((2, 2, 2),) * 2, kernels=(((3, 3, 3),) * 2,) * 3)


@pytest.mark.parametrize(
    ("tile", "alignment"), [((32, 256, 256), (1, 8, 8)), ((20, 12, 64), (4, 4, 4)), ((5, 40, 8), (1, 8, 8))]
)
def test_halves_are_aligned_cover_the_tile_and_end(tile, alignment):
    def halve(roi: Roi) -> list[Roi]:
        halves = halve_tile(roi, alignment)
        return [roi] if not halves else [part for half in halves for part in halve(half)]

    parts = halve(Roi(alignment, tile))
    covered = np.zeros(Coordinate(tile) + Coordinate(alignment), int)
    for part in parts:
        covered[part.to_slices()] += 1
        assert all(v % a == 0 for side in (part.begin, part.shape) for v, a in zip(side, alignment, strict=True))
        assert part.shape[2] == tile[2]
        assert all(part.shape[axis] < 2 * (LEAST_STEPS + 1) * alignment[axis] for axis in (0, 1))
    assert covered.sum() == np.prod(tile)
    assert covered.max() == 1


@pytest.mark.parametrize("whole", [True, False])
def test_tiles_cover_a_box_once_are_aligned_and_as_long_as_it_takes(whole):
    tile_vx, alignment = (16, 64, 64), (1, 8, 8)
    for begin, shape in [((3, 20, 5), (17, 70, 30)), ((0, 0, 0), (16, 64, 128)), ((5, 8, 8), (1, 1, 1))]:
        box, covered = Roi(begin, shape), np.zeros((64, 256, 256), int)
        tiles = cover_box(box, tile_vx, alignment, whole=whole)
        for tile in tiles:
            covered[tile.to_slices()] += 1
            assert tile.intersects(box)
            for axis, step in enumerate(alignment):
                assert tile.begin[axis] % step == tile.shape[axis] % step == 0
                assert tile.shape[axis] <= tile_vx[axis]
                if whole or axis == 2:
                    assert tile.shape[axis] == tile_vx[axis]
                elif tile.end[axis] > box.end[axis]:
                    assert tile.end[axis] < box.end[axis] + step or tile.shape[axis] == LEAST_STEPS * step
        assert (covered[box.to_slices()] == 1).all()
        assert covered.max() == 1


def write_backbone(folder: Path, architecture: UNetConfig) -> Backbone:
    torch.manual_seed(0)
    card = Card(name="t", domain="t", voxel_size_nm=(40, 4, 4), architecture=architecture, offsets=NEAREST)
    model = UNet(architecture)
    with torch.no_grad():
        for weights in list(model.parameters())[-2:]:
            weights.mul_(30)  # far from a half, as a trained network's, and a byte shows the last bits
    save_backbone(folder / "backbone", model, card)
    return load_backbone(folder / "backbone")


def write_raw(folder: Path, shape: tuple[int, int, int]) -> Volume:
    raw = Volume.create(folder / "raw.zarr/raw", shape, (40, 4, 4), np.uint8)
    raw.write(raw.roi, np.random.default_rng(0).integers(0, 255, shape, np.uint8))
    return raw


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("architecture", "tile"), [(UNetConfig(), (4, 32, 64)), (ISOTROPIC, (16, 16, 32))])
def test_halves_of_a_tile_say_the_same_to_the_last_bit(tmp_path, architecture, tile, precision):
    backbone, raw = write_backbone(tmp_path, architecture), write_raw(tmp_path, tile)

    def predict(tile_vx: tuple[int, ...]) -> np.ndarray:
        parameters = Predict(tile_vx=tile_vx, device="cpu", precision=precision)
        return Predictor(backbone, parameters)(raw, raw.roi)[0]

    whole, shapes = predict(tile), [Roi((0, 0, 0), tile)]
    assert len(np.unique(whole)) > 50
    while halves := halve_tile(shapes[-1], architecture.alignment_vx):
        shapes.append(Roi((0, 0, 0), halves[1].shape))
    for shape in (shapes[1], shapes[-1]):
        assert (predict(tuple(shape.shape)) == whole).all(), shape


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("architecture", "tile"), [(UNetConfig(), (4, 32, 64)), (ISOTROPIC, (16, 16, 32))])
def test_tiles_cut_at_a_box_say_the_same_as_whole_ones_to_the_last_bit(tmp_path, architecture, tile, precision):
    backbone, raw = write_backbone(tmp_path, architecture), write_raw(tmp_path, (21, 50, 70))
    predictor = Predictor(backbone, Predict(tile_vx=tile, device="cpu", precision=precision))
    cut, passed = predictor(raw, raw.roi)
    predictor.whole_tiles = True
    whole, as_many = predictor(raw, raw.roi)
    assert (cut == whole).all()
    assert set(as_many) == {tile} < set(passed)
    assert as_many.total() == passed.total()


LIMITED = """
import ctypes, hashlib, json, re, resource, sys
from pathlib import Path
import torch
from funlib.geometry import Coordinate, Roi
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.volumes.arrays import Volume
torch.set_num_threads(1)
folder, megabytes, *heights = Path(sys.argv[1]), *map(int, sys.argv[2:])
raw = Volume.open(folder / "raw.zarr/raw")
predictor = Predictor(load_backbone(folder / "backbone"), Predict(tile_vx=(16, 384, 384), device="cpu", precision="float32"))
ctypes.CDLL(None).mallopt(-3, 1 << 17)  # M_MMAP_THRESHOLD: a tensor's memory is the kernel's again once it is free
for height in heights:  # the code of a tile's convolutions is compiled at its first pass
    predictor.tile_vx = (16, height, 384)
    predictor(raw, Roi(raw.roi.begin, Coordinate(predictor.tile_vx) * raw.voxel_size))
predictor.tile_vx = (16, 384, 384)
held = 1024 * int(re.search(r"VmSize:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (held + megabytes * 10**6,) * 2)
affs, passed = predictor(raw, raw.roi)
tiles = [[list(map(int, shape)), count] for shape, count in passed.items()]
print(json.dumps([hashlib.sha256(affs.tobytes()).hexdigest(), tiles, list(map(int, predictor.tile_vx))]))
"""


def predict_within(folder: Path, megabytes: int, *heights: int) -> subprocess.CompletedProcess[str]:
    """Predict by one tile, with so much memory, after tiles of other heights."""
    command = [sys.executable, "-c", LIMITED, folder, *map(str, (megabytes, *heights))]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT
    )  # where foreign networks of the tests are found


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_tile_that_does_not_fit_is_halved_until_it_does(tmp_path):
    write_backbone(tmp_path, NARROW)
    raw = write_raw(tmp_path, (16, 384, 384))

    def predict(megabytes: int, *warm: int) -> tuple[str, list, list[int]]:
        told = predict_within(tmp_path, megabytes, *warm)
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    digest, tiles, tile_vx = predict(10_000)
    assert tiles == [[[16, 384, 384], 1]]
    assert tile_vx == [16, 384, 384]
    limited, halves, halved = predict(60, 24, 48, 96, 192, 384)
    assert limited == digest != hashlib.sha256(bytes(3 * np.prod(raw.shape_vx))).hexdigest()
    assert sum(np.prod(shape) * count for shape, count in halves) == np.prod(raw.shape_vx)
    assert halved[2] == 384
    assert np.prod(halved) < np.prod(tile_vx)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_tile_of_a_network_that_says_something_else_in_halves_is_not_halved(tmp_path):
    channels = [[-1, 0, 0], [0, -1, 0], [0, 0, -1], *["none"] * 3]
    make(tmp_path, MedNeXt(), "MedNeXt", output="affinities", channel_offsets=channels, activation="logits")
    write_raw(tmp_path, (16, 24, 384))
    told = predict_within(tmp_path, 60, 24)
    assert told.returncode == 1
    *_, last = told.stderr.splitlines()
    assert last == (
        "MemoryError: a tile of (16, 384, 384) does not fit into memory, and this network's tiles are never cut: take smaller "
        "blocks, or give it more memory"
    )
    assert "on with" not in told.stderr
