"""What is being published: what is read, where it goes, and how a task of it is run."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.task import Task
from neuroadda.config import PathText, PublicConfig
from neuroadda.errors import UserError
from neuroadda.segmentation.pipeline import Plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.storage.locations import Location

WORK = ".run"
WHOLE = frozenset({"webknossos", "parquet"})  # formats of all segments at once, which only a folder can hold
SETTINGS = {"min_size": "--min-size ", "max_error_nm": "--max-error "} | {
    key: f"--set {key}=" for key in ("chunk_vx", "fit_vx", "shard_above", "block_vx")
}
"""Keys of the config that decide what is published, and how they are given to the command."""

Positive = Annotated[int, Field(gt=0)]
Shape = tuple[Positive, Positive, Positive]


class PublishConfig(PublicConfig):
    """A run in formats of others.

    Attributes
    ----------
    run
        Folder of a finished run; or a segmentation (array of integer ids) of any origin, for formats that need no more.
    output
        Folder, or a URL of S3. Each format has its own folder in it.
    work
        Folder whose ``.run`` holds ledger, logs and what goes on after a stop; by default `output`. Needed where that is a URL.
    to
        Formats; see `FORMATS`.
    affs
        Write the affinities to ``precomputed``.
    meshes
        Write meshes to ``precomputed``.
    skeletons
        Write skeletons to ``precomputed``.
    ids
        Segments whose meshes and skeletons are written; by default all.
    min_size : voxels
        Smaller segments have no mesh, skeleton or properties.
    max_error_nm
        How far the surface of a simplified mesh may be off, as zmesh estimates it; by default the longest side of a voxel. 0
        simplifies nothing.
    thresholds
        Thresholds that have a mapping in ``webknossos`` besides the run's own.
    chunk_vx
        Chunk shape of ``precomputed`` and ``webknossos``.
    fit_vx
        Scales of ``precomputed`` and ``webknossos`` are made until each axis has at most this many voxels.
    shard_above : chunks
        A scale of ``precomputed`` with more chunks keeps many in one file.
    block_vx
        Blocks in which segments are measured and meshed; by default 128 an axis.
    ledger
        URL of the ledger; by default one in ``.run``.
    trust_inputs
        Do not look whether arrays were edited since.
    execution
        How blocks are carried out; it does not change the result.
    """

    run: PathText
    output: PathText
    work: PathText | None = None
    to: tuple[str, ...] = ("precomputed",)
    affs: bool = False
    meshes: bool = True
    skeletons: bool = False
    ids: tuple[int, ...] | None = None
    min_size: int = Field(default=1000, ge=1)
    thresholds: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    max_error_nm: float | None = Field(default=None, ge=0)
    chunk_vx: Shape = (64, 64, 64)
    fit_vx: int = Field(default=64, ge=1)
    shard_above: int = Field(default=1024, ge=1)
    block_vx: Shape = (128, 128, 128)
    ledger: str | None = None
    trust_inputs: bool = False
    execution: Execution = Field(default_factory=Execution)

    def again(self, name: str) -> str:
        """Return the command that publishes one format again, with ``{of}`` for the run and ``{folder}`` for the output."""
        words = [f"neuroadda publish {{of}} {{folder}} --to {name}"]
        if name == "webknossos" and self.thresholds:
            words.append(f"--thresholds {','.join(f'{threshold:g}' for threshold in self.thresholds)}")
        if name not in WHOLE and self.ids is not None:
            words.append(f"--ids {','.join(map(str, self.ids))}")
        if name == "precomputed":
            words += [f"--{flag}" for flag in ("skeletons", "affs") if getattr(self, flag)]
            words += [] if self.meshes else ["--no-meshes"]
        for key, option in SETTINGS.items():
            if (value := getattr(self, key)) != type(self).model_fields[key].default:
                words.append(option + json.dumps(value, separators=(",", ":")))
        return " ".join([*words, "--overwrite"])


@dataclass(frozen=True)
class Publication:
    """A run that is being published.

    Attributes
    ----------
    plan
        Of the run; None where only a segmentation was given.
    segmentation
        zyx, its ids.
    raw, affs, fragments
        None without a run. `raw` may be larger than the segmentation; its voxels are the same.
    folder
        Of all that is published; it may be a URL.
    work
        Folder of what is made on the way.
    inputs
        Says what determines the content of an array: the fingerprint for a task's input; see `source`.
    run
        Runs a task of any stage on the engine; blocks that are done are skipped. It returns the task, bound to its output.
    """

    config: PublishConfig
    plan: Plan | None
    segmentation: Volume
    raw: Volume | None
    affs: Volume | None
    fragments: Volume | None
    folder: Location
    work: Path
    inputs: Inputs
    run: Callable[[Task], Task]

    def source(self, name: str) -> tuple[Location, str]:
        """Return place and content of an array (``segmentation``, ``raw``, ``affs``, ``fragments``), as `Task.make` takes them."""
        volume = getattr(self, name)
        assert isinstance(volume, Volume)
        return volume.path, self.inputs.identify(name, volume)

    def require_run(self, name: str) -> Plan:
        """Return the plan; raise UserError where there is none, which a format needs."""
        if self.plan is None:
            what = f"{name} needs a run, and this is not the folder of one"
            raise UserError(what, self.config.run, "give the folder of a run of `neuroadda segment`")
        return self.plan

    def find_folder(self, name: str) -> Path:
        """Return the folder of a format that is never published to a bucket."""
        folder = self.folder / name
        assert isinstance(folder, Path)
        return folder


def require_packages(what: str, *packages: str) -> None:
    """Raise UserError if a package is missing that the extra ``publish`` installs."""
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"the package {missing[0]} is missing", what, "pip install neuroadda[publish]")
