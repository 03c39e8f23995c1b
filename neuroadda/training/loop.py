"""A training between its first and last iteration: batches go to the learner; the first process logs, validates and saves."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import Backbone, save_backbone
from neuroadda.errors import RunFailed, RunStopped, SettingError
from neuroadda.observing import RunObserver
from neuroadda.training.config import TrainConfig
from neuroadda.training.dataset import Batch, load_batches
from neuroadda.training.distributed import Processes
from neuroadda.training.history import VALIDATION
from neuroadda.training.learner import Learner, learning_rate
from neuroadda.training.report import TrainingLog
from neuroadda.training.sample import Sample
from neuroadda.training.state import TrainingProgress, save_state
from neuroadda.training.stopping import StopRequest
from neuroadda.volumes.identity.inputs import Inputs

Validate = Callable[[Backbone], dict[str, float]]


@dataclass(frozen=True)
class CheckedTraining:
    """A training that can begin.

    Attributes
    ----------
    fingerprint
        Of all that determines its result.
    inputs
        Of its folder.
    """

    config: TrainConfig
    samples: list[Sample]
    start: Backbone | None
    fingerprint: str
    inputs: Inputs


class Run:
    """A training in one of its processes."""

    def __init__(self, checked: CheckedTraining, validate: Validate | None, processes: Processes) -> None:
        self.checked, self.config = checked, checked.config
        self.validate, self.processes = validate, processes
        self.learner = Learner(checked.config, processes)
        self.progress = TrainingProgress()
        self._stop = StopRequest()
        self._first: Batch | None = None
        self._made_seconds, self._clock = 0.0, time.process_time()

    @property
    def is_over(self) -> bool:
        """Whether no iteration and no validation is left: all are done, or the last validations brought nothing better."""
        patience, state = self.config.patience, self.progress
        out_of_patience = 0 < patience <= state.validations_since_best
        return (state.iteration == self.config.iterations or out_of_patience) and not self._owes_validation

    def finish(self, observer: RunObserver) -> None:
        """Do the iterations that are left, and write the backbone.

        Raises
        ------
        RunFailed
            If the loss is no longer a number, or another process is gone.
        RunStopped
            On SIGINT or SIGTERM, after the iteration; a checkpoint is written.
        """
        self._follow_first()
        if self.processes.count > 1:
            self.learner.unpack(self.processes.from_first(self.learner.pack))
        config, first = self.config, self.processes.first
        done = self.progress.iteration
        with (
            self._stop,
            TrainingLog(config.output, config.name, config.iterations, done, observer)
            if first
            else nullcontext() as report,
            closing(load_batches(config, done, self.processes.rank)) as batches,
        ):
            self._validate_if_due(report)  # a training that was stopped in a validation begins with that
            self._clock = time.process_time()
            while not self.is_over:
                self._iterate(batches, report)
                self._stop_if_asked(observer)
                self._validate_if_due(report)
                if report and (self.is_over or self._is_due(config.checkpoint_every, at_last=True)):
                    self.save()
            if first and not config.keep_best:
                self._write("backbone")
            self._stop_if_asked(observer)  # what would follow the training is not wanted

    def save(self) -> None:
        """Write a checkpoint."""
        folder = self.config.output / "checkpoints"
        save_state(folder, self.checked.fingerprint, self.progress, self.learner.pack())

    def _iterate(self, batches: Iterator[Batch], report: TrainingLog | None) -> None:
        config, state = self.config, self.progress
        rate = learning_rate(config, state.iteration)
        loss, logits = self.learner.learn(self._take(batches), state.iteration, rate)
        state.iteration += 1
        state.losses.append(loss)
        before, self._clock = self._clock, time.process_time()
        state.cpu_seconds += self.processes.total(self._clock - before + self._made_seconds)
        if not math.isfinite(loss):
            right = f"lower learning_rate ({config.learning_rate}), with another output or --overwrite"
            raise RunFailed(f"the loss is {loss} at iteration {state.iteration}: {right}")
        if report:
            report.log(state.iteration, {"loss": loss, "lr": rate, "cpu_seconds": round(state.cpu_seconds, 2)})
        if report and self._is_due(config.picture_every):
            assert self._first is not None
            raw, labels, affs = (self._first[key][0].numpy() for key in ("raw", "labels", "affs"))
            report.draw(state.iteration, raw[0], labels, affs, torch.sigmoid(logits[0].float()).cpu().numpy())

    def _stop_if_asked(self, observer: RunObserver) -> None:
        """Write a checkpoint and end, if one of the processes was asked to."""
        if not self.processes.total(float(self._stop.signum is not None)):
            return
        if self.processes.first:
            self.save()
            config, iteration = self.config, self.progress.iteration
            told = f"stopped after iteration {iteration} of {config.iterations}; a checkpoint is written"
            observer.on_note(f"{config.name}: {told}")
        raise RunStopped(self._stop.signum or signal.SIGTERM)

    @property
    def _owes_validation(self) -> bool:
        """Whether the last iteration is to be validated, and was not."""
        due = self.validate is not None and self._is_due(self.config.validate_every)
        return due and self.progress.validated < self.progress.iteration

    def _validate_if_due(self, report: TrainingLog | None) -> None:
        if not self._owes_validation:
            return
        if report:
            try:
                self._validate(report)
            except RunStopped:
                self.save()  # the validation is still owed
                raise
        self._follow_first()
        self._clock = time.process_time()

    def _take(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield this process's batches of an iteration, counting what they cost; the first is kept to be drawn."""
        self._first, self._made_seconds = None, 0.0
        for batch in islice(batches, self.config.accumulate // self.processes.count):
            self._first = self._first or batch
            if self.config.workers:  # otherwise it was this process that made it
                self._made_seconds += float(batch["cpu_seconds"].sum())
            yield batch

    def _is_due(self, every: int, at_last: bool = False) -> bool:
        iteration, last = self.progress.iteration, self.config.iterations
        return (every > 0 and iteration % every == 0) or ((every > 0 or at_last) and iteration == last)

    def _follow_first(self) -> None:
        """Take over how far the first process is, whose validation may say that it is far enough."""
        if self.processes.count > 1:
            known = self.processes.from_first(lambda: json.dumps(vars(self.progress)).encode())
            self.progress = TrainingProgress(**json.loads(known))

    def _validate(self, report: TrainingLog) -> None:
        assert self.validate is not None
        state, key = self.progress, self.config.keep_best
        card = self._write("candidate")
        with self._stop.at_once():
            metrics = self.validate(Backbone(self.learner.network, card, self.config.output / "candidate"))
        state.validated = state.iteration
        if "voi" in metrics:
            state.curve.append((state.iteration, round(metrics["voi"], 4)))
        torch.set_num_threads(self.config.threads)
        report.log(state.iteration, {f"{VALIDATION}{k}": v for k, v in metrics.items()})
        if key is None:
            state.metrics = metrics
            return
        if key not in metrics:
            raise SettingError(f"the validation gives no {key!r}", "keep_best", f"it gives {', '.join(metrics)}")
        state.validations_since_best += 1
        if state.best is None or metrics[key] < state.best:
            state.best, state.metrics, state.validations_since_best = metrics[key], metrics, 0
            self._write("backbone")

    def _write(self, name: str) -> Card:
        config, state, samples = self.config, self.progress, self.checked.samples
        z, y, x = np.exp(np.mean([np.log(s.raw.voxel_size_nm) for s in samples], axis=0)).round(3).tolist()
        provenance = [
            {
                **s.config.provenance,
                "raw": s.config.raw,
                "raw_fingerprint": s.raw.fingerprint,
                "labels": s.config.labels,
                "offset": list(s.roi.offset),
                "shape": list(s.roi.shape),
            }
            for s in samples
        ]
        card = Card(
            name=config.name,
            domain=config.domain,
            organism=config.organism,
            region=config.region,
            modality=config.modality,
            voxel_size_nm=(z, y, x),
            architecture=config.architecture.with_out_channels(len(config.offsets)),
            offsets=config.offsets,
            training_data=(*provenance, *(self.checked.start.card.training_data if self.checked.start else ())),
            metrics=state.metrics,
            learning_curve=tuple((iteration, voi) for iteration, voi in state.curve),
            iterations=state.iteration,
            cpu_minutes=round(state.cpu_seconds / 60, 3),
        )
        return save_backbone(config.output / name, self.learner.network, card)
