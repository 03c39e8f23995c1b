"""Work on a run that has begun, by what is in its folder: do failed blocks again, rebuild or verify its ledger."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuroadda.blockwise.engine import Engine, Observer
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.task import Task
from neuroadda.config import apply_overrides, parse_config
from neuroadda.errors import UserError
from neuroadda.ledger.base import Ledger
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import NAME, SQLITE, VARIABLE, ledger_url
from neuroadda.locks import lock_folder, read_lock
from neuroadda.runs.config import find_relocation, read_config, refuse_copy, refuse_gone
from neuroadda.runs.folder import CONFIG
from neuroadda.runs.repair import Finding, check_records, check_task, rebuild_task
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.volumes.coverage.no_data_setting import outdate_no_data
from neuroadda.volumes.identity.inputs import look_again

SETTABLE = "segment.execution."


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


def read_run(
    folder: str | Path,
    url: str | None = None,
    overrides: Sequence[str] = (),
    *,
    trust_inputs: bool = False,
    take_edits: bool = False,
) -> Plan:
    """Return the plan that the run in a folder follows, from what it noted there.

    Parameters
    ----------
    folder
        Of the run.
    url
        Of its ledger; see `ledger_url`.
    overrides
        Of ``segment.execution``, which a run does not note.
    trust_inputs
        Plan as if no input had been edited since: for work on what the run has written.
    take_edits
        See `make_plan`.

    Raises
    ------
    UserError
        If no run is there, its inputs are gone, or overrides would change the result.
    """
    for override in overrides:
        if not override.startswith(SETTABLE):
            what = f"{override.partition('=')[0]!r} is not for a run that has begun"
            raise UserError(what, "--set", "set segment.execution keys; or segment with a config")
    folder = Path(folder)
    resolved = read_config(folder)
    if resolved is None:
        what = "there is no run here: it is not the folder of a run of `neuroadda segment`"
        raise UserError(what, str(folder), "what another command began, the same command goes on with")
    data = apply_overrides({"segment": resolved | {"ledger": ledger_url(folder, url)}}, overrides)["segment"]
    config = parse_config(SegmentConfig, data | ({"trust_inputs": True} if trust_inputs else {}), str(folder / CONFIG))
    refuse_gone(folder, resolved)
    return make_plan(config, take_edits=take_edits)


def retry(
    folder: str | Path,
    *,
    stage: str | None = None,
    blocks: Collection[int] | None = None,
    ledger: str | None = None,
    overrides: Sequence[str] = (),
    observe: Observer = lambda task, summary: None,
) -> Task:
    """Do a run's failed blocks again; when they are done, go on with the rest. Returns the last task that was worked on.

    Parameters
    ----------
    folder
        Of the run.
    stage
        Go no further than this stage.
    blocks
        Do these alone, of `stage`; by default of the first stage that is not finished (of the last one, if all are).
    ledger
        URL of the ledger, which the run has not noted; see `ledger_url`.
    overrides
        Of ``segment.execution``, which it has not noted either.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `segment`; also UserError if the folder is no run's, or is given what cannot be done again.
    """
    folder = Path(folder)
    refuse_copy(folder)
    plan = read_run(folder, ledger, overrides, trust_inputs=True)
    inputs = look_again(folder, find_relocation(folder).find)
    inputs.warn("blocks that are done stay as they are")  # it may have been repaired where blocks failed
    config = plan.config
    if config.ledger_url == f"{SQLITE}{folder / NAME}" and not (folder / NAME).exists():
        right = f"give its URL: --ledger mongodb://host/database, or {VARIABLE}"
        raise UserError("the run's ledger is not here", str(folder), right)
    names = [task.name for task in plan.tasks]
    if stage is not None and stage not in names:
        raise UserError(f"there is no stage {stage!r}", str(folder), f"one of: {', '.join(names)}")
    failed, left = _find_failed(plan)
    if blocks is not None:
        reached = next((name for name in names if left[name]), names[-1])
        stage = stage or reached
        if names.index(stage) > names.index(reached):
            raise UserError(
                f"{reached} is not finished, and {stage} reads it", "--blocks", f"retry --stage {reached} first"
            )
        _check_blocks(plan.task(stage), blocks)
    tasks = plan.tasks if stage is None else plan.upto(stage).tasks
    with (
        lock_folder(folder),
        Engine(config.ledger_url, config.execution, folder / "logs", observe=observe) as engine,
        inputs.explain(),
    ):
        if "raw" in inputs.edited:
            outdate_no_data(config.no_data, folder)
        for task in tasks if blocks is None else ():
            if failed[task.name]:
                engine.run(task, blocks=failed[task.name])
            engine.run(task)
        if blocks is not None:
            engine.run(tasks[-1], blocks=blocks)
        inputs.accept()
    return tasks[-1]


def rebuild_ledger(folder: str | Path, url: str | None = None) -> list[StageRecord]:
    """Record as done what a run has written and its ledger does not know; `found` says how much that was.

    Parameters
    ----------
    folder
        Of the run.
    url
        Of its ledger, which is made if it is not there; see `ledger_url`.

    Raises
    ------
    UserError
        If no run is in the folder, its inputs are gone, it is at work, or it is a copy.
    """
    refuse_copy(Path(folder))
    plan = read_run(folder, url, trust_inputs=True)
    with lock_folder(Path(folder)), _opened(plan.config.ledger_url) as ledger:
        found = [rebuild_task(task, ledger) for task in plan.tasks]
        return _count(plan, ledger, found)


def verify_ledger(
    folder: str | Path, url: str | None = None, *, repair: bool = False, read: bool = False
) -> Verification:
    """Find where a run's ledger and its outputs disagree.

    Parameters
    ----------
    folder, url
        As in `rebuild_ledger`.
    repair
        Put it right: the blocks concerned are forgotten, and what is left of their output is deleted, so that the next run does
        them again. What later stages made of them stays: it is made of the same bytes.
    read
        Also read all that is done, to find files that are there and broken.

    Raises
    ------
    UserError
        If there is no run or no ledger, or the ledger knows nothing of the run; with `repair`, if the run is at work.
    """
    if repair:
        refuse_copy(Path(folder))
    plan = read_run(folder, url, trust_inputs=True)
    url = plan.config.ledger_url
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        raise UserError("there is no ledger", url, f"`neuroadda ledger rebuild {folder}` makes it from what is written")
    with _locked(Path(folder), needed=repair) as at_work, _opened(url, reading=not repair) as ledger:
        keys = {bound.key for bound in map(bind_output, plan.tasks) if bound is not None}
        if keys and not keys & {*ledger.recorded(), *(task.fingerprint for task in ledger.tasks())}:
            what = "the ledger knows nothing of this run"
            right = f"give the URL of its own (--ledger, or {VARIABLE}), or `neuroadda ledger rebuild {folder}`"
            raise UserError(what, str(folder), right)
        findings = list(check_records(ledger, {task.output_on_record for task in plan.tasks}))
        checked = [check_task(task, ledger, at_work=at_work, read=read) for task in plan.tasks]
        findings += [finding for each in checked for finding in each.findings]
        if repair:
            for finding in findings:
                finding.mend()
        return Verification(findings, _count(plan, ledger, [each.unrecorded for each in checked]))


def _find_failed(plan: Plan) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Return the failed blocks of every stage, and how many are left to do."""
    failed: dict[str, list[int]] = {}
    left: dict[str, int] = {}
    ledger = open_ledger(plan.config.ledger_url)
    try:
        for task in plan.tasks:
            bound = bind_output(task)
            if bound is not None and ledger.task(bound.key) is None:
                what = f"the ledger does not know this run's {task.name}"
                raise UserError(what, plan.config.output, f"give the URL of its own: --ledger, or {VARIABLE}")
            groups = [] if bound is None else ledger.failures(bound.key)
            failed[task.name] = [block for group in groups for block in group.blocks]
            left[task.name] = len(task.blocks) - (0 if bound is None else ledger.summary(bound.key).done)
    finally:
        ledger.close()
    return failed, left


def _check_blocks(task: Task, blocks: Collection[int]) -> None:
    size = len(task.grid)
    wrong = [block for block in blocks if block >= size or block not in task.blocks]
    if wrong:
        what = f"{task.name} does not do block {wrong[0]}"
        raise UserError(what, "--blocks", "it has no tissue" if wrong[0] < size else f"there are {size}")


def _count(plan: Plan, ledger: Ledger, found: list[int]) -> list[StageRecord]:
    stages = []
    for task, number in zip(plan.tasks, found, strict=True):
        bound = bind_output(task)
        done = 0 if bound is None else ledger.summary(bound.key).done
        stages.append(StageRecord(task.name, len(task.blocks), done, number))
    return stages


@contextmanager
def _opened(url: str, *, reading: bool = False) -> Iterator[Ledger]:
    ledger = open_ledger(url, reading=reading)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def _locked(folder: Path, needed: bool) -> Iterator[bool]:
    """Yield whether a run is at work in the folder; where the lock is needed, that is an error, and the folder is held."""
    if needed:
        with lock_folder(folder):
            yield False
        return
    lock = read_lock(folder)
    yield lock is not None and lock.state == "held"
