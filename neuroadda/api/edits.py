"""Corrections of a run's segmentation: add, undo, list, apply."""

from typing import TYPE_CHECKING, Literal

from neuroadda.api.inputs import StrPath
from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.observing import RunObserver, watched_by
from neuroadda.volumes.arrays import Volume

if TYPE_CHECKING:
    from neuroadda.segmentation.edits import Edit


def add_edit(
    run: StrPath,
    kind: Literal["merge", "split"],
    first: int | ZyxFloat,
    second: int | ZyxFloat,
    *,
    who: str | None = None,
    ledger: str | None = None,
) -> "Edit":
    """Decide that two fragments are of one neuron, or of two; `apply_edits` makes the segmentation with it.

    Parameters
    ----------
    run
        Folder of a run of `segment`.
    kind
        "merge": they are of one neuron. "split": they are of two, and their segment is cut between them.
    first, second
        Points (zyx, nm), or ids of fragments.
    who
        Who decides; by default the user of this process.
    ledger
        URL of the run's ledger, where it is not in its folder.

    Returns
    -------
    Edit
        Its `id`, `fragments`, `who` and `when`; one that was there already, where it says the same. It is on the disk.

    Raises
    ------
    UserError
        If there is no fragment at a point or of an id, both ends are in one fragment, or the run's fragments are not finished.
    """
    from neuroadda.proofreading.decisions import Decision
    from neuroadda.proofreading.edits import add

    if kind not in ("merge", "split"):
        raise UserError(f"{kind!r} is no kind of edit", "kind", "merge or split")
    if isinstance(first, int) != isinstance(second, int):
        raise UserError("one end is a point, and the other an id", "first, second", "give two points, or two ids")
    return add(run, [Decision(kind, (first, second), who)], ledger).edits[0]


def undo_edit(run: StrPath, id: int, *, who: str | None = None) -> "Edit":
    """Undo an edit; it stays on record.

    Returns
    -------
    Edit
        The one that is no longer in force.

    Raises
    ------
    UserError
        If there is no such edit, or it is undone already.
    """
    from neuroadda.proofreading.edits import undo

    return undo(run, id, who)


def list_edits(run: StrPath) -> "list[Edit]":
    """Return the edits of a run that are in force.

    Returns
    -------
    list[Edit]
        By id.

    Raises
    ------
    UserError
        If there is no folder, or the file of its edits is broken.
    """
    from neuroadda.proofreading.edits import read_journal

    return read_journal(run).in_force


def apply_edits(
    run: StrPath, *, workers: int | None = None, ledger: str | None = None, observer: RunObserver = RunObserver()
) -> Volume:
    """Make the segmentation of a finished run with the edits that are in force: components, relabelling, and its pyramids.

    Returns
    -------
    Volume
        The segmentation: uint64, zyx. Ids are numbered again.

    Raises
    ------
    UserError
        If edits contradict each other or their fragments are not found: then nothing is changed.
    RunFailed, RunStopped
        As `segment`; the same call goes on.
    """
    from neuroadda.proofreading.applying import apply

    overrides = [] if workers is None else [f"segment.execution.workers={workers}"]
    with watched_by(observer):
        plan = apply(run, ledger=ledger, overrides=overrides, observe=observer.on_blocks)
    return Volume.open(plan.output("relabel"))
