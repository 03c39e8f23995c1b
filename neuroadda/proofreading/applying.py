"""A run's segmentation made with its edits: components and relabelling, and the pyramids of the segmentation."""

import json
from collections.abc import Sequence
from pathlib import Path

from neuroadda.blockwise.engine import Engine, Observer
from neuroadda.blockwise.outputs import bind_output
from neuroadda.config import load_config_file, parse_config, write_json
from neuroadda.errors import warn
from neuroadda.locks import lock_folder
from neuroadda.proofreading.edits import read_journal
from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid
from neuroadda.runs.config import find_relocation, refuse_copy
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.conflicts import refuse_conflicts
from neuroadda.segmentation.edit_journal import LOCKED
from neuroadda.segmentation.edited_fragments import find_pairs
from neuroadda.segmentation.finished import check_finished
from neuroadda.segmentation.pipeline import Plan
from neuroadda.segmentation.recovery import read_run
from neuroadda.segmentation.relabel import Relabel
from neuroadda.segmentation.taken_edits import keep_taken
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import PYRAMID_RUN, list_views, remove_views
from neuroadda.volumes.identity.inputs import look_again
from neuroadda.volumes.storage.locations import to_location
from neuroadda.volumes.storage.urls import Url

PYRAMIDS = "pyramids.json"  # those that are to be made again, so that a kill does not lose them


def apply(
    run: str | Path,
    *,
    ledger: str | None = None,
    overrides: Sequence[str] = (),
    observe: Observer = lambda task, summary: None,
) -> Plan:
    """Make the segmentation of a finished run with the edits that are in force; killed, the same call goes on.

    Parameters
    ----------
    ledger, overrides
        See `read_run`.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `segment_volume`; also UserError if the run is not finished as far as the agglomeration, or edits contradict each other
        or are stale and cannot be looked up: then nothing is changed.
    """
    folder = Path(run)
    read_journal(folder)
    refuse_copy(folder)
    plan = read_run(folder, ledger, overrides, trust_inputs=True, take_edits=True)
    look_again(folder, find_relocation(folder).find).warn("what is done stays as it is")
    last = [task.name for task in plan.tasks].index(Components.kind)
    check_finished(plan, [task.name for task in plan.tasks[:last]])
    if plan.edits is not None:
        fragments = plan.task("fragments")
        pairs = find_pairs(plan.edits.edits, Volume.open(fragments.output), fragments.fingerprint)
        refuse_conflicts(plan.edits.edits, pairs)
    with lock_folder(folder):
        pyramids = _note_pyramids(folder, plan)
        keep_taken(folder, plan.edits)
        if bind_output(relabel := plan.task(Relabel.kind)) is None:  # the pyramids are of another segmentation
            remove_views(to_location(relabel.output), pyramids)
        with Engine(plan.config.ledger_url, plan.config.execution, folder / "logs", observe=observe) as engine:
            for task in plan.tasks[last:]:
                engine.run(task)
    for config in pyramids.values():
        update = {"execution": plan.config.execution, "ledger": ledger}
        build_pyramid(config.model_copy(update=update), observe=observe)
    (folder / LOCKED / PYRAMIDS).unlink(missing_ok=True)
    return plan


def _note_pyramids(folder: Path, plan: Plan) -> dict[Path, PyramidConfig]:
    """Return the pyramids that show the segmentation, by place, and keep which these are until they are made again."""
    segmentation, file = to_location(plan.output("relabel")), folder / LOCKED / PYRAMIDS
    if isinstance(segmentation, Url):
        return {}
    found = dict(json.loads(file.read_text())) if file.is_file() else {}
    for view in list_views(segmentation):
        config = view / PYRAMID_RUN / "config.json"
        if not config.is_file():
            warn("how it was made is not known, so that it is not made again", str(view))
            continue
        found[str(view)] = load_config_file(config) | {"volume": str(segmentation), "output": str(view)}
    if found:
        write_json(file, found)
    return {Path(view): parse_config(PyramidConfig, config, str(file)) for view, config in found.items()}
