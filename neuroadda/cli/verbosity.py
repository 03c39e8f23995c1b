"""How much the command prints beside its results: `--quiet` and `--verbose`, before the verb or after it."""

import logging
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

from neuroadda.errors import WARNINGS
from neuroadda.observing import taking_logs
from neuroadda.wording import format_bytes, format_seconds, format_text

QUIET, VERBOSE = "--quiet", "--verbose"
_given: ContextVar[frozenset[str]] = ContextVar("given", default=frozenset())


@contextmanager
def take_verbosity(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Yield the arguments without `--quiet` and `--verbose`; inside the block they hold. What follows ``--`` is left as it is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    taken = frozenset(arguments[:end]) & {QUIET, VERBOSE}
    token = _given.set(taken)
    try:
        with _log_to_stderr() if VERBOSE in taken else nullcontext():
            yield [word for place, word in enumerate(arguments) if place >= end or word not in taken]
    finally:
        _given.reset(token)


def is_quiet() -> bool:
    """Whether progress and notes are not printed."""
    return QUIET in _given.get()


def print_traceback(error: BaseException) -> None:
    """Print where an error that is told in a line came from, if the command is verbose."""
    if VERBOSE in _given.get():
        print(format_text("".join(traceback.format_exception(error)).rstrip()), file=sys.stderr)


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Print what the library logs from level INFO on, and at the end how long the command took, and the most memory it held."""
    handler, begun = logging.StreamHandler(sys.stderr), time.monotonic()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.name != WARNINGS)  # they are printed anyway
    try:
        with taking_logs(handler):
            yield
    finally:
        from neuroadda.processes import peak_bytes  # imports numpy

        took = format_seconds(time.monotonic() - begun)
        print(f"neuroadda: {took}, at most {format_bytes(peak_bytes())} in this process", file=sys.stderr)
