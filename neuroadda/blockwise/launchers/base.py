"""What starts the workers of a task: on this machine, or as jobs of a cluster."""

from abc import ABC, abstractmethod
from typing import Any, Literal, NamedTuple

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
