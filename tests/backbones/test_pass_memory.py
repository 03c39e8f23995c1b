"""The memory of a pass is counted as torch would count it, tensor by tensor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neuroadda.backbones.architecture import UNetConfig
from neuroadda.backbones.memory import count_pass_values
from neuroadda.backbones.unet import UNet


class _TensorCounter(TorchDispatchMode):
    """Follows the bytes of all tensors that live inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._bytes: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self._bytes = {storage: size for storage, size in self._bytes.items() if not storage.expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._bytes[StorageWeakRef(storage)] = storage.nbytes()
        self.peak = max(self.peak, sum(self._bytes.values()))
        return out


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("wanted_vx", [(1, 8, 8), (12, 60, 120), (36, 252, 252)])
@pytest.mark.parametrize(
    "architecture",
    [
        UNetConfig(),
        UNetConfig(features=(16, 32, 64), downsample=((2, 2, 2),) * 2, kernels=(((3, 3, 3),) * 2,) * 3),
        UNetConfig(
            in_channels=2,
            features=(4, 8, 8),
            downsample=((1, 3, 3), (3, 1, 1)),
            kernels=(((1, 3, 3),), ((3, 3, 3), (1, 5, 5), (1, 1, 1)), ((5, 3, 1),)),
        ),
        UNetConfig(features=(6,), downsample=(), kernels=(((3, 3, 3),),)),
    ],
    ids=["anisotropic", "isotropic", "odd", "flat"],
)
def test_a_pass_holds_the_values_that_were_counted(architecture, wanted_vx, precision):
    tile_vx = architecture.nearest_output_shape_vx(wanted_vx)
    shape = (1, architecture.in_channels, *architecture.input_shape_vx(tile_vx))
    model = UNet(architecture).eval().to(precision).to("meta")
    weights = sum(weight.numel() for weight in model.parameters())
    with torch.inference_mode(), _TensorCounter() as counter:
        model(torch.empty(shape, dtype=precision, device="meta"))
    beside = counter.peak / precision.itemsize - count_pass_values(architecture, tile_vx)
    assert 0 <= beside <= 2 * weights  # which every layer turns to channels last, in two steps
