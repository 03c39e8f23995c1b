"""The prediction engine: tiles by their cost, and blocks that are what the network says of each tile."""

import dataclasses
import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi

from neuroadda.backbones import speedup
from neuroadda.backbones.card import NEAREST, Card
from neuroadda.backbones.checkpoint import Backbone, load_backbone, save_backbone
from neuroadda.backbones.memory import AT_ONCE, OVERHEAD, count_pass_bytes
from neuroadda.backbones.speedup import measure_bfloat16_speedup
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.overlap import Overlap
from neuroadda.blockwise.task import Task
from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.ledger.open import open_ledger
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.quantising import make_quantiser
from neuroadda.prediction.tiles import choose_tile_vx, computed_vx, useful_share
from neuroadda.volumes.arrays import Volume

SMALL = UNetConfig(features=(4, 8), downsample=((1, 2, 2),), kernels=(((1, 3, 3),), ((3, 3, 3),)))
TILED = Predict(tile_vx=(2, 8, 8), device="cpu", precision="float32")


def write_backbone(folder: Path) -> Backbone:
    torch.manual_seed(0)
    card = Card(name="t", domain="t", voxel_size_nm=(40, 4, 4), architecture=SMALL, offsets=NEAREST)
    save_backbone(folder / "backbone", UNet(SMALL), card)
    return load_backbone(folder / "backbone")


def write_raw(folder: Path) -> Volume:
    raw = Volume.create(folder / "raw.zarr/raw", (8, 40, 40), (40, 4, 4), np.uint8)
    raw.write(raw.roi, np.random.default_rng(0).integers(0, 255, (8, 40, 40), np.uint8))
    return raw


def test_the_useful_share_counts_context_and_overhang():
    assert SMALL.context_vx == (1, 4, 4)
    assert useful_share(SMALL, (4, 16, 16), (4, 16, 16)) == pytest.approx(4 * 16 * 16 / (6 * 24 * 24))
    assert useful_share(SMALL, (4, 16, 16), (4, 10, 16)) == pytest.approx(4 * 16 * 16 / (6 * 36 * 24))


@pytest.mark.parametrize(
    ("block_vx", "memory_bytes"), [((7, 30, 50), 1e9), ((24, 256, 256), 4e8), ((32, 256, 256), 1e9)]
)
def test_the_chosen_tile_fits_and_hardly_any_halving_of_a_block_is_cheaper(block_vx, memory_bytes):
    architecture = UNetConfig()
    tile_vx = choose_tile_vx(architecture, block_vx, "bfloat16", memory_bytes)
    assert count_pass_bytes(architecture, tile_vx, "bfloat16") <= memory_bytes
    for halvings in product(range(7), repeat=3):
        sides = zip(block_vx, halvings, architecture.alignment_vx, strict=True)
        other = tuple(-(-b // (2**h * a)) * a for b, h, a in sides)
        if computed_vx(architecture, other) <= 1.02 * computed_vx(architecture, tile_vx):
            assert useful_share(architecture, block_vx, tile_vx) >= useful_share(architecture, block_vx, other)


def test_more_memory_means_fewer_voxels_computed_twice_and_too_little_the_smallest_tile():
    architecture, block_vx = UNetConfig(), (32, 256, 256)
    tiles = [choose_tile_vx(architecture, block_vx, "float32", gigabytes * 1e9) for gigabytes in (0.1, 0.4, 1, 3)]
    shares = [useful_share(architecture, block_vx, tile) for tile in tiles]
    assert shares == sorted(shares)
    assert tiles[-1] == block_vx
    assert choose_tile_vx(architecture, block_vx, "float32", 1.0) == architecture.alignment_vx


def test_what_decides_the_tile_is_no_part_of_the_fingerprint_but_the_tile_is():
    small, large = (
        Predict(memory_gb=gigabytes, device="cpu", precision="float32").resolve(UNetConfig(), (32, 256, 256))
        for gigabytes in (0.3, 3)
    )
    assert small.memory_gb is large.memory_gb is None
    assert computed_vx(UNetConfig(), small.tile_vx) < computed_vx(UNetConfig(), large.tile_vx)
    assert large == large.resolve(UNetConfig(), (32, 256, 256))


PASS = """
import re
from pathlib import Path
import torch
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.backbones.inference import Inference
from neuroadda.backbones.unet import UNet
torch.set_num_threads(1)
model, peaks = UNet(UNetConfig()).eval(), []
for tile_vx in ((1, 8, 8), (4, 128, 128)):
    with torch.inference_mode():
        Inference(model, torch.float32)(torch.rand(1, 1, *model.config.input_shape_vx(tile_vx)))
    peaks.append(1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]))
print(peaks[1] - peaks[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_pass_takes_what_was_counted_for_it():
    grown = int(subprocess.run([sys.executable, "-c", PASS], stdout=subprocess.PIPE, check=True).stdout)
    assert 0.5 < grown / count_pass_bytes(UNetConfig(), (4, 128, 128), "float32") < 1.1


def test_bfloat16_is_taken_where_it_was_measured_to_be_faster(monkeypatch):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True)
    assert 0 < measure_bfloat16_speedup(SMALL, 1) < 100
    for times, precision in ((0.5, "float32"), (3.0, "bfloat16")):
        monkeypatch.setattr(
            speedup, "_time_pass", lambda run, image, dtype, s=times: 1.0 if dtype == torch.float32 else 1.0 / s
        )
        measure_bfloat16_speedup.cache_clear()
        assert Predict(device="cpu").resolve(SMALL, (4, 16, 16)).precision == precision
    measure_bfloat16_speedup.cache_clear()


def test_what_this_machine_lacks_is_said(monkeypatch):
    with pytest.raises(UserError, match="a CPU does not compute in float16"):
        Predict(device="cpu", precision="float16").resolve(SMALL, (4, 16, 16))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match=r"C\+\+ compiler"):
        Predict(device="cpu", compile=True).resolve(SMALL, (4, 16, 16))


def make_task(folder: Path, block_vx: Zyx, name: str = "affs") -> Task:
    raw, backbone = write_raw(folder), write_backbone(folder)
    inputs = {"raw": (raw.path, raw.fingerprint), "backbone": (folder / "backbone", backbone.card.digest)}
    return Task.make(TILED, inputs, folder / f"{name}.zarr/affs", BlockGrid.make(raw.roi, raw.voxel_size, block_vx))


def test_blocks_in_flight_say_what_blocks_in_turn_say(tmp_path):
    said = {}
    for threads in (1, 3):
        task = make_task(tmp_path, (2, 10, 10), f"{threads} threads")
        TILED.create_output(task)
        overlap, function, left = Overlap(threads), TILED.open(task), iter(list(task.grid.blocks()))

        def do_shared(overlap=overlap, function=function, left=left) -> None:
            for block in left:
                overlap.apply(function, block)

        overlap.run(do_shared)
        said[threads] = Volume.open(task.output).read()
    assert said[1].any()
    assert (said[1] == said[3]).all()


def test_the_ledger_tells_what_went_into_the_network(tmp_path):
    task, url = make_task(tmp_path, (4, 40, 40)), f"sqlite:///{tmp_path / 'ledger.db'}"
    task = run_task(task, url, Execution(launcher="serial"), tmp_path / "logs")
    tiles = 2 * 5 * 5
    expected = {"tiles": tiles, "computed_voxels": tiles * 4 * 16 * 16}
    assert [row["results"] for row in open_ledger(url).blocks(task.key)] == [expected, expected]


@pytest.mark.slow
def test_a_compiled_network_says_the_same(tmp_path):
    if not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        pytest.skip("no C++ compiler")
    raw = write_raw(tmp_path)
    plain, compiled = (
        Predictor(write_backbone(tmp_path), TILED.model_copy(update={"compile": flag}))(raw, raw.roi)[0].astype(int)
        for flag in (False, True)
    )
    assert np.abs(plain - compiled).max() <= 1


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1), ("bfloat16", 12), ("float16", 3)])
def test_a_gpu_says_the_same(tmp_path, precision, tolerance):
    raw = write_raw(tmp_path)
    on_gpu = Predict(device="cuda", precision=precision).resolve(SMALL, (8, 40, 40))
    stage, lease = on_gpu.take_device()
    assert lease.device.startswith("cuda:")
    said = Predictor(write_backbone(tmp_path), stage)(raw, raw.roi)[0].astype(int)
    assert np.abs(said - Predictor(write_backbone(tmp_path), TILED)(raw, raw.roi)[0]).max() <= tolerance


@pytest.mark.gpu
def test_a_pass_takes_no_more_of_a_gpu_than_was_counted_for_it():
    model, tile_vx = UNet(UNetConfig()).eval().cuda(), (16, 128, 128)
    image = torch.rand(1, 1, *model.config.input_shape_vx(tile_vx), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    with torch.inference_mode():
        model(image)
    counted = count_pass_bytes(model.config, tile_vx, "float32", AT_ONCE)
    assert torch.cuda.max_memory_allocated() <= counted / (OVERHEAD * 0.8)


def test_a_block_is_what_the_network_says_of_each_tile(tmp_path):
    raw, backbone = write_raw(tmp_path), write_backbone(tmp_path)
    affs, tiles = Predictor(backbone, TILED)(raw, raw.roi)
    assert tiles == {(2, 8, 8): 4 * 5 * 5}
    for origin in [(0, 0, 0), (2, 16, 24), (6, 32, 32)]:
        tile = Roi(origin, (2, 8, 8))
        seen = raw.read_mirrored(tile.grow(Coordinate(1, 4, 4), Coordinate(1, 4, 4)) * raw.voxel_size)
        image = torch.from_numpy(seen)[None, None].float() / 127.5 - 1
        said = torch.sigmoid(backbone.model(image))[0].detach().numpy() * 255  # with gradients: plain strides
        assert np.abs(affs[(slice(None), *tile.to_slices())] - said).max() <= 0.501


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 0, 1, 2)], ids=["channels first", "channels last"])
def test_logits_become_rounded_probabilities(dtype, axes):
    logits = torch.linspace(-12, 12, 4 * 5 * 6 * 7).reshape(4, 5, 6, 7).to(dtype).permute(axes)
    expected = 255 / (1 + np.exp(-logits.double().numpy()))
    said = torch.full(logits.shape, 7, dtype=torch.uint8)
    make_quantiser(torch.device("cpu"))(logits, said)
    assert np.abs(said.numpy() - expected).max() <= 0.5001


def test_a_channel_that_the_network_lacks_is_0_whatever_the_memory_held(tmp_path):
    raw, backbone = write_raw(tmp_path), write_backbone(tmp_path)
    further = tuple(tuple(9 * o for o in offset) for offset in NEAREST)
    lacking = dataclasses.replace(backbone, card=backbone.card.model_copy(update={"offsets": further}))
    used = torch.full((4, 8, 40, 40), 99, dtype=torch.uint8)
    predictor = Predictor(lacking, TILED)
    affs = predictor.infer(predictor.read(raw, raw.roi, used)).wait()
    assert np.shares_memory(affs, used.numpy())
    assert not affs[0].any()
    assert (affs[1:] == Predictor(backbone, TILED)(raw, raw.roi)[0]).all()


def test_channels_last_says_the_same_of_a_batch_and_of_bfloat16():
    torch.manual_seed(0)
    config = UNetConfig(features=(4, 8), downsample=((2, 2, 2),), kernels=(((3, 3, 3),), ((3, 3, 3),)))
    model, images = UNet(config).eval(), torch.randn(2, 1, *config.input_shape_vx((4, 8, 8)))
    plain = model(images).detach()
    with torch.inference_mode():
        torch.testing.assert_close(model(images), plain, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.cat([model(image[None]) for image in images]), plain, atol=1e-5, rtol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(model(images).float(), plain, atol=0.1, rtol=0.1)
