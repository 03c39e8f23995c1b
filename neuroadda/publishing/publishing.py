"""Publish a run: everything is checked, then each format is written by stages on the engine."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from neuroadda.blockwise.engine import Engine, Observer
from neuroadda.blockwise.outputs import read_key
from neuroadda.blockwise.task import Task
from neuroadda.errors import UserError, warn
from neuroadda.ledger.url import ledger_url
from neuroadda.locks import lock_folder
from neuroadda.publishing.formats import FORMATS, find_publisher
from neuroadda.publishing.kvstores import check_scheme
from neuroadda.publishing.publication import WHOLE, WORK, Publication, PublishConfig
from neuroadda.publishing.segments import choose_rows, list_segments
from neuroadda.pyramids.pyramid import check_written, guess_kind
from neuroadda.runs.folder import check_run_folder
from neuroadda.segmentation.finished import check_whole
from neuroadda.segmentation.pipeline import is_run
from neuroadda.segmentation.recovery import read_run
from neuroadda.segmentation.taken_edits import count_edits
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import deriving
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.identity.moved import check_not_moved
from neuroadda.volumes.readers.hdf5 import HDF5_SUFFIXES
from neuroadda.volumes.readers.tiff import TIFF_SUFFIXES
from neuroadda.volumes.storage.locations import Location, remove_at_once, to_folder, to_location

ARRAYS = {"raw": "raw", "affs": "predict", "fragments": "fragments", "segmentation": "relabel"}
FILES = (*HDF5_SUFFIXES, *TIFF_SUFFIXES, ".zarr")
COPY = "publish to a folder, and copy it there without .run: aws s3 sync OUT s3://BUCKET/NAME --exclude '.run/*'"


def publish_run(
    config: PublishConfig, *, overwrite: bool = False, observe: Observer = lambda task, summary: None
) -> Location:
    """Write a run in every format that is asked for; finished blocks are skipped.

    Returns
    -------
    Path or Url
        `PublishConfig.output`. Each format has a folder of its name in it.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `Engine.run`; also UserError if the run is not finished, a format is unknown or cannot hold it, or a package is missing.
    """
    if not config.to:
        raise UserError("no format is given", "--to", "such as --to precomputed")
    if config.thresholds and "webknossos" not in config.to:
        raise UserError("thresholds are for the mappings of webknossos", "--thresholds", "add --to webknossos")
    if config.ids is not None and set(config.to) <= WHOLE:
        what = f"no format that is asked for ({', '.join(config.to)}) has parts of single segments"
        raise UserError(what, "--ids", "leave it out, or add --to precomputed, ply, obj or swc")
    if to_location(config.output).suffix in FILES:
        right = "give a folder; `neuroadda export` writes HDF5, TIFF and Zarr, `neuroadda pyramid` OME-Zarr"
        raise UserError("this is the name of one volume, and formats have folders of their own", config.output, right)
    publishers = {name: find_publisher(name) for name in config.to}
    folder, work = _find_places(config)
    inputs = Inputs(work, trust=config.trust_inputs)
    plan = read_run(config.run) if is_run(config.run) else None
    if plan is None:
        volumes = {"segmentation": Volume.open(to_location(config.run))}
    else:
        check_whole(plan)
        if (edits := count_edits(Path(plan.config.output))) is not None and not edits.applied:
            warn(f"it is published as it is: {edits.advise(config.run)}", config.run)
        volumes = {"raw": Volume.open(plan.config.raw)}
        volumes |= {name: Volume.open(plan.output(stage)) for name, stage in ARRAYS.items() if name != "raw"}
    segmentation = volumes["segmentation"]
    if guess_kind(segmentation) != "labels":
        what = f"it is no segmentation: {segmentation.dtype}, {segmentation.channels or 1} channels"
        raise UserError(what, config.run, "give the folder of a run, or an array of ids of 32 or 64 bits")
    for volume in volumes.values():
        check_not_moved(volume.path)
        check_written(volume, ledger_url(config.run if plan else work, config.ledger))
    _check_folders(folder, work, config.to)
    places = [volume.path for volume in volumes.values()] + [
        to_location(task.output) for task in (plan.tasks if plan else ())
    ]
    sources = {place: read_key(place) for place in places}
    for name, volume in volumes.items():
        inputs.identify(name, volume)
    _check_others(folder, inputs.elsewhere, config.to if overwrite else ())
    inputs.warn("what was published of it is made again (unless inputs are trusted)")
    replace = overwrite or inputs.changed

    def make(run: Callable[[Task], Task]) -> Publication:
        arrays = {name: volumes.get(name) for name in ARRAYS}
        return Publication(config=config, plan=plan, folder=folder, work=work, inputs=inputs, run=run, **arrays)  # type: ignore[arg-type]

    for name, publisher in publishers.items():
        publisher.check(make(_refuse), name)
    others = [volume for name, volume in volumes.items() if name != "segmentation"]
    with ExitStack() as stack:
        of = Path(config.run) if plan else None
        for made in [folder / name for name in publishers] if isinstance(folder, Path) else []:
            stack.enter_context(deriving(segmentation, made, "copy", others, config.again(made.name), of))
        stack.enter_context(lock_folder(work))
        engine = stack.enter_context(
            Engine(ledger_url(work, config.ledger), config.execution, work / "logs", observe=observe)
        )
        stack.enter_context(inputs.explain())
        inputs.keep_unless_changed()
        done: dict[str, Task] = {}

        def run(task: Task) -> Task:
            if task.fingerprint + task.output not in done:  # formats share what is made on the way
                bound = engine.run(task, overwrite=replace)
                _refuse_replaced(sources, bound)
                done[task.fingerprint + task.output] = bound
            return done[task.fingerprint + task.output]

        publication = make(run)
        if config.ids is not None:  # unknown ones are refused before volumes are written
            choose_rows(publication, list_segments(publication)[0])
        for name, publisher in publishers.items():
            publisher.publish(publication, name)
            if isinstance(folder, Path):
                _remove_partial(folder / name)
        inputs.keep()
    return folder


def _find_places(config: PublishConfig) -> tuple[Location, Path]:
    """Return where it is published to, and the folder of what is made on the way."""
    folder = to_location(config.output)
    if isinstance(folder, Path):
        if config.work is not None:
            raise UserError("it lies in the folder that is published to", "--work", "leave it out")
        return folder, folder / WORK
    check_scheme(folder)
    for name in config.to:
        if name in WHOLE:
            to_folder(folder / name, f"what is published --to {name}", COPY)
    if config.work is None:
        what = "ledger, logs and what goes on after a stop need a folder of this machine"
        raise UserError(what, "--work", "such as --work publishing")
    return folder, to_folder(config.work, "--work") / WORK


def _check_folders(folder: Location, work: Path, formats: Sequence[str]) -> None:
    check_run_folder(work.parent)
    places: list[Location] = [work.parent]
    places += [] if isinstance(folder, Path) else [folder / name for name in formats]
    for place in places:
        if place.exists() and any(place.iterdir()) and not work.is_dir():
            raise UserError("something lies here already", str(place), "give a folder of its own")


def _check_others(folder: Location, elsewhere: Mapping[str, str], replaced: Sequence[str]) -> None:
    """Raise UserError if a format that is there, and is not replaced, is of another segmentation."""
    other = elsewhere.get("segmentation")
    if other is None or not isinstance(folder, Path):
        return
    if left := [name for name in FORMATS if name not in replaced and (folder / name).exists()]:
        what = f"{', '.join(left)} in it is of another segmentation, {other}"
        raise UserError(what, str(folder), "give another folder")


def _remove_partial(folder: Path) -> None:
    """Remove what killed workers left of files that they were writing; no worker is at work any more."""
    for pattern in (".*", "*.__lock"):  # ours, and tensorstore's
        for file in folder.rglob(pattern):
            if file.is_file():
                file.unlink(missing_ok=True)


def _refuse_replaced(sources: Mapping[Location, str | None], task: Task) -> None:
    """Raise UserError, and remove what a task has made, if an output of the run was made again since its key was read."""
    for place, key in sources.items():
        if read_key(place) != key:
            remove_at_once(to_location(task.output))
            what = "it was made again while it was published"
            raise UserError(what, str(place), "publish again with --overwrite when that is finished")


def _refuse(task: Task) -> Task:
    raise AssertionError(f"{task.name} is run before everything is checked")
