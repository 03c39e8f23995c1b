"""Proofreading: where a run's segmentation is likely to be wrong."""

from typing import TYPE_CHECKING

from neuroadda.api.inputs import StrPath
from neuroadda.errors import UserError
from neuroadda.observing import RunObserver, watched_by

if TYPE_CHECKING:
    from neuroadda.proofreading.likely_errors import Queue

COUNT = 100


def likely_errors(
    run: StrPath, *, count: int = COUNT, ledger: str | None = None, observer: RunObserver = RunObserver()
) -> "Queue":
    """Return where the segmentation of a finished run is likely to be wrong, by expected gain. Nothing is written.

    Parameters
    ----------
    run
        Folder of a run of `segment`.
    count
        How many at most.
    ledger
        URL of the run's ledger, where it is not in the folder.
    observer
        Receives the progress.

    Returns
    -------
    Queue
        `errors`: a list, each with `kind`, `gain` (nats of VOI), `points_nm` and `place_nm` (zyx), `segments` and `fragments`.

    Raises
    ------
    UserError
        If no run is there, or it is not finished.
    """
    from neuroadda.proofreading.likely_errors import find_likely_errors
    from neuroadda.segmentation.recovery import read_run

    if count < 1:
        raise UserError(f"{count} errors are asked for", "count", "1 or more")
    with watched_by(observer):
        return find_likely_errors(read_run(run, ledger, trust_inputs=True), count)
