"""A signal ends a training after its iteration, so that a checkpoint can be written; a second one ends it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from neuroadda.errors import RunStopped
from neuroadda.processes import die_with_parent

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a training is to stop, by SIGINT or SIGTERM; used as a context. Outside of the main thread, no signal is seen.

    Attributes
    ----------
    signum
        The signal that came; None if none did.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {signum: signal.signal(signum, self._note) for signum in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Have a signal raise `RunStopped` inside the block, which may take long and leaves nothing half done."""
        self._at_once = True
        try:
            if self.signum is not None:
                raise RunStopped(self.signum)
            yield
        finally:
            self._at_once = False

    def _note(self, signum: int, frame: FrameType | None) -> None:
        again, self.signum = self.signum is not None, signum
        if again or self._at_once:
            raise RunStopped(signum)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the end of the block: processes that are forked in it are deaf to them at first."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_parent(worker: int) -> None:
    """Have a process that makes batches end with its parent, not by Ctrl-C, which a terminal sends to all; see `hold_signals`."""
    die_with_parent()
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
