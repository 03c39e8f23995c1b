"""What starts the workers of a task: on this machine, or as jobs of a cluster."""

import socket
import time
from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

from neuroadda.blockwise.job import find_scheduler

LEAVE_SECONDS = 60.0  # for a worker's last records, when all blocks are dealt out

# What a worker is told: the fields of a task's orders, see `Dispatcher.order`.
Orders = dict[str, Any]


class Ending(NamedTuple):
    """How a worker has ended.

    Attributes
    ----------
    how
        ``left``: there were no more blocks for it; ``died``; ``taken``: its cluster wanted the place, or lost it.
    detail
        What is known of it, such as ``exit code 1``.
    """

    how: Literal["left", "died", "taken"]
    detail: str = ""


class Patience:
    """How long workers have once one has left, since there was nothing more to do: a block's time, or little when all is over.

    Who has not left by then is frozen, and its block was done by another.
    """

    def __init__(self, context: str, block_timeout: float) -> None:
        self._context, self._block_timeout = context, block_timeout
        self._deadline: float | None = None
        self._knows_end = False

    @property
    def has_begun(self) -> bool:
        """Whether a worker has left."""
        return self._deadline is not None

    def begin(self) -> None:
        """Note that a worker has left just now."""
        self._deadline, self._knows_end = time.monotonic() + self._block_timeout, False

    def is_exhausted(self) -> bool:
        """Tell whether those that are left are frozen."""
        if self._deadline is None:
            return False
        if not self._knows_end and is_over(self._context):
            self._knows_end = True
            self._deadline = min(self._deadline, time.monotonic() + LEAVE_SECONDS)
        return time.monotonic() > self._deadline


def is_over(context: str) -> bool:
    """Tell whether daisy, on this machine, has dealt out all blocks and waits for no more workers."""
    try:
        socket.create_connection(find_scheduler(context)).close()
    except OSError:
        return True
    return False


class Launcher(ABC):
    """Starts workers of one task, known by a number each, and tells how they ended."""

    @abstractmethod
    def start(self, number: int) -> None:
        """Start a worker.

        Raises
        ------
        UserError
            If the cluster does not take it.
        """

    @abstractmethod
    def wait(self) -> dict[int, Ending]:
        """Return how workers have ended since the last call, by number, when at least one has.

        Raises
        ------
        UserError
            If as many died as were started at first, and not one could begin.
        """

    def dismiss_waiting(self) -> list[int]:
        """Cancel workers that have not begun, since there are no more blocks for them; return their numbers."""
        return []

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind that the workers needed, now that they have ended or are not wanted."""
