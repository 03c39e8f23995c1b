"""A segmentation's ledger that was lost, or is in doubt: found again from the run's folder, or put right."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuroadda.blockwise.ledger.base import Ledger
from neuroadda.blockwise.ledger.open import SQLITE, open_ledger
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.repair import Finding, check_records, check_task, rebuild_task
from neuroadda.config import load_config_file, parse_config
from neuroadda.errors import UserError
from neuroadda.locks import lock_folder
from neuroadda.segmentation.pipeline import RESOLVED, Plan, SegmentConfig, make_plan


@dataclass(frozen=True)
class StageRecord:
    """How many blocks of a stage there are, are done by the ledger, and are written though the ledger does not say so."""

    stage: str
    blocks: int
    done: int
    found: int


@dataclass(frozen=True)
class Verification:
    """What was wrong, and how far every stage is."""

    findings: list[Finding]
    stages: list[StageRecord]


def rebuild_ledger(folder: Path, ledger_url: str | None = None) -> list[StageRecord]:
    """Record as done what a run has written and its ledger does not know; `found` says how much that was.

    Parameters
    ----------
    folder
        Of the run.
    ledger_url
        Of its ledger; made if it is not there. By default SQLite in the folder.

    Raises
    ------
    UserError
        If no run is in the folder, its inputs are gone, or it is at work.
    """
    plan = read_plan(folder, ledger_url)
    with lock_folder(folder), _opened(plan.config.ledger_url) as ledger:
        found = [rebuild_task(task, ledger) for task in plan.tasks]
        return _count(plan, ledger, found)


def verify_ledger(
    folder: Path, ledger_url: str | None = None, *, repair: bool = False, read: bool = False
) -> Verification:
    """Find where a run's ledger and its outputs disagree.

    Parameters
    ----------
    folder, ledger_url
        As in `rebuild_ledger`.
    repair
        Put it right: the blocks concerned are forgotten, and what is left of their output is deleted, so that the next run does
        them again. What later stages made of them stays: it is made of the same bytes.
    read
        Also read all that is done, to find files that are there and broken.

    Raises
    ------
    UserError
        If there is no run or no ledger; with `repair`, if the run is at work.
    """
    plan = read_plan(folder, ledger_url)
    url = plan.config.ledger_url
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        raise UserError("there is no ledger", url, f"`neuroadda ledger rebuild {folder}` makes it from what is written")
    with _locked(folder, needed=repair) as at_work, _opened(url) as ledger:
        findings = list(check_records(ledger, {task.output_on_record for task in plan.tasks}))
        checked = [check_task(task, ledger, at_work=at_work, read=read) for task in plan.tasks]
        findings += [finding for each in checked for finding in each.findings]
        if repair:
            for finding in findings:
                finding.mend()
        return Verification(findings, _count(plan, ledger, [each.unrecorded for each in checked]))


def read_plan(folder: Path, ledger_url: str | None = None) -> Plan:
    """Return the plan that a run in a folder follows, from what it noted there.

    Raises
    ------
    UserError
        If no run is there, or it is asked for from another folder than the run was started in.
    """
    noted = folder / RESOLVED
    if not noted.is_file():
        raise UserError("there is no run here", str(folder), f"give the folder of a run, with its {RESOLVED}")
    data = load_config_file(noted)
    if "requested" not in data:
        raise UserError("this is not what a segmentation notes", str(noted), "give the folder of `neuroadda segment`")
    config = parse_config(SegmentConfig, data["requested"], str(noted))
    if Path(config.output).resolve() != folder.resolve():
        right = "go to the folder in which the run was started"
        raise UserError(f"its paths are relative, and {config.output!r} is not this run from here", str(noted), right)
    return make_plan(config.model_copy(update={"ledger": ledger_url}))


def _count(plan: Plan, ledger: Ledger, found: list[int]) -> list[StageRecord]:
    stages = []
    for task, number in zip(plan.tasks, found, strict=True):
        bound = bind_output(task)
        done = 0 if bound is None else ledger.summary(bound.key).done
        stages.append(StageRecord(task.name, len(task.blocks), done, number))
    return stages


@contextmanager
def _opened(url: str) -> Iterator[Ledger]:
    ledger = open_ledger(url)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def _locked(folder: Path, needed: bool) -> Iterator[bool]:
    """Hold the folder, so that no run is at work in it; yield whether one is, which is an error where the lock is needed."""
    with ExitStack() as held:
        at_work = False
        try:
            held.enter_context(lock_folder(folder))
        except UserError:
            if needed:
                raise
            at_work = True
        yield at_work
