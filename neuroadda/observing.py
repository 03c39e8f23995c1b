"""What a long run tells while it works: one object that is called, and that a caller may replace by its own."""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuroadda.blockwise.ledger.base import Summary
    from neuroadda.blockwise.task import Task

log = logging.getLogger(__name__)


class RunObserver:
    """Is called with the progress of a run. This one logs notes at level INFO; override the methods that you need.

    All calls come from the process and the thread that started the run.
    """

    def on_blocks(self, task: "Task", summary: "Summary") -> None:
        """Blocks of a task are done: called at the task's start and end, and about twice a second between.

        Parameters
        ----------
        task
            `task.name` is the stage, ``len(task.blocks)`` the number of its blocks.
        summary
            Blocks done, running and failed, voxels, and seconds.
        """

    def on_iteration(self, name: str, iteration: int, iterations: int, values: Mapping[str, float]) -> None:
        """An iteration of a training is done, or a validation after it.

        Parameters
        ----------
        name
            Of the training.
        iteration, iterations
            How many are done, and how many there are.
        values
            ``loss``, ``lr`` and ``cpu_seconds``; or, of a validation, its metrics, whose names start with ``validation_``.
        """

    def on_step(self, name: str, done: int, total: int) -> None:
        """So many steps of a thing that is neither a task of blocks nor a training are done, such as sources of a ranking."""

    def on_note(self, text: str) -> None:
        """One line for a person, such as which backbone a training starts from."""
        log.info(text)
