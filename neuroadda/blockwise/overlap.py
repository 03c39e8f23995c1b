"""Several blocks at work at once in one process: while one is computed, the next are read and the last are written."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from neuroadda.blockwise.grid import Block

ReadT = TypeVar("ReadT")
ComputedT = TypeVar("ComputedT")


@dataclass(frozen=True)
class Phases(Generic[ReadT, ComputedT]):
    """A block's work in three phases: of the blocks in flight one is computed at a time, others are read and written meanwhile."""

    read: Callable[[Block], ReadT]
    compute: Callable[[ReadT], ComputedT]
    write: Callable[[Block, ComputedT], dict[str, Any]]

    def __call__(self, block: Block) -> dict[str, Any]:
        """Do a block, one phase after another."""
        return self.write(block, self.compute(self.read(block)))


class Overlap:
    """Threads that do blocks side by side; what they have read is computed by the thread that calls `run`.

    That should be the main thread. glibc has a heap for each thread, but only the main thread's holds tensors of any size. Blocks
    that were read into it would lie between a network's tensors, and with every block it could grow by gaps that fit none.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[Any], Any], Any] | None] = SimpleQueue()
        self._is_over = False

    def run(self, work: Callable[[], None]) -> None:
        """Call `work` in every thread, which does blocks by `apply`, and return when all have; raise what one raises."""
        if self._threads == 1:
            return work()
        with ThreadPoolExecutor(self._threads) as pool:
            ends = [pool.submit(work) for _ in range(self._threads)]
            for end in ends:
                end.add_done_callback(lambda _: self._waiting.put(None))
            try:
                self._compute(len(ends))
            finally:
                self._cancel_waiting()
        for end in ends:
            end.result()

    def apply(self, function: Callable[[Block], dict[str, Any]], block: Block) -> dict[str, Any]:
        """Do a block, inside of `run`: its phases, if it has phases, in the threads that they are for."""
        if self._threads == 1 or not isinstance(function, Phases):
            return function(block)
        return function.write(block, self._wait_for_turn(function.compute, function.read(block)))

    def _wait_for_turn(self, compute: Callable[[ReadT], ComputedT], read: ReadT) -> ComputedT:
        computed: Future[ComputedT] = Future()
        self._waiting.put((computed, compute, read))
        if self._is_over:  # nobody takes turns any more
            computed.cancel()
        try:
            return computed.result()
        finally:
            del computed  # or an error and what it holds would live on, in a circle with its own traceback

    def _compute(self, threads: int) -> None:
        while threads:
            turn = self._waiting.get()
            if turn is None:
                threads -= 1
            else:
                _take_turn(*turn)
            del turn  # what has been computed is not held while this waits

    def _cancel_waiting(self) -> None:
        self._is_over = True
        while not self._waiting.empty():
            if turn := self._waiting.get():
                turn[0].cancel()


def _take_turn(computed: Future[Any], compute: Callable[[Any], Any], read: Any) -> None:
    try:
        computed.set_result(compute(read))
    except BaseException as error:
        computed.set_exception(error)  # raised where the block is done
        if not isinstance(error, Exception):
            raise
    finally:
        del computed, read
