"""What is used of torch's private parts, which are named in this file only.

Functions that are missing are done without. What is imported at the top is needed: without it this module cannot be imported.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# First and last version of torch in which the operator is known to be as it is called below: tests/backbones/test_unet_inference.py
# passes with it. In others the plain operators take its place.
KNOWN_VERSIONS = (2, 6), (2, 13)


def find_fused_convolution() -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """Return max(0, 2-D convolution) of sections, weight and bias in one operator, or None where torch lacks it.

    It is what torch's compiler uses: features pass through memory once.
    """
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if version is None or not KNOWN_VERSIONS[0] <= (int(version[1]), int(version[2])) <= KNOWN_VERSIONS[1]:
        return None
    operator = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    if operator is None or not torch.backends.mkldnn.is_available():
        return None

    def convolve(sections: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        padding, stride, dilation, groups = [0, 0], [1, 1], [1, 1], 1
        rectified: Tensor = operator(sections, weight, bias, padding, stride, dilation, groups, "relu", [], "")
        return rectified

    return convolve


def has_bfloat16() -> bool:
    """Return whether this CPU computes in bfloat16 natively; False where torch does not tell."""
    asked = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(supported() for supported in asked if supported is not None)


def end_workers(batches: object) -> None:
    """End the processes that make batches for an iterator of a `DataLoader`, if it has any; else they end with the iterator."""
    getattr(batches, "_shutdown_workers", lambda: None)()


class TensorCounter(TorchDispatchMode):
    """Follows the bytes of all tensors that live inside of it.

    Attributes
    ----------
    peak
        The most that they were.
    """

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
        """Call an operator and count what it returns."""
        out = func(*args, **(kwargs or {}))
        self._bytes = {storage: size for storage, size in self._bytes.items() if not storage.expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                self._bytes[StorageWeakRef(storage)] = storage.nbytes()
        self.peak = max(self.peak, sum(self._bytes.values()))
        return out
