"""Blocks in flight: what several threads have read is computed in the caller's thread, one block at a time."""

import gc
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import Block, BlockGrid
from neuroadda.blockwise.overlap import Overlap, Phases
from tests.waiting import PATIENCE_SECONDS

GRID = BlockGrid.make(Roi((0, 0, 0), (12, 1, 1)), Coordinate(1, 1, 1), (1, 1, 1))
THREADS = 3


def do_all(compute: Callable[[int], int], read: Callable[[], object] = lambda: None) -> dict[int, int]:
    """Do all blocks of a grid in flight; return what was written. A block that fails is left out."""
    written, overlap, left = {}, Overlap(THREADS), iter(list(GRID.blocks()))  # a generator is not for several threads

    def read_index(block: Block) -> int:
        read()
        return block.index

    def write(block: Block, computed: int) -> dict[str, int]:
        written[block.index] = computed
        return {}

    def work() -> None:
        for block in left:
            with suppress(ValueError):
                overlap.apply(Phases(read_index, compute, write), block)

    overlap.run(work)
    return written


def test_blocks_are_read_side_by_side_and_computed_in_the_callers_thread():
    at_once, threads = threading.Barrier(THREADS, timeout=PATIENCE_SECONDS), []

    def square(index: int) -> int:
        threads.append(threading.get_ident())
        return index**2

    assert do_all(square, at_once.wait) == {i: i**2 for i in range(len(GRID))}
    assert threads == len(GRID) * [threading.get_ident()]


def test_what_cannot_be_computed_is_an_error_of_its_block():
    def compute(index: int) -> int:
        if index % 4 == 0:
            raise ValueError(index)
        return index

    assert do_all(compute) == {i: i for i in range(len(GRID)) if i % 4}


def test_what_an_error_held_is_free_once_it_is_dealt_with():
    held: list[weakref.ref[np.ndarray]] = []

    def compute(index: int) -> int:
        large = np.zeros(8)
        held.append(weakref.ref(large))
        raise ValueError(large.shape)

    gc.disable()
    try:
        do_all(compute)
        assert [one() for one in held] == [None] * len(GRID)
    finally:
        gc.enable()


def test_other_errors_end_the_run():
    def compute(index: int) -> int:
        return [0, 1][index]

    with pytest.raises(IndexError):
        do_all(compute)


def test_an_interrupt_leaves_no_thread_waiting():
    def compute(index: int) -> int:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        do_all(compute)
    assert threading.active_count() == before
