"""Batch i depends on the seed and i alone."""

from collections.abc import Callable

import numpy as np

from neuroadda.training.config import TrainConfig
from neuroadda.training.dataset import AffinityDataset, load_batches

KEYS = ("raw", "affs", "mask", "labels")


def test_any_number_of_workers_makes_the_same_batches(configure: Callable[..., TrainConfig]) -> None:
    def batches(workers: int, start: int = 0) -> list[dict[str, np.ndarray]]:
        config = configure(workers=workers, iterations=5, batch_size=2, padded=0.5)
        return [{k: b[k].numpy() for k in KEYS} for b in load_batches(config, start)]

    alone = batches(0)
    assert len(alone) == 5
    assert alone[0]["raw"].shape[:2] == (2, 1)
    for workers, start in ((1, 0), (2, 0), (2, 2), (0, 3)):
        for expected, got in zip(alone[start:], batches(workers, start), strict=True):
            for key in KEYS:
                np.testing.assert_array_equal(got[key], expected[key])


def test_the_seed_matters(configure: Callable[..., TrainConfig]) -> None:
    first, again = AffinityDataset(configure(seed=1)), AffinityDataset(configure(seed=1))
    other = AffinityDataset(configure(seed=2))
    np.testing.assert_array_equal(first[3]["raw"], again[3]["raw"])
    assert not np.array_equal(first[3]["raw"], other[3]["raw"])
    assert not np.array_equal(first[3]["raw"], first[4]["raw"])
