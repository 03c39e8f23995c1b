"""Train a backbone; killed at any moment, it goes on from its last checkpoint to the same weights."""

import copy
import math
import shutil
import time
from collections.abc import Callable
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from neuroadda.backbones.card import Card, load_card
from neuroadda.backbones.checkpoint import Backbone, load_backbone, save_backbone
from neuroadda.backbones.devices import resolve_device, resolve_precision
from neuroadda.backbones.unet import UNet, fold
from neuroadda.config import dump_config, write_json
from neuroadda.errors import RunFailed, UserError
from neuroadda.training.config import TrainConfig, training_fingerprint
from neuroadda.training.dataset import Batch, load_batches
from neuroadda.training.losses import affinity_loss
from neuroadda.training.report import Report
from neuroadda.training.sample import RandomSample, Sample, open_sample
from neuroadda.training.start import adopt_network, calibrate_norms, freeze, group_parameters, take_weights
from neuroadda.training.state import Progress, find_state, load_state, save_state

Validate = Callable[[Backbone], dict[str, float]]
CALIBRATION_BATCHES = 4


def train(
    config: TrainConfig, validate: Validate | None = None, progress: bool = True, overwrite: bool = False
) -> Card:
    """Train a backbone and write it to ``<output>/backbone``.

    The run's folder also holds ``config.json``, ``metrics.jsonl``, ``tensorboard/``, ``pictures/`` and
    ``checkpoints/``. Training resumes from the newest whole checkpoint; when it is finished already, the card is
    returned at once.

    Parameters
    ----------
    config
        What to do.
    validate
        Called every `config.validate_every` iterations with the backbone so far; returns metrics.
    progress
        Show a progress bar (plain lines when this is not a terminal).
    overwrite
        Begin anew where another training (other data or parameters) lies in the output folder.

    Raises
    ------
    UserError
        If a sample cannot be trained on, the backbone to start from does not fit, the device cannot train in the precision,
        or another training lies in the output folder.
    RunFailed
        If the loss is no longer a number.
    """
    if config.keep_best and validate is None:
        raise UserError(
            "keep_best is set, but there is no validation", "keep_best", "leave it out or give a validation volume"
        )
    resolve_precision(config.precision, resolve_device(config.device), training=True)
    config = adopt_network(config)
    start = None if config.start is None else load_backbone(config.start.backbone)
    samples = [open_sample(sample, config.output_shape_vx) for sample in config.samples]
    for sample in samples:
        RandomSample(sample, config.output_shape_vx).place()  # a sample without labels fails here, in one line
    sizes = {sample.raw.voxel_size_nm for sample in samples}
    if len(sizes) > 1 and not config.any_voxel_size:
        right = "train on one voxel size, or set any_voxel_size = true"
        raise UserError(f"samples have different voxel sizes {sorted(sizes)}", "samples", right)
    volumes = [v.fingerprint for s in samples for v in (s.raw, s.labels, s.mask) if v]
    mine = training_fingerprint(config, volumes, start.card.digest if start else None)
    found = find_state(config.output / "checkpoints")
    if found and found[1] != mine:
        if not overwrite:
            right = "give another output, or --overwrite"
            raise UserError("another training (other data or parameters) lies here", str(config.output), right)
        found = None
    if found is None:
        if (config.output / "backbone").exists() and not overwrite:
            raise UserError("a backbone lies here already", str(config.output), "give another output, or --overwrite")
        for name in ("checkpoints", "tensorboard", "pictures", "backbone", "candidate"):
            shutil.rmtree(config.output / name, ignore_errors=True)
        (config.output / "metrics.jsonl").unlink(missing_ok=True)
    run = _Run(config, samples, start, mine, validate)
    if found is None:
        if start is not None:
            run.begin_from(start)
        if config.keep_best:  # a best backbone may be there before the first checkpoint is due
            run.save()
    if found:
        run.progress = load_state(found[0], run.model, run.average, run.optimizer)
        if run.progress.iteration == config.iterations or run.out_of_patience:
            try:
                return load_backbone(config.output / "backbone").card
            except UserError as error:
                # killed while it wrote its last backbone, it writes it again; the best one is past
                if config.keep_best:
                    right = "--overwrite trains it again"
                    raise UserError(
                        "the training is finished, but its backbone is missing or damaged", str(config.output), right
                    ) from error
    write_json(config.output / "config.json", dump_config(config))
    return run.finish(progress)


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """Return the learning rate of an iteration: linear warm-up, then cosine decay to 0."""
    if iteration < config.warm_up:
        return config.learning_rate * (iteration + 1) / (config.warm_up + 1)
    done = (iteration - config.warm_up) / max(1, config.iterations - config.warm_up)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


class _Run:
    """A training between its first and last iteration."""

    def __init__(
        self,
        config: TrainConfig,
        samples: list[Sample],
        start: Backbone | None,
        fingerprint: str,
        validate: Validate | None,
    ) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self.config, self.fingerprint, self.validate, self.samples = config, fingerprint, validate, samples
        self.seen_before = start.card.training_data if start else ()
        self.device = torch.device(resolve_device(config.device))
        self.bfloat16 = resolve_precision(config.precision, self.device.type, training=True) == "bfloat16"
        self.layout = torch.channels_last_3d if config.channels_last else torch.contiguous_format
        self.model = UNet(config.architecture, config.batch_norm).to(self.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        freeze(self.model, config.start.frozen_levels if config.start else 0)
        self.average = copy.deepcopy(self.model) if config.ema else None
        self.optimizer = torch.optim.AdamW(
            group_parameters(self.model, config), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.progress = Progress()

    @property
    def out_of_patience(self) -> bool:
        """Whether the last validations brought nothing better."""
        return 0 < self.config.patience <= self.progress.validations_since_best

    def begin_from(self, backbone: Backbone) -> None:
        """Take a backbone's weights; batch norms begin without effect on the first batches of this training."""
        take_weights(self.model, self.config, backbone)
        if self.config.batch_norm:
            first = islice(load_batches(self.config, 0), CALIBRATION_BATCHES)
            calibrate_norms(self.model, [batch["raw"].to(self.device, memory_format=self.layout) for batch in first])
        if self.average is not None:
            self.average.load_state_dict(self.model.state_dict())

    def finish(self, show: bool) -> Card:
        config, state = self.config, self.progress
        with Report(config.output, config.name, config.iterations, state.iteration, show) as report:
            before = time.process_time()
            for batch in load_batches(config, state.iteration):
                rate = learning_rate(config, state.iteration)
                loss, logits = self._step(batch, rate)
                state.iteration += 1
                state.losses.append(loss)
                made = float(batch["cpu_seconds"].sum()) if config.workers else 0.0
                now = time.process_time()
                state.cpu_seconds, before = state.cpu_seconds + now - before + made, now
                if not math.isfinite(loss):
                    raise RunFailed(
                        f"the loss is {loss} at iteration {state.iteration}: lower learning_rate ({config.learning_rate})"
                    )
                report.log(state.iteration, {"loss": loss, "lr": rate, "cpu_seconds": round(state.cpu_seconds, 2)})
                if _due(config.picture_every, state.iteration, config.iterations):
                    raw, labels, affs = (batch[k][0].numpy() for k in ("raw", "labels", "affs"))
                    report.draw(
                        state.iteration, raw[0], labels, affs, torch.sigmoid(logits[0].detach().float()).cpu().numpy()
                    )
                if self.validate and _due(config.validate_every, state.iteration, config.iterations):
                    self._validate(report)
                    before = time.process_time()
                last = state.iteration == config.iterations or self.out_of_patience
                if last or _due(config.checkpoint_every, state.iteration, config.iterations):
                    self.save()
                if self.out_of_patience:
                    break
        if config.keep_best:
            return load_card(config.output / "backbone")
        return self._save("backbone")

    def save(self) -> None:
        """Write a checkpoint."""
        folder = self.config.output / "checkpoints"
        save_state(folder, self.fingerprint, self.progress, self.model, self.average, self.optimizer)

    def _step(self, batch: Batch, rate: float) -> tuple[float, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        raw = batch["raw"].to(self.device, memory_format=self.layout)
        affs, mask = batch["affs"].to(self.device), batch["mask"].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.model(raw, self.config.is_padded(self.progress.iteration))
        loss = affinity_loss(logits, affs, mask, self.config.loss, self.config.nearest_channels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient)
        self.optimizer.step()
        if self.average is not None:
            # a young average is a plain mean, or the first, random weights would stay in it
            decay = min(self.config.ema, self.progress.iteration / (self.progress.iteration + 10))
            with torch.no_grad():
                for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                    mean.lerp_(value, 1 - decay)
                for mean_buffer, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
                    mean_buffer.copy_(buffer)
        return float(loss.detach()), logits

    def _validate(self, report: Report) -> None:
        assert self.validate is not None
        state, key = self.progress, self.config.keep_best
        card = self._save("candidate")
        metrics = self.validate(Backbone(fold(self.average or self.model), card, self.config.output / "candidate"))
        torch.set_num_threads(self.config.threads)
        report.log(state.iteration, {f"validation_{k}": v for k, v in metrics.items()})
        if key is None:
            state.metrics = metrics
            return
        if key not in metrics:
            raise UserError(f"validation gives no {key!r}", "keep_best", f"it gives {', '.join(metrics)}")
        state.validations_since_best += 1
        if state.best is None or metrics[key] < state.best:
            state.best, state.metrics, state.validations_since_best = metrics[key], metrics, 0
            self._save("backbone")

    def _save(self, name: str) -> Card:
        config, state = self.config, self.progress
        z, y, x = np.exp(np.mean([np.log(s.raw.voxel_size_nm) for s in self.samples], axis=0)).round(3).tolist()
        provenance = [
            {
                **s.config.provenance,
                "raw": s.config.raw,
                "labels": s.config.labels,
                "offset": list(s.roi.offset),
                "shape": list(s.roi.shape),
            }
            for s in self.samples
        ]
        card = Card(
            name=config.name,
            domain=config.domain,
            organism=config.organism,
            region=config.region,
            modality=config.modality,
            voxel_size_nm=(z, y, x),
            architecture=config.architecture,
            offsets=config.offsets,
            training_data=(*provenance, *self.seen_before),
            metrics=state.metrics,
            iterations=state.iteration,
            cpu_minutes=round(state.cpu_seconds / 60, 3),
        )
        return save_backbone(config.output / name, fold(self.average or self.model), card)


def _due(every: int, iteration: int, last: int) -> bool:
    return every > 0 and (iteration % every == 0 or iteration == last)
