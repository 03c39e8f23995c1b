"""How the batches of an iteration, shared by the processes, become the gradients of one step."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from neuroadda.training.dataset import Batch
from neuroadda.training.distributed import Processes

ComputeLoss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]
"""Given a network and a batch, returns the loss and the logits."""


class Reduction(Protocol):
    """Leaves the mean gradient of an iteration's batches in the network's parameters."""

    def run(self, batches: Iterable[Batch], compute_loss: ComputeLoss) -> tuple[float, Tensor]:
        """Learn from this process's batches; return the mean loss of all, and the logits of this process's first batch."""
        ...


class OrderedReduction:
    """Adds gradients in the order of the batches, so that the result has the same bits for any number of processes.

    Each batch has its own loss and starts from the same running statistics; these run on to the mean over the batches.
    """

    def __init__(self, network: nn.Module, processes: Processes, accumulate: int) -> None:
        self._network, self._processes, self._accumulate = network, processes, accumulate
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._statistics = [
            buffer
            for norm in network.modules()
            if isinstance(norm, nn.BatchNorm2d) and norm.training  # those of frozen levels do not
            for buffer in norm.buffers()
            if buffer.is_floating_point()
        ]

    def run(self, batches: Iterable[Batch], compute_loss: ComputeLoss) -> tuple[float, Tensor]:
        """Learn from this process's batches; see `Reduction`."""
        before = [buffer.clone() for buffer in self._network.buffers()]
        said: list[Tensor] = []

        def teach(batch: Batch) -> Tensor:
            for buffer, value in zip(self._network.buffers(), before, strict=True):
                buffer.copy_(value)
            loss, logits = compute_loss(self._network, batch)
            self._network.zero_grad(set_to_none=True)
            loss.backward()
            if not said:
                said.append(logits.detach())
            return torch.cat([part.reshape(-1) for part in (*self._taught(), loss.detach())])

        total = self._processes.add(teach(batch) for batch in batches)
        *parts, loss = (total / self._accumulate).split([*(p.numel() for p in self._taught()), 1])
        for part, values in zip(self._taught(), parts, strict=True):
            part.copy_(values.view_as(part))
        return float(loss), said[0]

    def _taught(self) -> list[Tensor]:
        return [*(p.grad for p in self._parameters if p.grad is not None), *self._statistics]


class TorchReduction:
    """torch's DistributedDataParallel: gradients are sent while others are still computed, and added in an order of its own.

    Batch norms keep the running statistics of the first process.
    """

    def __init__(self, network: nn.Module, processes: Processes, accumulate: int, device: torch.device) -> None:
        self._network, self._processes, self._accumulate = network, processes, accumulate
        self._module: Any = network
        if processes.count > 1:
            devices = [device] if device.type == "cuda" else None
            self._module = DistributedDataParallel(network, device_ids=devices)

    def run(self, batches: Iterable[Batch], compute_loss: ComputeLoss) -> tuple[float, Tensor]:
        """Learn from this process's batches; see `Reduction`."""
        mine = self._accumulate // self._processes.count
        losses, said = 0.0, None
        self._network.zero_grad(set_to_none=True)
        for number, batch in enumerate(batches, 1):
            alone = number < mine and self._processes.count > 1
            with self._module.no_sync() if alone else nullcontext():  # the last batch sends the sum of all
                loss, logits = compute_loss(self._module, batch)
                (loss / mine).backward()
            losses += float(loss.detach())
            said = logits.detach() if said is None else said
        assert said is not None
        return self._processes.total(losses) / self._accumulate, said
