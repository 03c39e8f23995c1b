"""Ctrl-C is heard at any moment, and told in a line."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from neuroadda.errors import RunStopped

AGAIN_SECONDS = 0.02


@contextmanager
def quit_by_interrupt() -> Iterator[None]:
    """Have Ctrl-C end the process at once inside the block: for imports, where nothing has begun."""

    def quit_now(signum: int, frame: FrameType | None) -> None:
        os.write(2, f"neuroadda: {RunStopped(signum)}\n".encode())
        os._exit(RunStopped(signum).exit_code)

    with _handling(quit_now):
        yield


@contextmanager
def raise_by_interrupt() -> Iterator[None]:
    """Have Ctrl-C raise `RunStopped` inside the block, again and again until it is not lost.

    What a signal raises in a destructor or in the callback of a weak reference, of which imports are full, Python drops.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        raise RunStopped(signum)

    def hear_again(lost: Any) -> None:
        if issubclass(lost.exc_type, RunStopped | KeyboardInterrupt):
            signum = lost.exc_value.signum if isinstance(lost.exc_value, RunStopped) else signal.SIGINT
            threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), signum)).start()
        else:
            before(lost)

    before, sys.unraisablehook = sys.unraisablehook, hear_again
    try:
        with _handling(stop):
            yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    """Handle SIGINT inside the block, unless somebody else does (a parent that ignores it, a test's runner) or in a thread."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
