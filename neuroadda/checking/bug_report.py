"""A report of a bug: versions, machine, and what a run has noted of itself and of its errors, in one text without secrets."""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neuroadda.checking.system import describe_machine, list_versions
from neuroadda.config import load_config_file
from neuroadda.errors import UserError
from neuroadda.ledger.url import ledger_url
from neuroadda.redaction import Redaction
from neuroadda.runs.events import Event, read_events
from neuroadda.runs.folder import CONFIG
from neuroadda.runs.status import LOGS, look_at_run
from neuroadda.training.status import look_at_trainings
from neuroadda.wording import format_text

HEAD = "neuroadda bug report"
BAD_LEVELS = ("warning", "error", "critical", "output")
LAST_EVENTS = 20
LAST_LINES = 40  # of scheduler.log
SHOWN_VARIABLES = ("CUDA", "LSB_JOBID", "MKL", "NCCL", "NEUROADDA", "OMP", "OPENBLAS", "PYTHON", "SLURM_JOB", "TORCH")
INTRODUCTION = """\
Read this before you pass it on: it holds paths, host names and errors. Logins in URLs, the password of the ledger, and what
variables hold whose names say that it is secret, are written as ***.

What I did, what I expected, and what came instead:

(write it here)
"""


def write_bug_report(target: Path, run: Path | None = None, ledger: str | None = None) -> Path:
    """Write `describe_bug` to a file and return it; an earlier report is replaced, nothing else is.

    Raises
    ------
    UserError
        If it cannot be written, is there and no report, or `run` is no folder.
    """
    if run is not None and not run.is_dir():
        raise UserError("there is no folder here", str(run), "give the folder of a run, or none")
    try:
        if target.exists() and not target.read_text(encoding="utf-8", errors="replace").startswith(HEAD):
            raise UserError("this file is no bug report, and is not written over", str(target), "give another --output")
        target.write_text(describe_bug(run, ledger, os.environ), encoding="utf-8")
    except OSError as error:
        raise UserError(f"the report cannot be written: {error.strerror or error}", str(target)) from error
    return target


def describe_bug(run: Path | None, ledger: str | None, environment: Mapping[str, str]) -> str:
    """Return the report.

    Parameters
    ----------
    run
        Folder of a run, a training or an adaptation; None for a report of the installation alone.
    ledger
        URL of the run's ledger, where the folder does not tell it.
    environment
        Variables of the process.
    """
    url = _find_url(run, ledger)
    hide = Redaction(url, environment)
    sections: list[tuple[str, Iterator[str]]] = [
        ("Versions", _list_facts(list_versions())),
        ("Machine", _list_facts(describe_machine())),
        ("Environment", _list_facts(_choose_variables(environment))),
    ]
    if run is not None:
        sections += [
            (f"Run {run}", _tell_status(run, url)),
            ("Its config", _tell_config(run, hide)),
            ("Last warnings and errors of its workers", _tell_events(run)),
            ("End of its scheduler.log", _tell_end(run / LOGS / "scheduler.log")),
        ]
    lines = [f"{HEAD}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "", INTRODUCTION]
    for title, told in sections:
        lines += [f"== {title} ==", *told, ""]
    return format_text(hide("\n".join(lines)))


def _find_url(run: Path | None, ledger: str | None) -> str:
    """Return the URL of the ledger, also one that is wrong: its words are hidden all the same."""
    try:
        return ledger_url(run or Path(), ledger)
    except UserError:
        return os.environ.get("NEUROADDA_LEDGER", "")


def _list_facts(facts: Mapping[str, str]) -> Iterator[str]:
    return (f"{name}: {value}" for name, value in facts.items())


def _choose_variables(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in sorted(environment.items()) if name.startswith(SHOWN_VARIABLES)}


def _tell_status(run: Path, url: str) -> Iterator[str]:
    for name, training in look_at_trainings(run).items():
        yield from (f"training {name}: {line}" for line in (training.health.sentence, *training.describe()))
    try:
        found = look_at_run(run, url)
    except UserError as error:  # no ledger, or one that does not answer
        yield str(error)
        return
    yield found.health.sentence
    for task in found.tasks:
        yield ", ".join(f"{key} {task[key]}" for key in ("stage", "state", "blocks", "done", "running", "failed"))
        for failure in task["failures"]:
            yield f"{failure['count']} blocks failed ({failure['cause']}): {failure['type']}: {failure['message']}"
            yield failure["traceback"].rstrip()


def _tell_config(run: Path, hide: Redaction) -> Iterator[str]:
    try:
        yield json.dumps(hide.clean(load_config_file(run / CONFIG)), indent=2)
    except UserError as error:
        yield str(error)


def _tell_events(run: Path) -> Iterator[str]:
    bad = [event for event in read_events(run / LOGS) if event["level"] in BAD_LEVELS]
    yield from (_tell_event(event) for event in bad[-LAST_EVENTS:])


def _tell_event(event: Event) -> str:
    known: dict[str, Any] = {
        key: event[key] for key in ("stage", "host", "pid", "level", "block", "cause") if key in event
    }
    line = f"{event['time']} {' '.join(map(str, known.values()))} {event['message']}"
    return f"{line}\n{event['traceback'].rstrip()}" if "traceback" in event else line


def _tell_end(file: Path) -> Iterator[str]:
    if file.is_file():
        yield from file.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
