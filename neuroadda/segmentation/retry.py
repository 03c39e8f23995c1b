"""Do the failed blocks of a run again, and what else is left of it, by what it has written about itself."""

from collections.abc import Collection, Sequence
from pathlib import Path

from neuroadda.blockwise.engine import Engine, Observer
from neuroadda.blockwise.ledger.open import open_ledger
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.task import Task
from neuroadda.config import apply_overrides, load_config_file, parse_config
from neuroadda.errors import UserError
from neuroadda.locks import lock_folder
from neuroadda.segmentation.pipeline import RESOLVED, Plan, SegmentConfig, make_plan

SETTABLE = ("segment.execution.", "segment.ledger=")


def retry(
    folder: Path,
    *,
    stage: str | None = None,
    blocks: Collection[int] | None = None,
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
        Do these alone of the stage, by default that which the run has come to.
    overrides
        Of ``segment.execution`` and ``segment.ledger``, which the run has not noted.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `segment`; also UserError if the folder is no run's, or is given what cannot be done again.
    """
    config = read_run(folder, overrides)
    plan = make_plan(config)
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
    with lock_folder(folder), Engine(config.ledger_url, config.execution, folder / "logs", observe=observe) as engine:
        for task in tasks if blocks is None else ():
            if failed[task.name]:
                engine.run(task, blocks=failed[task.name])
            engine.run(task)
        if blocks is not None:
            engine.run(tasks[-1], blocks=blocks)
    return tasks[-1]


def read_run(folder: Path, overrides: Sequence[str] = ()) -> SegmentConfig:
    """Return the resolved config of a run.

    Raises
    ------
    UserError
        If the folder is no run's, was started from elsewhere, or overrides would change the result.
    """
    for override in overrides:
        if not override.startswith(SETTABLE):
            what = f"{override.partition('=')[0]!r} is not for a run that has begun"
            raise UserError(what, "--set", "set segment.execution keys or segment.ledger; or segment with a config")
    file = folder / RESOLVED
    resolved = load_config_file(file).get("resolved") if file.exists() else None
    if not isinstance(resolved, dict):
        what = "this is not the folder of a run of `neuroadda segment`"
        raise UserError(what, str(folder), "what another command began, the same command goes on with")
    config = parse_config(SegmentConfig, apply_overrides({"segment": resolved}, overrides)["segment"], str(file))
    if Path(config.output).resolve() != folder.resolve():
        raise UserError(
            f"this run was to be in {config.output}", str(folder), "start where it was started, or move it back"
        )
    if config.ledger is None and not (folder / "ledger.db").exists():
        raise UserError("the run's ledger is not here", str(folder), "give its URL: --set segment.ledger=mongodb://...")
    return config


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
                raise UserError(what, plan.config.output, "give the URL of its own: --set segment.ledger=...")
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
