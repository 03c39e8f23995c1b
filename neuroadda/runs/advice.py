"""What people call the cause of failed blocks, and what to do about it."""

import shlex

from neuroadda.ledger.base import Cause


def describe_cause(cause: Cause, blocks: int, bug_blocks: int) -> str:
    """Return what people call the cause of the same failure in so many blocks; from `bug_blocks` on, an error is a bug."""
    if cause == "error":
        return "bug" if blocks >= bug_blocks else "poison"
    return {"memory": "out of memory", "user": "needs your action", "died": "dead worker"}.get(cause, cause)


def advise(described: str, run: str, stage: str, blocks: str) -> str:
    """Return in a line what to do about failures of a described cause.

    Parameters
    ----------
    run
        What `neuroadda retry` is to be called with.
    blocks
        Of them, such as ``3,7``.
    """
    retry = f"neuroadda retry {shlex.quote(run)}"
    return {
        "transient": f"it was tried for a minute; when the connection, device or disk is back: {retry}",
        "out of memory": f"use fewer workers: {retry} --set segment.execution.workers=1; else smaller blocks, in another run",
        "needs your action": f"mend what it says, then: {retry}",
        "dead worker": f"it crashed, was killed (often for want of memory) or timed out; see its log, then: {retry}",
        "bug": f"mend it once for all of them, then: {retry}",
        "poison": f"look at the input of these blocks; to do them alone: {retry} --stage {stage} --blocks {blocks}",
    }[described]
