"""What learns: a network, its moving average and an optimizer; one iteration takes a few batches and makes one step."""

import copy
import math
from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.devices import resolve_precision
from neuroadda.backbones.module import NetworkModule
from neuroadda.training.config import TrainConfig
from neuroadda.training.dataset import Batch, load_batches
from neuroadda.training.distributed import Processes
from neuroadda.training.losses import affinity_loss
from neuroadda.training.reduction import OrderedReduction, Reduction, TorchReduction
from neuroadda.training.start import calibrate_norms, freeze, group_parameters, take_weights
from neuroadda.training.state import pack_state, unpack_state

CALIBRATION_BATCHES = 4


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """Return the learning rate of an iteration: linear warm-up, then cosine decay to 0."""
    if iteration < config.warm_up:
        return config.learning_rate * (iteration + 1) / (config.warm_up + 1)
    done = (iteration - config.warm_up) / max(1, config.iterations - config.warm_up)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class Learner:
    """A network in training, the same in every process."""

    def __init__(self, config: TrainConfig, processes: Processes) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.processes = config, processes
        self.device = processes.pick_device(config.device)
        self.bfloat16 = resolve_precision(config.precision, self.device.type, training=True) == "bfloat16"
        self.layout = torch.channels_last_3d if config.channels_last else torch.contiguous_format
        self.model = config.architecture.build(config.batch_norm).to(self.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        freeze(self.model, config.start.frozen_levels if config.start else 0)
        self.average = copy.deepcopy(self.model) if config.ema else None
        self.optimizer = torch.optim.AdamW(
            group_parameters(self.model, config), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._reduction: Reduction
        if config.reduction == "ddp":
            self._reduction = TorchReduction(self.model, processes, config.accumulate, self.device)
        else:
            self._reduction = OrderedReduction(self.model, processes, config.accumulate)

    @property
    def network(self) -> NetworkModule:
        """What it has learned, as it predicts: a folded copy, of the average if there is one, without auxiliary channels."""
        return (self.average or self.model).fold().first_channels(len(self.config.offsets))

    def begin_from(self, backbone: Backbone) -> None:
        """Take a backbone's weights; batch norms begin without effect on the first batches of this training."""
        take_weights(self.model, self.config, backbone)
        if self.config.batch_norm and not self.model.keeps_norms:
            first = islice(load_batches(self.config, 0), CALIBRATION_BATCHES)
            calibrate_norms(self.model, [batch["raw"].to(self.device, memory_format=self.layout) for batch in first])
        if self.average is not None:
            self.average.load_state_dict(self.model.state_dict())

    def pack(self) -> bytes:
        """Return all that it is as safetensors."""
        return pack_state(self.model, self.average, self.optimizer)

    def unpack(self, data: bytes) -> None:
        """Become what was packed."""
        unpack_state(data, self.model, self.average, self.optimizer)

    def learn(self, batches: Iterable[Batch], iteration: int, rate: float) -> tuple[float, Tensor]:
        """Make the step of an iteration, from this process's batches and those of the others.

        Returns
        -------
        loss, logits
            The mean loss, and what the network said to this process's first batch.
        """
        padded = self.config.is_padded(iteration)
        loss, logits = self._reduction.run(batches, lambda network, batch: self._compute_loss(network, batch, padded))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.step()
        self._run_average(iteration)
        return loss, logits

    def _compute_loss(self, network: nn.Module, batch: Batch, padded: bool) -> tuple[Tensor, Tensor]:
        raw = batch["raw"].to(self.device, memory_format=self.layout)
        affs, mask = batch["affs"].to(self.device), batch["mask"].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = network(raw, padded)
        return affinity_loss(logits, affs, mask, self.config.loss, self.config.nearest_channels), logits

    def _run_average(self, iteration: int) -> None:
        if self.average is None:
            return
        # a young average is a plain mean, or the first, random weights would stay in it
        decay = min(self.config.ema, iteration / (iteration + 10))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
            for mean_buffer, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
                mean_buffer.copy_(buffer)
