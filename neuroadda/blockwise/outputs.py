"""A task's output: whether it is this task's, and how it comes to be there."""

import secrets

from neuroadda.blockwise.ledger.base import Ledger
from neuroadda.blockwise.tags import read_tag
from neuroadda.blockwise.task import Task
from neuroadda.errors import UserError
from neuroadda.volumes.places import Place, move, neighbour, remove, remove_at_once, to_place


def bind_output(task: Task) -> Task | None:
    """Return the task with the instance of its output; None where the output is missing or another task's."""
    tag = read_tag(to_place(task.output)) or {}
    if tag.get("fingerprint") != task.fingerprint or not tag.get("instance"):
        return None
    return task.model_copy(update={"instance": tag["instance"]})


def check_output(task: Task, overwrite: bool) -> None:
    """Raise UserError if the output belongs to another fingerprint and `overwrite` is false."""
    if not overwrite and bind_output(task) is None and read_tag(to_place(task.output)) is not None:
        raise UserError(
            f"the output of {task.name} was made with other parameters or inputs",
            task.output,
            "pass --overwrite to replace it, or choose another output",
        )


def prepare_output(task: Task, ledger: Ledger, overwrite: bool) -> Task:
    """Make the task's output ready and the ledger agree with it; return the task bound to that output.

    Raises
    ------
    UserError
        See `check_output`; also if the output cannot be replaced or created.
    """
    check_output(task, overwrite)
    output = to_place(task.output)
    bound = bind_output(task)
    if bound is None:
        for known in ledger.tasks():
            if known.output == task.output_on_record:
                ledger.reset(known.fingerprint)
        _remove(output)
        bound = task.model_copy(update={"instance": secrets.token_hex(8)})
        _create_at_once(bound, output)
    if ledger.task(bound.key) is None:
        ledger.register(bound.record)
    return bound


def _remove(output: Place) -> None:
    try:
        remove_at_once(output)
    except OSError as error:
        raise UserError(f"the output cannot be replaced: {error.strerror}", str(output)) from error


def _create_at_once(task: Task, output: Place) -> None:
    partial = neighbour(output, f".{output.name}.partial")
    remove(partial)
    task.bound.create_output(task.model_copy(update={"output": str(partial)}))
    move(partial, output)
