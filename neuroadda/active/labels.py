"""Labels of the proposed boxes come back: from files, from WEBKNOSSOS, from a server; checked, and put on raw's voxels."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import fastremap
import numpy as np

from neuroadda.active.label_boxes import Match, box_of, find_boxes, shape_of
from neuroadda.active.label_inputs import LabelInput, open_inputs
from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.config import fingerprint
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_checks import LabelTally
from neuroadda.volumes.contents.label_ids import clean_ids, count_unlabelled, describe_unlabelled
from neuroadda.volumes.geometry.places import describe_size, same_size
from neuroadda.volumes.readers import Box, Source
from neuroadda.volumes.storage.placing import placing
from neuroadda.volumes.storage.urls import Url

ID_BITS = 63
FULLY_LABELLED = 0.7


@dataclass(frozen=True)
class Imported:
    """The labels of one box.

    Attributes
    ----------
    rank
        Of its proposal.
    path
        Where they lie now.
    ids
        Number of different ids.
    labelled_fraction
        Part of its voxels that have one.
    notes
        What people should know of them, one sentence each.
    """

    rank: int
    path: Path
    ids: int
    labelled_fraction: float
    notes: tuple[str, ...]


def import_labels(
    proposals: Proposals,
    source: Path | Url | str,
    target: Path,
    *,
    rank: int | None = None,
    dataset: str | None = None,
    overwrite: bool = False,
    oracle: str | None = None,
) -> list[Imported]:
    """Import the labels of proposed boxes, each to ``<target>/roi_<rank>.zarr/labels`` (uint64, exactly the box).

    Boxes without any label in the source are left out. Nothing is written unless all is well.

    Parameters
    ----------
    source
        A crop or a whole volume (zarr, N5, HDF5, TIFF, .npy); a folder of crops named ``roi_<rank>``, such as those exported
        for labelling; the zip of a WEBKNOSSOS volume annotation; or the URL of a segmentation in Neuroglancer's precomputed
        format or zarr.
    target
        Folder.
    rank
        Which box it is. By default the source's place says so, or its name if that has ``roi_<rank>`` in it.
    dataset
        Name inside a file or below a folder; of a WEBKNOSSOS annotation, its volume layer.
    overwrite
        Replace labels that were imported before.
    oracle
        Fingerprint of the source, where it stands in for a person; see `read_oracle`.

    Returns
    -------
    list of Imported
        By rank.

    Raises
    ------
    UserError
        One line for the first thing that is wrong: shape, voxel size, place, data type, ids, or that nothing is labelled.
    """
    imported: list[Imported] = []
    with ExitStack() as stack:
        inputs = stack.enter_context(open_inputs(proposals, source, dataset))
        where = inputs[0].name if len(inputs) == 1 else str(source)
        chosen = [one for one in inputs if len(inputs) == 1 or rank in (None, one.rank)]
        if not chosen:
            raise UserError(f"there is no roi_{rank} in it", where)
        for given in chosen:
            _check_kind(given.source, proposals)
            matches = find_boxes(given, proposals, rank)
            notes, inside, here = list(given.source.notes), 0, []
            if given.source.voxel_size_nm is None:
                notes.append("it does not say its voxel size; raw's was taken")
            for proposal, first, note in matches:
                notes += note
                tally = LabelTally()
                labels = tally.add(given.read(box_of(first, shape_of(proposal, proposals))), given.name)
                _check_size(labels, given.name)
                if not (voxels := int(np.count_nonzero(labels))):
                    continue
                inside += voxels
                _check_no_raw(labels, tally, proposal, proposals, given.name)
                path = target / f"{proposal.name}.zarr" / "labels"
                unlabelled = sum(tally.unlabelled.values())
                if count_unlabelled(given.source.attributes):  # they are 0 already, and which is not known
                    unlabelled = labels.size - voxels
                origin = {"source": given.name} | ({} if oracle is None else {"oracle": oracle})
                _write(stack.enter_context(placing(path, overwrite)), labels, unlabelled, proposal, proposals, origin)
                ids, fraction = int(np.count_nonzero(fastremap.unique(labels))), voxels / labels.size
                remarks = (*notes, *tally.note_unlabelled(), *_remark(ids, fraction, unlabelled > 0))
                here.append(Imported(proposal.rank, path, ids, fraction, remarks))
            found = here
            if found and (outside := _count_outside(given, matches, inside, proposals)):
                told = f"{outside} labelled voxels outside the boxes were left out"
                found[0] = replace(found[0], notes=(*found[0].notes, told))
            imported += found
        if not imported:
            boxes = "the box" if rank is not None or len(proposals.proposals) == 1 else "any box"
            raise UserError(f"nothing is labelled: there is nothing but 0 in {boxes}", where)
    return sorted(imported, key=lambda one: one.rank)


def _check_kind(source: Source, proposals: Proposals) -> None:
    if source.dtype.kind not in "iu":
        right = "one whole number a neuron is expected, 0 where there is none"
        raise UserError(f"its data type is {source.dtype}", str(source), right)
    size, raw = source.voxel_size_nm, proposals.voxel_size_nm
    if size is not None and not same_size(size, raw):
        raise UserError(f"its voxel size is {describe_size(size)}", str(source), f"raw's is {describe_size(raw)}")


def _check_size(labels: np.ndarray, name: str) -> None:
    if (high := int(labels.max())) >= 2**ID_BITS:
        raise UserError(f"there are ids that are too large ({high})", name, f"ids are below 2^{ID_BITS}; relabel it")


def _check_no_raw(labels: np.ndarray, tally: LabelTally, proposal: Proposal, proposals: Proposals, name: str) -> None:
    same = False
    with suppress(UserError):  # raw may lie on another machine
        raw = proposals.open_volume()
        same = bool((raw.read(proposal.to_roi(raw)) == labels).all())
    if same:
        raise UserError("this is raw itself", name, "give its labels, one whole number a neuron")
    tally.refuse_raw(name)


def _count_outside(labels: LabelInput, matches: Sequence[Match], inside: int, proposals: Proposals) -> int:
    if len(matches) == 1 and labels.shape == shape_of(matches[0][0], proposals):
        return 0
    parts = labels.parts()
    return 0 if parts is None else sum(_count_labelled(labels, part) for part in parts) - inside


def _count_labelled(labels: LabelInput, part: Box) -> int:
    return int(np.count_nonzero(clean_ids(labels.read(part), labels.name)[0]))


def _remark(ids: int, labelled_fraction: float, ignored: bool) -> list[str]:
    notes = ["there is only one id, so no boundary between two neurons"] if ids < 2 else []
    if labelled_fraction < FULLY_LABELLED and not ignored:
        notes.append(
            f"only {100 * labelled_fraction:.0f} % is labelled and the rest is trained on as membrane: "
            'if it is unknown, set adapt.labels.background = "ignore"'
        )
    return notes


def read_oracle(labels: Path) -> str | None:
    """Return the fingerprint of the oracle that imported labels came from; None if they are a person's."""
    oracle = Volume.open(labels).attrs.get("provenance", {}).get("oracle")
    return None if oracle is None else str(oracle)


def _write(
    partial: Path,
    labels: np.ndarray,
    unlabelled: int,
    proposal: Proposal,
    proposals: Proposals,
    origin: Mapping[str, str],
) -> None:
    digest = hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()
    place = list(proposals.voxel_size_nm), list(proposal.offset_nm)
    known = describe_unlabelled(unlabelled)
    volume = Volume.create(
        partial,
        labels.shape,
        proposals.voxel_size_nm,
        np.uint64,
        offset_nm=proposal.offset_nm,
        attrs={
            "fingerprint": fingerprint("labels", digest, list(labels.shape), *place, *known),
            "provenance": {**origin, "rank": proposal.rank, "volume": proposals.volume_fingerprint},
            **known,
        },
    )
    volume.data[:] = labels
