"""Pyramids: a volume and its coarser levels as one OME-NGFF image that viewers zoom in."""

import os
import shutil
from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroadda.blockwise.engine import Engine, Observer
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import bind_output, check_output, read_key
from neuroadda.blockwise.task import Task
from neuroadda.config import PathText, PublicConfig, Zyx, write_json
from neuroadda.errors import UserError, warn
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import NAME, SQLITE, ledger_url
from neuroadda.locks import lock_folder
from neuroadda.pyramids.downsampling import (
    CopyLabels,
    Downsample,
    Method,
    check_method,
    choose_factor,
    make_downsample_task,
)
from neuroadda.pyramids.ngff import label_image, write_multiscales
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_checks import look_at
from neuroadda.volumes.contents.label_ids import count_unlabelled, describe_unlabelled
from neuroadda.volumes.identity.derived import PYRAMID_RUN as RUN
from neuroadda.volumes.identity.derived import deriving
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.identity.moved import check_not_moved
from neuroadda.volumes.storage.locations import remove_at_once, to_folder
from neuroadda.volumes.storage.nodes import is_array

Kind = Literal["raw", "affs", "labels"]
FINEST, LEVEL = "0", "level_"
CHUNK_VX = (64, 64, 64)
BYTES_OF_LARGE_BLOCKS = 4  # a voxel; eight finer voxels of it for each of 128^3 are 64 MiB


class PyramidConfig(PublicConfig):
    """A volume and its coarser levels, in a zarr group of their own beside it.

    Readers want all levels below one group, and our arrays are not groups. So level 0 is a relative symbolic link to the
    volume: nothing is copied, no path changes, and servers, readers and uploads that follow links see a whole image.
    `copy_finest` makes it an array instead, for places that know no links, such as object stores.

    Attributes
    ----------
    volume
        The array. It stays where it is and as it is.
    kind
        Labels have the mode of the finer voxels, all others their mean. By default told from the data type.
    output
        The group, a name that ends in ``.zarr``; by default ``raw.ome.zarr`` for ``raw``.
    copy_finest
        Copy level 0.
    fit_vx
        There are levels until each axis has at most as many voxels: with 64, the last is one chunk.
    block_vx, chunk_vx
        Of every coarser level; a block is 128 voxels an axis by default, and 64 where a voxel has many bytes.
    ledger
        By default that of the run which the volume belongs to, where that can be written, else one in the group.
    trust_inputs
        Do not look whether the volume was edited since.
    """

    volume: PathText
    kind: Kind | None = None
    output: PathText | None = None
    copy_finest: bool = False
    fit_vx: int = Field(default=64, ge=1)
    block_vx: Zyx | None = None
    chunk_vx: Zyx = CHUNK_VX
    ledger: str | None = None
    trust_inputs: bool = False
    execution: Execution = Field(default_factory=Execution)

    @property
    def group(self) -> Path:
        """Where the pyramid lies, with the default filled in."""
        if self.output is not None:
            return to_folder(self.output, "a pyramid")
        path = to_folder(self.volume, "a pyramid's volume")
        return path.with_name(f"{path.name.removesuffix('.zarr')}.ome.zarr")

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, with the default filled in."""
        own, of_run = self.group / RUN, self._run_folder
        shared = os.access(of_run / NAME, os.W_OK, effective_ids=True) and not (own / NAME).is_file()
        return ledger_url(of_run if shared else own, self.ledger)

    @property
    def volume_ledger_url(self) -> str:
        """The URL of the ledger that may know the volume."""
        return ledger_url(self._run_folder, self.ledger) if (self._run_folder / NAME).is_file() else self.ledger_url

    @property
    def _run_folder(self) -> Path:
        """Of the run, if the volume belongs to one."""
        return Path(self.volume).parent.parent


def build_pyramid(
    config: PyramidConfig, *, overwrite: bool = False, observe: Observer = lambda task, summary: None
) -> list[Volume]:
    """Write the levels that are missing, then the metadata that makes them one image.

    Returns
    -------
    list[Volume]
        The levels, from fine to coarse; `Volume.open` opens each.

    Raises
    ------
    UserError, RunFailed, RunStopped
        As `Engine.run`; also UserError if the volume is not finished or not of its kind, or something else lies at the output.
    """
    volume, group = Volume.open(config.volume), config.group
    method: Method = "mode" if (config.kind or guess_kind(volume)) == "labels" else "mean"
    check_method(volume.dtype, method, config.volume)
    check_not_moved(volume.path)
    _check_place(volume, config, overwrite)
    check_written(volume, config.volume_ledger_url)
    inputs = Inputs(group / RUN, trust=config.trust_inputs)
    if method == "mode":
        _check_ids(volume, config.copy_finest)
    source, origin = volume, inputs.identify("volume", volume)
    inputs.warn("its coarser levels are made again (unless inputs are trusted)")
    replace = overwrite or inputs.changed
    copy = _copy(volume, origin, config, method) if config.copy_finest else None
    if copy is not None and not (group / FINEST).is_symlink():  # to the volume, whose tag it has
        with inputs.explain():
            check_output(copy, replace)
    of_copy = copy is not None and method == "mode"
    if (
        first := _next_level(source, copy.fingerprint if copy and of_copy else origin, config, method, "1")
    ) is not None:
        with inputs.explain():
            check_output(first, replace)
    levels = {}
    hidden = {"execution", "ledger"}  # no part of the result, and a ledger's URL may hold a password
    with (
        deriving(volume, group, "copy" if config.copy_finest else "view"),
        lock_folder(group / RUN),
        Engine(config.ledger_url, config.execution, group / RUN / "logs", observe=observe) as engine,
    ):
        _remove_edited(group, Inputs(group / RUN, trust=config.trust_inputs))
        inputs.keep_unless_changed()
        write_json(group / RUN / "config.json", config.model_dump(mode="json", exclude=hidden))

        def run(task: Task) -> Volume:
            if bind_output(task) is None:
                (group / ".zattrs").unlink(missing_ok=True)  # no image until all levels are there again
            return Volume.open(engine.run(task, overwrite=replace).output)

        finest = group / FINEST
        if copy is not None:
            if finest.is_symlink():
                finest.unlink()
            copied = run(copy)
            if of_copy:
                _note_unlabelled(copied, volume, config.ledger_url)
                source, origin = copied, copy.fingerprint
        else:
            _link(volume, finest)
        levels[FINEST] = Volume.open(finest)
        while (task := _next_level(source, origin, config, method, str(len(levels)))) is not None:
            source, origin = run(task), task.fingerprint
            levels[str(len(levels))] = source
        attributes = label_image() if method == "mode" else None
        write_multiscales(group, levels, Path(config.volume).name, method, attributes)
        for name, level in levels.items():
            if not (group / name).is_symlink():
                inputs.identify(LEVEL + name, level)
        inputs.keep()
    return list(levels.values())


def _remove_edited(group: Path, made: Inputs) -> None:
    """Remove the levels that were edited since they were made, with a warning."""
    for level in group.glob("[0-9]*"):
        if is_array(level) and not level.is_symlink():
            made.identify(LEVEL + level.name, Volume.open(level))
    made.warn("it is made again (unless inputs are trusted)")
    for name, path in made.edited.items():
        made.forget(name)
        remove_at_once(Path(path))


def guess_kind(volume: Volume) -> Kind:
    """Tell what a volume is: with channels affinities, with integers of 32 bits or more labels, else raw."""
    if volume.channels is not None:
        return "affs"
    return "labels" if volume.dtype.kind in "iu" and volume.dtype.itemsize >= 4 else "raw"


def _copy(volume: Volume, origin: str, config: PyramidConfig, method: Method) -> Task:
    """Return the task that copies level 0."""
    stage = CopyLabels() if method == "mode" else Downsample(method=method, factor=(1, 1, 1))
    return _make_task(volume, origin, config, stage, FINEST)


def _check_ids(volume: Volume, copied: bool) -> None:
    """Raise UserError if ids are negative, as far as was looked; warn of those that are not neurons and would be shown as such."""
    tally = look_at(volume, volume.roi)
    if not copied:
        tally.warn_of_unlabelled(
            "shown like a neuron, since level 0 is the volume itself; --copy leaves it out", str(volume.path)
        )


def _note_unlabelled(copy: Volume, volume: Volume, ledger_url: str) -> None:
    """Note in a copy of labels how many of its voxels are 0 because nothing was labelled there."""
    key, ledger = read_key(copy.path), open_ledger(ledger_url)
    try:
        found = [count_unlabelled(block["results"]) for block in ledger.blocks(key, "done")] if key else []
    finally:
        ledger.close()
    if total := sum(found):
        warn(f"{total} voxels became 0: they are not labelled", str(copy.path))
    if known := describe_unlabelled(count_unlabelled(volume.attrs) + total):
        Volume.open(copy.path, "r+").data.attrs.update(known)


def _next_level(source: Volume, origin: str, config: PyramidConfig, method: Method, name: str) -> Task | None:
    """Return the task of the level after `source`, whose fingerprint is `origin`; None where that fits."""
    if max(source.shape_vx) <= config.fit_vx:
        return None
    stage = Downsample(method=method, factor=choose_factor(source.shape_vx, source.voxel_size))
    return _make_task(source, origin, config, stage, name)


def _make_task(source: Volume, origin: str, config: PyramidConfig, stage: Downsample, name: str) -> Task:
    voxel_bytes = source.dtype.itemsize * (source.channels or 1)
    times = 2 if voxel_bytes <= BYTES_OF_LARGE_BLOCKS else 1
    z, y, x = (times * c for c in config.chunk_vx)
    return make_downsample_task(
        source, config.group / name, stage, origin, config.block_vx or (z, y, x), config.chunk_vx
    )


def _check_place(volume: Volume, config: PyramidConfig, overwrite: bool) -> None:
    group, where = config.group, str(config.group)
    if group.suffix != ".zarr":
        raise UserError("a pyramid is a zarr group", where, "choose a name that ends in .zarr")
    if volume.path.resolve() in (group.resolve(), *group.resolve().parents):
        raise UserError("a pyramid cannot lie inside its volume", where, "choose another output")
    if group.exists() and not (group.is_dir() and ((group / RUN).is_dir() or not any(group.iterdir()))):
        raise UserError("there is something here that is no pyramid", where, "choose another output")
    if config.copy_finest:
        return
    if not (volume.path / ".zarray").is_file():
        raise UserError("only a zarr array of format 2 can be linked to as level 0", config.volume, "pass --copy")
    finest = group / FINEST
    linked = finest.is_symlink() and finest.resolve() == volume.path.resolve()
    if os.path.lexists(finest) and not linked and not overwrite:
        what = "level 0 is a copy, or a link to another volume"
        raise UserError(what, str(finest), "pass --copy if it is one, or --overwrite to link to the volume")


def check_written(volume: Volume, ledger_url: str) -> None:
    """Raise UserError where the ledger has the task that writes the volume, and blocks of it are left."""
    key, file = read_key(volume.path), Path(ledger_url.removeprefix(SQLITE))
    if key is None or (ledger_url.startswith(SQLITE) and not file.is_file()):
        return
    ledger = open_ledger(ledger_url, reading=True)
    try:
        record = ledger.task(key)
        done = record and ledger.summary(key).done
    finally:
        ledger.close()
    if record is not None and done != record.blocks:
        what = f"{record.stage} is not finished ({done} of {record.blocks} blocks)"
        raise UserError(what, str(volume.path), "finish its run first")


def _link(volume: Volume, finest: Path) -> None:
    """Link level 0 to the volume, so that both can be moved together."""
    target = os.path.relpath(str(volume.path.resolve()), finest.parent.resolve())
    if finest.is_symlink():
        if os.readlink(finest) == target:
            return
        finest.unlink()
    elif finest.exists():
        shutil.rmtree(finest)
    finest.symlink_to(target, target_is_directory=True)
