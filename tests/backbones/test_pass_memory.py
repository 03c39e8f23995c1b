"""The memory of a pass is counted as torch would count it, tensor by tensor."""

import pytest
import torch

from neuroadda.backbones.inference import Inference
from neuroadda.backbones.memory import AT_ONCE, CHUNK_VALUES
from neuroadda.backbones.private_torch import TensorCounter
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig

ARCHITECTURES = {
    "anisotropic": UNetConfig(),
    "isotropic": UNetConfig(features=(16, 32, 64), downsample=((2, 2, 2),) * 2, kernels=(((3, 3, 3),) * 2,) * 3),
    "odd": UNetConfig(
        in_channels=2,
        features=(4, 8, 8),
        downsample=((1, 3, 3), (3, 1, 1)),
        kernels=(((1, 3, 3),), ((3, 3, 3), (1, 5, 5), (1, 1, 1)), ((5, 3, 1),)),
    ),
    "flat": UNetConfig(features=(6,), downsample=(), kernels=(((3, 3, 3),),)),
}


@pytest.mark.parametrize("chunk_values", [1, CHUNK_VALUES, AT_ONCE])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wanted_vx", [(1, 8, 8), (12, 60, 120)])
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_a_pass_in_chunks_holds_the_values_that_were_counted(
    monkeypatch, architecture, wanted_vx, precision, chunk_values
):
    monkeypatch.setattr("neuroadda.backbones.inference.CHUNK_VALUES", chunk_values)
    tile_vx = architecture.nearest_output_shape_vx(wanted_vx)
    network = Inference(UNet(architecture).eval(), precision)
    with torch.inference_mode(), TensorCounter() as counter:
        network(torch.zeros((1, architecture.in_channels, *architecture.input_shape_vx(tile_vx)), dtype=precision))
    assert counter.peak / precision.itemsize == architecture.count_pass_values(tile_vx, chunk_values)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wanted_vx", [(12, 60, 120), (36, 252, 252)])
@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_a_pass_at_once_holds_about_the_values_that_were_counted(architecture, wanted_vx, precision):
    tile_vx = architecture.nearest_output_shape_vx(wanted_vx)
    shape = (1, architecture.in_channels, *architecture.input_shape_vx(tile_vx))
    model = UNet(architecture).eval().to(precision).to("meta")
    with torch.inference_mode(), TensorCounter() as counter:
        model(torch.empty(shape, dtype=precision, device="meta"))
    assert 0.8 < counter.peak / precision.itemsize / architecture.count_pass_values(tile_vx, AT_ONCE) < 1.2
