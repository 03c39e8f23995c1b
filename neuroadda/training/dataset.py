"""Batches for torch: sample i of a training depends on its seed and i alone, whichever process makes it."""

import time
from collections.abc import Generator
from itertools import chain
from typing import Any

import gunpowder as gp
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from neuroadda.backbones.private_torch import end_workers
from neuroadda.errors import UserError
from neuroadda.training.config import TrainConfig
from neuroadda.training.ranks import Rank
from neuroadda.training.requests import AFFS, AFFS_MASK, make_pipeline, make_request
from neuroadda.training.sample import LABELS, RAW, open_sample
from neuroadda.training.stopping import hold_signals, obey_parent

Batch = dict[str, Any]


class AffinityDataset(Dataset[Batch]):
    """Map-style: item i holds raw, affs, mask and labels as arrays, and the CPU seconds that making it took.

    Each process builds its own pipeline, on first use.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self._pipeline: gp.Pipeline | None = None
        self._accounted = 0.0

    def __len__(self) -> int:
        return self.config.iterations * self.config.samples_an_iteration

    def __getitem__(self, index: int) -> Batch:
        if self._pipeline is None:
            torch.set_num_threads(self.config.threads if torch.utils.data.get_worker_info() is None else 1)
            self._accounted = time.process_time() if torch.utils.data.get_worker_info() is None else 0.0
            samples = [open_sample(s, self.config.output_shape_vx) for s in self.config.samples]
            self._pipeline = make_pipeline(self.config, samples)
            self._pipeline.setup()
        seed = int(np.random.SeedSequence([self.config.seed, index]).generate_state(1)[0])
        padded = self.config.is_padded(index // self.config.samples_an_iteration)
        try:
            batch = self._pipeline.request_batch(make_request(self.config, seed, padded))
        except gp.PipelineRequestError as error:
            if (found := _find_user_error(error)) is None:
                raise
            raise found from None
        now = time.process_time()
        seconds, self._accounted = now - self._accounted, now
        return {
            "raw": np.ascontiguousarray(batch[RAW].data, np.float32)[None],
            "affs": np.ascontiguousarray(batch[AFFS].data, np.uint8),
            "mask": np.ascontiguousarray(batch[AFFS_MASK].data, np.uint8),
            "labels": np.ascontiguousarray(batch[LABELS].data, np.int32),
            "cpu_seconds": seconds,
        }


def _find_user_error(error: BaseException | None) -> UserError | None:
    """Return what a user can mend (a damaged chunk, a negative id) of what gunpowder wraps."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def load_batches(config: TrainConfig, start: int, rank: Rank = Rank()) -> Generator[Batch, None, None]:
    """Yield the batches of iterations `start` to the end, in order, made by `config.workers` processes.

    Of each iteration a process among several gets an equal stretch of the batches: together they draw the samples that one alone
    would draw.

    Raises
    ------
    UserError
        If voxels cannot be read, or an id is negative.
    """
    share = config.samples_an_iteration // rank.count
    firsts = range(start * rank.count + rank.index, config.iterations * rank.count, rank.count)
    loader = DataLoader(
        AffinityDataset(config),
        batch_size=config.batch_size,
        sampler=chain.from_iterable(range(first * share, (first + 1) * share) for first in firsts),
        num_workers=config.workers,
        generator=torch.Generator().manual_seed(config.seed),
        prefetch_factor=2 if config.workers else None,
        worker_init_fn=obey_parent,
    )
    batches = None
    try:
        with hold_signals():
            batches = iter(loader)
        yield from batches
    except UserError as error:
        if not config.workers:
            raise
        raise UserError(error.what.strip().rsplit("UserError: ", 1)[-1]) from error  # torch adds the worker's traceback
    finally:
        end_workers(batches)  # they are deaf to SIGTERM, and Python would wait for them at its exit
