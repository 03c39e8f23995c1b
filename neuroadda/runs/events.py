"""Read what the processes of a run have logged: the events that `blockwise.logs` writes, of all files, by time."""

import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]
"""Time (UTC), level, stage, host, pid and message; of a block also its index, and of a failure its cause and traceback."""


def read_events(
    logs: Path, stage: str | None = None, block: int | None = None, failed: bool = False
) -> Iterator[Event]:
    """Yield the events of workers in a run's folder of logs, by time; `file` is added.

    Lines that are none, such as the traceback of a process that crashed, come as events of level ``output`` after the one before
    them, where no block and no failures are asked for.

    Parameters
    ----------
    stage, block
        Only those of it.
    failed
        Only failures of blocks and tries, which have a cause.
    """
    files = sorted(file for file in logs.glob("*/*.log") if stage in (None, file.parent.name))
    for event in heapq.merge(*map(_read_file, files), key=lambda event: event["time"]):
        if (block is None or event.get("block") == block) and (not failed or "cause" in event):
            yield event


def _read_file(file: Path) -> Iterator[Event]:
    last = ""
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            event = _parse(line)
            if event is None:
                event = {"time": last, "level": "output", "stage": file.parent.name, "message": line.rstrip("\n")}
            last = max(last, event["time"])
            yield event | {"time": last, "file": str(file)}


def _parse(line: str) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"time", "level", "stage", "message"} <= event.keys() else None
