"""A stage that does nothing: what is left is the cost of scheduling and of the ledger."""

from typing import Any, ClassVar

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Stage, Task


class Empty(Stage):
    """Nothing, in every block."""

    name: ClassVar[str] = "empty"

    def create_output(self, task: Task) -> None:
        """Create the folder."""
        task.create_folder()

    def open(self, task: Task) -> BlockFunction:
        """Return the function that does nothing."""

        def do_nothing(block: Block) -> dict[str, Any]:
            return {}

        return do_nothing
