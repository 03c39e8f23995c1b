"""Foreign volumes into ours: checked, streamed box by box, and put in place only when whole."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.config import ZyxFloat, fingerprint
from neuroadda.errors import UserError, warn
from neuroadda.observing import track
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.kinds import Kind, ask_kind, guess_kind
from neuroadda.volumes.contents.label_checks import LabelTally
from neuroadda.volumes.contents.label_ids import count_unlabelled, describe_unlabelled
from neuroadda.volumes.contents.scaling import Scale, ValueRange, find_scale
from neuroadda.volumes.geometry.axes import ORDERS, Order
from neuroadda.volumes.geometry.places import Answers, describe_size, list_doubts
from neuroadda.volumes.geometry.world import is_whole_pm, world_units
from neuroadda.volumes.readers import Box, Source, open_source
from neuroadda.volumes.readers.choosing import CREMI_LABELS, CREMI_RAW
from neuroadda.volumes.readers.source import Contrast, Gaps
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.nodes import check_target
from neuroadda.volumes.storage.placing import placing

Progress = Callable[[int, int], None]
BOX_BYTES = 64 * 2**20
UNSET_NM = (1.0, 1e3, 1e6, 1e9)


def import_volume(
    source: Location | str,
    target: Location | str,
    *,
    voxel_size_nm: Sequence[float] | None = None,
    offset_nm: Sequence[float] | None = None,
    axes: Order | None = None,
    dataset: str | None = None,
    kind: Kind | None = None,
    chunk_vx: Sequence[int] | None = None,
    contrast: Contrast = "as-seen",
    gaps: Gaps | None = None,
    order: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Volume:
    """Import HDF5, TIFF, .npy, zarr, N5, a folder of TIFF or PNG sections, Neuroglancer's precomputed format, or the labels of a
    WEBKNOSSOS annotation; see `volumes.readers`.

    Raw becomes uint8: uint8 stays as it is; other integers are scaled linearly, so that the 0.1st and 99.9th percentile
    (of 16 sections spread over the stack) become 0 and 255, and what lies outside is clipped (`contents.scaling`). Raw is what
    a viewer shows: inverted where a TIFF says MinIsWhite, and the greys of a palette. Labels become uint64, the values that are
    stored; ids that other tools keep for what is not labelled become 0 (see `label_ids`). What was done is said in the provenance's
    `notes`, and logged.
    Provenance (source, its sha256, what it says about itself, the scale) and fingerprint are attributes of the result.
    Memory holds one box of 64 MiB, or for image stacks the pages of one layer of chunks (on disk when over 512 MiB).

    Parameters
    ----------
    source
        File, folder or URL, such as ``precomputed://https://host/volume``. The fingerprint covers the sha256 of the files, and at a
        URL that of the voxels.
    target
        Path or URL, such as ``volumes.zarr/raw``. If it ends in ``.zarr``, the volume is written to ``raw`` or ``labels``
        in it, and from a CREMI file, when neither `dataset` nor `kind` is given, both are.
    voxel_size_nm, offset_nm
        zyx; default to what the source says, the offset to 0. Of a precomputed volume or an OME-NGFF image, the scale of this voxel
        size is imported; by default the finest. What is given wins over what the source says.
    axes
        The order in which the lists of a zarr, N5 or HDF5 source give voxel size and offset: "zyx" or "xyz". By default that of its
        format (docs/formats.md); where that is in doubt, it has to be given.
    dataset
        Name inside an HDF5 file, below a zarr or N5 folder or a URL, or of a WEBKNOSSOS volume layer. By default
        ``volumes/raw`` of a CREMI file (for `kind` "labels", ``volumes/labels/neuron_ids``), or the one volume in the file.
    kind
        By default what the source says, as WEBKNOSSOS and precomputed do. Otherwise integers are labels if they have more than 16
        bits, or if the name of the array or file contains "label", "neuron_ids" or "segmentation". Everything else is raw,
        unless it looks like labels: then it is refused, and this must be given.
    chunk_vx
        Chunk shape, zyx.
    contrast
        "as-stored" takes the stored values of raw where a viewer shows others.
    gaps
        What becomes of section files that are missing in a numbered series: "blank" puts in sections of 0, "step" only such for
        every step of the numbers, "close" moves up what follows. By default a series with gaps is refused.
    order
        In which order section files are whose names do not tell it: "numbers", "letters", or a text file that lists their names,
        one a line. By default such a folder is refused.
    overwrite
        Replace an existing array.
    progress
        Called with voxels done and voxels in all.

    Returns
    -------
    Volume
        What was written; the raw volume if raw and labels were.

    Raises
    ------
    UserError
        One line for whatever is wrong with source, target or arguments; nothing is left behind.
    """
    target = to_location(target)
    if axes not in (None, *ORDERS):
        raise UserError(f"{axes!r} is no order of axes", "--axes", "zyx or xyz")
    if voxel_size_nm is not None:
        world_units(voxel_size_nm, (0.0, 0.0, 0.0))
    with ExitStack() as stack:
        size, offset = _triple(voxel_size_nm), _triple(offset_nm)
        answers = Answers(size, offset, axes)
        opened = open_source(
            source,
            dataset,
            prefer_labels=kind == "labels",
            voxel_size_nm=size,
            offset_nm=offset or (0.0, 0.0, 0.0),
            answers=answers,
            gaps=gaps,
            order=order,
        )
        first = stack.enter_context(opened)
        found = kind or guess_kind(first)
        jobs = [(first, target / found if target.suffix == ".zarr" else target, found)]
        both = dataset is None and kind is None and first.dataset == CREMI_RAW and CREMI_LABELS in first.datasets
        if both and target.suffix == ".zarr":
            labels = stack.enter_context(open_source(source, CREMI_LABELS, answers=answers))
            if size or offset:
                _check_alone(answers, source, first, labels)
            jobs.append((labels, target / "labels", "labels"))
        plans = [
            _plan(take_source(opened, kind, contrast, voxel_size_nm), kind, voxel_size_nm, offset_nm)
            for opened, _, kind in jobs
        ]
        if kind is None and found == "raw":
            ask_kind(first)
        for plan in plans:
            for note in plan.notes:
                warn(note, str(plan.source))
        check_target(target)
        partials = [stack.enter_context(placing(path, overwrite)) for _, path, _ in jobs]
        digests = {files: digest_files(files) if files else None for files in {plan.source.files for plan in plans}}
        total, done = sum(math.prod(plan.source.shape) for plan in plans), 0
        for plan, partial in zip(plans, partials, strict=True):
            for voxels in _write(plan, partial, digests[plan.source.files], chunk_vx):
                done += voxels
                if progress is not None:
                    progress(done, total)
    return Volume.open(jobs[0][1], "r+")


def digest_files(files: Sequence[Path]) -> str:
    """Return the sha256 (hex) of a file; of several, the sha256 of their sorted names and digests."""
    if len(files) == 1:
        with files[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    root = os.path.commonpath(files) if files else ""
    digests = track(f"digest of the files in {root}", files)
    lines = sorted(f"{path.relative_to(root).as_posix()} {digest_files([path])}" for path in digests)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def boxes(shape: Sequence[int], chunk: Sequence[int], itemsize: int) -> Iterator[Box]:
    """Cover a volume with boxes made of whole chunks, one chunk high, of at most about 64 MiB each; by layers of z."""
    wide = max(1, BOX_BYTES // (chunk[0] * chunk[1] * chunk[2] * itemsize)) * chunk[2]
    step_x = min(wide, shape[2])
    step_y = (
        max(1, BOX_BYTES // (chunk[0] * chunk[1] * step_x * itemsize)) * chunk[1] if step_x == shape[2] else chunk[1]
    )
    for z in range(0, shape[0], chunk[0]):
        for y in range(0, shape[1], step_y):
            for x in range(0, shape[2], step_x):
                starts, steps = (z, y, x), (chunk[0], step_y, step_x)
                yield tuple(slice(b, min(b + n, s)) for b, n, s in zip(starts, steps, shape, strict=True))  # type: ignore[misc]


@dataclass(frozen=True)
class _Plan:
    source: Source
    kind: Kind
    voxel_size_nm: Sequence[float]
    offset_nm: Sequence[float]
    scale: Scale | None
    tally: LabelTally = field(default_factory=LabelTally)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know before the volume is written."""
        return self.source.notes if self.scale is None else (*self.source.notes, self.scale.describe())

    def convert(self, voxels: np.ndarray) -> np.ndarray:
        if self.kind == "labels":
            return self.tally.add(voxels, str(self.source))
        return voxels.astype(np.uint8) if self.scale is None else self.scale.apply(voxels)


def take_source(
    source: Source, kind: Kind, contrast: Contrast = "as-seen", voxel_size_nm: Sequence[float] | None = None
) -> Source:
    """Return a source as it is taken, with notes on all that is doubtful before a voxel is read.

    Parameters
    ----------
    voxel_size_nm
        zyx, where it is given.

    Raises
    ------
    UserError
        If raw is shown in colours, or voxel size or offset are none.
    """
    source = source.taken_as(kind, contrast)
    size = source.voxel_size_nm if voxel_size_nm is None else _triple(voxel_size_nm)
    if size is None:
        return source
    if voxel_size_nm is None:
        world_units(size, (0.0, 0.0, 0.0), str(source))
    notes = list(list_doubts(size, source.shape))
    if not is_whole_pm(size):
        notes.insert(0, f"its voxel size, {size} nm, is rounded to whole picometres")
    if voxel_size_nm is None and any(size == (unit,) * 3 for unit in UNSET_NM):
        what = "is 1 along each axis, which is also written where none is known"
        notes.append(f"its voxel size, {describe_size(size)}, {what}")
    return replace(source, notes=(*source.notes, *notes))


def _plan(
    source: Source, kind: Kind, voxel_size_nm: Sequence[float] | None, offset_nm: Sequence[float] | None
) -> _Plan:
    voxel_size = source.voxel_size_nm if voxel_size_nm is None else voxel_size_nm
    if voxel_size is None:
        raise UserError("it does not say its voxel size", str(source), "give --voxel-size Z Y X (nm)")
    offset = offset_nm if offset_nm is not None else source.offset_nm or (0.0, 0.0, 0.0)
    world_units((1.0, 1.0, 1.0), offset, str(source) if offset_nm is None else None)
    if source.dtype.kind == "f":
        right = "scale it to uint8 first, as in (255 * (x - low) / (high - low)).clip(0, 255).astype('uint8')"
        right = right if kind == "raw" else "labels are whole numbers"
        raise UserError(f"its data type is {source.dtype}", str(source), right)
    scale = find_scale(source) if kind == "raw" and source.dtype != np.uint8 else None
    return _Plan(source, kind, voxel_size, offset, scale)


def _check_alone(answers: Answers, location: Location | str, *opened: Source) -> None:
    """Raise UserError if one answer is given for volumes of a file that say other places."""
    try:
        with ExitStack() as stack:
            own = Answers(axes=answers.axes)
            told = [stack.enter_context(open_source(location, source.dataset, answers=own)) for source in opened]
    except UserError:
        return  # that their places are in doubt is why an answer is given
    sizes = {source.voxel_size_nm for source in told} - {None}
    offsets = {source.offset_nm or (0.0, 0.0, 0.0) for source in told}
    if (answers.voxel_size_nm and len(sizes) > 1) or (answers.offset_nm and len(offsets) > 1):
        names = " and ".join(str(source.dataset) for source in opened)
        right = "import each by itself, with --dataset"
        raise UserError(f"{names} say other places, and one is given for both", str(location), right)


def _triple(lengths: Sequence[float] | None) -> ZyxFloat | None:
    if lengths is None or len(lengths) != 3:
        return None  # what is no place is refused by `_plan`
    z, y, x = lengths
    return z, y, x


def _write(plan: _Plan, partial: Location, digest: str | None, chunk_vx: Sequence[int] | None) -> Iterator[int]:
    """Write a volume box by box; without a digest of files, that of the voxels in the order of boxes is taken."""
    source, dtype = plan.source, np.dtype(np.uint64 if plan.kind == "labels" else np.uint8)
    place = [float(v) for v in plan.voxel_size_nm], [float(o) for o in plan.offset_nm]
    volume = Volume.create(
        partial, source.shape, place[0], dtype, offset_nm=place[1], chunk_vx=chunk_vx, attrs=_describe(plan, digest)
    )
    content, seen = hashlib.sha256(), ValueRange()
    places = list(boxes(source.shape, volume.chunk_vx, source.dtype.itemsize))
    for box in track(f"import of {source}", places):
        voxels = plan.convert(source.read(box))
        seen.add(voxels)
        volume.data[box] = voxels
        if digest is None:
            content.update(np.ascontiguousarray(voxels).data)
        yield voxels.size
    found = (*source.late_notes(), *plan.tally.notes(), *seen.describe(plan.kind))
    for note in found:
        warn(note, str(source))
    if digest is None or found:
        volume.data.attrs.update(_describe(plan, digest or content.hexdigest(), found))


def _name_changes(plan: _Plan) -> list[str]:
    """Return what was done to the voxels beyond what was always done, for the fingerprint."""
    padded = [] if plan.scale is None or not plan.scale.changes_result else [plan.scale.describe()]
    return [*plan.source.changes, *padded]


def _describe(plan: _Plan, digest: str | None, found: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return fingerprint and provenance, with what was `found` in the voxels; without a digest, which comes last, nothing."""
    if digest is None:
        return {}
    source, dtype = plan.source, np.dtype(np.uint64 if plan.kind == "labels" else np.uint8)
    place = [float(v) for v in plan.voxel_size_nm], [float(o) for o in plan.offset_nm]
    name = source.location.name if isinstance(source.location, Path) else str(source.location)
    provenance: dict[str, Any] = {"source": name, "sha256": digest, "attributes": source.attributes}
    if source.dataset is not None:
        provenance["dataset"] = source.dataset
    if notes := [*plan.notes, *found]:
        provenance["notes"] = notes
    if plan.scale is not None:
        provenance["scale"] = plan.scale.to_data()
    changes = [*map(str, sorted(plan.tally.unlabelled)), *_name_changes(plan)]
    made_of = fingerprint("import", digest, source.dataset, *place, list(source.shape), dtype.name, *changes)
    attrs: dict[str, Any] = {"fingerprint": made_of, "provenance": provenance}
    if plan.kind == "labels":
        attrs |= describe_unlabelled(count_unlabelled(source.attributes) + sum(plan.tally.unlabelled.values()))
    return attrs
