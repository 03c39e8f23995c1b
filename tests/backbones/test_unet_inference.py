"""A network at inference says what it says in training, of any chunks."""

from itertools import product

import pytest
import torch
from torch.nn import functional

from neuroadda.backbones.inference import Inference
from neuroadda.backbones.sections import Stack, lay_out, pool_maxima
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.errors import UserError

FLAT, CUBE = ((1, 3, 3), (1, 3, 3)), ((3, 3, 3), (3, 3, 3))
NETWORKS = {
    "anisotropic": UNetConfig(features=(3, 4, 5), downsample=((1, 2, 2), (1, 2, 2)), kernels=(FLAT, FLAT, CUBE)),
    "isotropic": UNetConfig(features=(3, 4, 5), downsample=((2, 2, 2), (2, 2, 2)), kernels=(CUBE, CUBE, CUBE)),
    "mixed": UNetConfig(
        in_channels=2,
        features=(3, 4, 5),
        downsample=((1, 3, 3), (2, 3, 1)),
        kernels=(((1, 3, 3),), CUBE, ((3, 5, 1),)),
        out_channels=4,
    ),
    "deep": UNetConfig(features=(2, 2), downsample=((1, 2, 2),), kernels=(((41, 1, 1),), ((1, 1, 1),))),
    "one feature": UNetConfig(features=(1, 1), downsample=((2, 2, 2),), kernels=(CUBE, CUBE)),
    "one level": UNetConfig(features=(6,), downsample=(), kernels=(CUBE,)),
}
DTYPES = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("chunk_values", [1, 5000, 1 << 62])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", NETWORKS.values(), ids=NETWORKS)
def test_it_says_what_the_network_says(monkeypatch, config, dtype, chunk_values):
    monkeypatch.setattr("neuroadda.backbones.inference.CHUNK_VALUES", chunk_values)
    torch.manual_seed(0)
    model = UNet(config).eval()
    raw = torch.randn(1, config.in_channels, *config.input_shape_vx(config.nearest_output_shape_vx((9, 24, 30))))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected, said = model(raw), Inference(model, dtype)(raw)
    assert said.dtype == dtype
    assert expected.std() > 0.1
    torch.testing.assert_close(said, expected, atol=1e-5 if dtype == torch.float32 else 0.02, rtol=1e-5)


def test_without_onednn_it_says_the_same(monkeypatch):
    torch.manual_seed(0)
    model = UNet(NETWORKS["isotropic"]).eval()
    raw = torch.randn(1, 1, *model.config.input_shape_vx((8, 16, 16)))
    with torch.inference_mode():
        fused = Inference(model, torch.float32)(raw)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        with torch.backends.mkldnn.flags(enabled=False):
            torch.testing.assert_close(Inference(model, torch.float32)(raw), fused, atol=1e-5, rtol=1e-5)


def test_a_shape_that_is_not_allowed_is_told():
    network = Inference(UNet(NETWORKS["isotropic"]), torch.float32)
    with torch.inference_mode(), pytest.raises(UserError, match="nearest"):
        network(torch.zeros(1, 1, 61, 61, 61))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factors", list(product((1, 2, 3), (1, 2), (1, 3))))
def test_sections_are_put_together_exactly(factors, dtype):
    below = lay_out(torch.randn(5, 3, 4, 2), dtype)
    z, y, x = (side * factor for side, factor in zip((3, 4, 2), factors, strict=True))
    beside = lay_out(torch.randn(2, z + 2, y + 3, x + 4), dtype)[1:-1, :, 1:-2, 2:-2]
    repeated = below
    for axis, factor in zip((0, 2, 3), factors, strict=True):
        repeated = repeated.repeat_interleave(factor, dim=axis)
    whole = torch.cat([beside, repeated], dim=1)
    stack = Stack([beside, below], factors)
    assert stack.shape == tuple(whole.shape)
    for depth in (1, 2, 3):
        for begin in range(z - depth + 1):
            for end in range(begin + 1, z - depth + 2):
                expected = torch.cat([whole[begin + k : end + k] for k in range(depth)], dim=1)
                assert torch.equal(stack.take(begin, end, depth), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factors", list(product((1, 2, 3), (1, 2), (1, 3))))
def test_maxima_are_exact(factors, dtype):
    features = lay_out(torch.randn(5, 7, 9, 11), dtype).relu()
    expected = functional.max_pool3d(features.transpose(0, 1)[None], factors)[0].transpose(0, 1)
    assert torch.equal(pool_maxima(features, factors), expected)
