"""The network's shapes, and that its prediction does not depend on tiling."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.errors import UserError

FLAT, CUBE = ((1, 3, 3), (1, 3, 3)), ((3, 3, 3), (3, 3, 3))
ANISOTROPIC = UNetConfig(features=(3, 4, 5), downsample=((1, 2, 2), (1, 2, 2)), kernels=(FLAT, FLAT, CUBE))
ISOTROPIC = UNetConfig(features=(3, 4, 5), downsample=((2, 2, 2), (2, 2, 2)), kernels=(CUBE, CUBE, CUBE))
MIXED = UNetConfig(
    features=(3, 4, 5), downsample=((1, 3, 3), (2, 3, 3)), kernels=(((1, 3, 3),), CUBE, ((3, 5, 5),)), out_channels=4
)


@pytest.mark.parametrize(
    ("config", "whole", "tile"),
    [
        (ANISOTROPIC, (4, 32, 24), (2, 8, 12)),
        (ISOTROPIC, (16, 16, 24), (8, 16, 8)),
        (MIXED, (4, 27, 18), (2, 9, 18)),
    ],
)
def test_tiles_agree_with_the_whole(config: UNetConfig, whole: tuple[int, ...], tile: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = UNet(config).eval()
    raw = torch.randn(1, 1, *config.input_shape_vx(whole))  # type: ignore[arg-type]
    size = config.input_shape_vx(tile)  # type: ignore[arg-type]
    with torch.no_grad():
        expected = model(raw)
        assert expected.shape == (1, config.out_channels, *whole)
        for z in range(0, whole[0], tile[0]):
            for y in range(0, whole[1], tile[1]):
                for x in range(0, whole[2], tile[2]):
                    got = model(raw[..., z : z + size[0], y : y + size[1], x : x + size[2]])
                    part = expected[..., z : z + tile[0], y : y + tile[1], x : x + tile[2]]
                    torch.testing.assert_close(got, part, atol=1e-5, rtol=0)


def reference(model: UNet, raw: torch.Tensor) -> torch.Tensor:
    """Compute the same network by the book, with 3-D layers."""

    def block(x: torch.Tensor, level: nn.Module) -> torch.Tensor:
        for convolution in level.convolutions:
            x = functional.relu(convolution(x))
        return x

    def crop(x: torch.Tensor, like: tuple[int, ...]) -> torch.Tensor:
        return x[(..., *(slice((s - n) // 2, (s - n) // 2 + n) for s, n in zip(x.shape[2:], like, strict=True)))]

    shape, skips, factors = model.config.output_shape_vx(tuple(raw.shape[2:])), [], model.config.downsample
    for level, down in enumerate(model.down):
        raw = block(raw, down)
        if level < len(factors):
            skips.append(raw)
            raw = functional.max_pool3d(raw, factors[level])
    for level in reversed(range(len(factors))):
        raw = functional.interpolate(raw, scale_factor=[float(f) for f in factors[level]])
        raw = block(torch.cat([crop(skips[level], raw.shape[2:]), raw], 1), model.up[level])
    return model.head(crop(raw, shape))


@pytest.mark.parametrize("config", [ANISOTROPIC, ISOTROPIC, MIXED])
def test_sections_as_a_batch_compute_the_same_as_3d_layers(config: UNetConfig) -> None:
    torch.manual_seed(0)
    model = UNet(config).eval()
    raw = torch.randn(2, 1, *config.input_shape_vx(tuple(2 * a for a in config.alignment_vx)))
    with torch.no_grad():
        torch.testing.assert_close(model(raw), reference(model, raw), atol=1e-5, rtol=1e-5)


def test_batch_norm_folds_into_the_weights() -> None:
    torch.manual_seed(0)
    model = UNet(MIXED, batch_norm=True)
    raw = torch.randn(1, 1, *MIXED.input_shape_vx((2, 9, 9)))
    for _ in range(3):
        model(raw)
    folded = model.fold()
    assert list(folded.state_dict()) == list(UNet(MIXED).state_dict())
    with torch.no_grad():
        torch.testing.assert_close(folded(raw), model.eval()(raw), atol=1e-5, rtol=1e-5)


def test_padded_output_agrees_with_the_valid_one_away_from_the_border() -> None:
    torch.manual_seed(0)
    model = UNet(ANISOTROPIC).eval()
    raw = torch.randn(1, 1, 8, 64, 64)
    z, y, x = model.config.context_vx
    with torch.no_grad():
        padded = model(raw, padded=True)
        # from voxel 2 on the pooling grid of the valid network, which loses 2 and 2 * 2 voxels above, is that of the padded
        valid = model(raw[..., 2 : 2 + 16 + 2 * y, 2 : 2 + 16 + 2 * x])
    assert padded.shape[2:] == (8, 64, 64)
    part = padded[:, :, z:-z, 2 + y : 2 + y + 16, 2 + x : 2 + x + 16]
    torch.testing.assert_close(part, valid, atol=1e-5, rtol=1e-5)


def test_the_context_is_what_an_output_voxel_sees() -> None:
    torch.manual_seed(0)
    model = UNet(ANISOTROPIC)
    raw = torch.randn(1, 1, *ANISOTROPIC.input_shape_vx((3, 8, 8)), requires_grad=True)
    model(raw)[0, 0].sum().backward()
    assert raw.grad is not None
    seen = raw.grad[0, 0].abs() > 0
    for axis, context in enumerate(model.config.context_vx):
        indices = torch.where(seen.any(dim=tuple(a for a in range(3) if a != axis)))[0]
        lost = (raw.shape[2 + axis] - (3, 8, 8)[axis]) // 2
        assert lost == context
        # nothing beyond the context is seen, and the context is not larger than needed but for the crop to the alignment
        assert int(indices[0]) <= ANISOTROPIC.crop_vx[axis] + ANISOTROPIC.alignment_vx[axis]


kernel = st.tuples(*[st.sampled_from([1, 3, 5])] * 3)
factor = st.tuples(*[st.sampled_from([1, 2, 3])] * 3)


@st.composite
def architectures(draw: st.DrawFn) -> UNetConfig:
    levels = draw(st.integers(1, 3))
    kernels = [tuple(draw(st.lists(kernel, min_size=1, max_size=2))) for _ in range(levels)]
    downsample = [draw(factor) for _ in range(levels - 1)]
    return UNetConfig(features=(2,) * levels, downsample=tuple(downsample), kernels=tuple(kernels))


@given(architectures(), st.tuples(*[st.integers(1, 2)] * 3))
@settings(max_examples=25, deadline=None)
def test_every_multiple_of_the_alignment_is_an_output_shape(config: UNetConfig, n: tuple[int, int, int]) -> None:
    output = tuple(i * a for i, a in zip(n, config.alignment_vx, strict=True))
    source = config.input_shape_vx(output)  # type: ignore[arg-type]
    assert config.output_shape_vx(source) == output
    if torch.tensor(source).prod() < 300_000:
        assert UNet(config)(torch.zeros(1, 1, *source)).shape[2:] == output


def test_an_impossible_shape_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"nearest is \(2, 16, 24\)"):
        ANISOTROPIC.input_shape_vx((2, 15, 24))
    nearest = ANISOTROPIC.input_shape_vx((2, 8, 8))
    with pytest.raises(UserError, match=str(nearest).replace("(", r"\(").replace(")", r"\)")):
        UNet(ANISOTROPIC)(torch.zeros(1, 1, nearest[0], nearest[1] + 1, nearest[2]))


def test_bad_architectures_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        UNetConfig(features=(2,), downsample=(), kernels=(((2, 3, 3),),))
    with pytest.raises(ValueError, match="one fewer of downsample"):
        UNetConfig(features=(2, 3), downsample=(), kernels=(FLAT, FLAT))


def test_shapes_need_no_torch() -> None:
    code = "import sys, neuroadda.backbones.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
