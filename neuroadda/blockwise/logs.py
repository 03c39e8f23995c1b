"""Events of the processes that do blocks: a line of JSON each, in the file that also gets whatever else a process prints."""

import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neuroadda.observing import taking_logs

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
