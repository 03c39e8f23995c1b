"""Work that takes more than two seconds tells how far it is, in every verb."""

import sys
import time

from neuroadda.observing import RunObserver

LATE_S, EVERY_S = 2.0, 10.0


class Silence(RunObserver):
    """Prints nothing: standard output is JSON, or the command is quiet."""

    def on_note(self, text: str) -> None:
        """Say nothing."""


class WorkLines(RunObserver):
    """A line on standard error once work has taken two seconds, and every ten seconds after that; none of what is short."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def on_progress(self, what: str, done: int, total: int) -> None:
        """Print how far work is, or nothing yet."""
        now = time.monotonic()
        if done >= total:
            self._due.pop(what, None)
        elif now >= self._due.setdefault(what, now + LATE_S):
            self._due[what] = now + EVERY_S
            print(f"{what}: {100 * done // total} %", file=sys.stderr, flush=True)
