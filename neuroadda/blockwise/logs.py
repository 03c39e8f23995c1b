"""Events of the processes that do blocks: a line of JSON each, in the file that also gets whatever else a process prints."""

import io
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroadda.observing import taking_logs

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SERIAL = "serial.log"
EXTRA = ("block", "cause", "traceback")  # what an event may tell beside its message


class EventFormatter(logging.Formatter):
    """Writes a record as an event: time (UTC), level, stage, host, pid, message, and what of `EXTRA` it tells."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage, self._host = stage, socket.gethostname()

    def format(self, record: logging.LogRecord) -> str:
        """Return the event's line."""
        event: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "stage": self._stage,
            "host": self._host,
            "pid": os.getpid(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event | {key: vars(record)[key] for key in EXTRA if key in vars(record)}, default=str)


class EventFile(logging.FileHandler):
    """A file of events, made at the first; where it cannot be written, the work goes on and says why it fails, if it does."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event."""
        with suppress(OSError):
            super().emit(record)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing."""


@contextmanager
def log_events(stage: str, file: Path | None = None) -> Iterator[None]:
    """Have what this process logs meanwhile go to a file, made at the first event, or to its standard error."""
    handler = logging.StreamHandler() if file is None else EventFile(file)
    handler.setFormatter(EventFormatter(stage))
    with taking_logs(handler):
        yield


class LossyFile(io.FileIO):
    """A file that nothing depends on: what cannot be written, as on a full disk, is lost without an error."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write what there is room for."""
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data).cast("B"))


def open_log(file: Path) -> LossyFile:
    """Open a file to append to it; where it cannot be opened, all that is written is lost."""
    try:
        return LossyFile(file, "ab")
    except OSError:
        return LossyFile(os.devnull, "ab")


def print_to(file: Path) -> None:
    """Have what this process and its libraries print appended to a file; see `print_lossy`."""
    with open_log(file) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    print_lossy()


def print_lossy() -> None:
    """Have this process go on when its standard output or error cannot be written, as where they are a file on a full disk."""
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(LossyFile(stream, "wb", closefd=False), "utf-8", "backslashreplace", write_through=True)
        for stream in (1, 2)
    )


def copy_to_log(pipe: int, file: Path) -> None:
    """Append what comes from a pipe to a file, until its end.

    For a process that dies when it cannot print, which no `print_lossy` prevents: daisy's server, which is compiled.
    """
    with open(pipe, "rb", buffering=0) as source, open_log(file) as log:
        while data := source.read(1 << 16):
            log.write(data)
