"""Which proposed boxes an array of labels is for, and where in the array they lie."""

from collections.abc import Sequence

from neuroadda.active.label_inputs import LabelInput
from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.config import Zyx
from neuroadda.errors import UserError
from neuroadda.volumes.readers import Box

GRID_TOLERANCE = 0.01

Match = tuple[Proposal, Zyx, list[str]]


def find_boxes(labels: LabelInput, proposals: Proposals, rank: int | None) -> list[Match]:
    """Return the boxes that an array may have labels for, each with its first voxel there, and what is to be noted.

    Parameters
    ----------
    rank
        Which box it is; by default what the array says of itself.

    Raises
    ------
    UserError
        If that cannot be known, the array lies elsewhere, not on raw's voxels, or covers only a part of a box.
    """
    rank = labels.rank if rank is None else rank
    ranks = [p.rank for p in proposals.proposals]
    if rank is not None and rank not in ranks:
        raise UserError(f"there is no roi_{rank}", labels.name, f"proposed were {min(ranks)} to {max(ranks)}")
    if rank is None and labels.offset_nm is None and len(ranks) > 1:
        right = "give its rank, or name it roi_<rank>"
        raise UserError("it does not say where it lies, so it is not known which box this is", labels.name, right)
    wanted = [p for p in proposals.proposals if rank in (None, p.rank)]
    if rank is not None or labels.offset_nm is None:
        return [_place_one(labels, wanted[0], proposals)]
    found = [
        (p, first) for p in wanted if _overlaps(labels, first := _first(labels, p, proposals), shape_of(p, proposals))
    ]
    if not found:
        right = f"it lies at {_triple(labels.offset_nm)} nm (zyx); give its rank if that is not so"
        raise UserError("it overlaps none of the boxes", labels.name, right)
    for proposal, first in found:
        _check_inside(labels, proposal, first, shape_of(proposal, proposals), alone=len(found) == 1)
    return [(proposal, first, []) for proposal, first in found]


def _place_one(labels: LabelInput, proposal: Proposal, proposals: Proposals) -> Match:
    shape = shape_of(proposal, proposals)
    if labels.offset_nm is None or (labels.shape == shape and not any(labels.offset_nm) and any(proposal.offset_nm)):
        if labels.shape != shape:
            right = f"{proposal.name} has {_triple(shape)} voxels (zyx)"
            raise UserError(f"its shape is {_triple(labels.shape or ())}", labels.name, right)
        return proposal, (0, 0, 0), ["it does not say where it lies; it was taken for exactly the box"]
    first = _first(labels, proposal, proposals)
    if not _overlaps(labels, first, shape):
        at = f"it lies at {_triple(labels.offset_nm)} nm, {proposal.name} at {_triple(proposal.offset_nm)} nm (zyx)"
        raise UserError(f"it does not overlap {proposal.name}", labels.name, at)
    _check_inside(labels, proposal, first, shape)
    return proposal, first, []


def shape_of(proposal: Proposal, proposals: Proposals) -> Zyx:
    """Return a box's shape in voxels, zyx."""
    z, y, x = (round(s / v) for s, v in zip(proposal.shape_nm, proposals.voxel_size_nm, strict=True))
    return z, y, x


def _first(labels: LabelInput, proposal: Proposal, proposals: Proposals) -> Zyx:
    """Return the box's first voxel, counted from the array's."""
    assert labels.offset_nm is not None
    exact = [(p - a) / v for p, a, v in zip(proposal.offset_nm, labels.offset_nm, proposals.voxel_size_nm, strict=True)]
    z, y, x = map(round, exact)
    if max(abs(e - r) for e, r in zip(exact, (z, y, x), strict=True)) > GRID_TOLERANCE:
        nearest = [p - r * v for p, r, v in zip(proposal.offset_nm, (z, y, x), proposals.voxel_size_nm, strict=True)]
        what = f"its offset is {_triple(labels.offset_nm)} nm, that of {proposal.name} {_triple(proposal.offset_nm)} nm (zyx)"
        apart = f"they are {_triple(exact)} voxels apart, not whole ones"
        right = f"if it has raw's voxels, its offset is {_triple(nearest)} nm"
        raise UserError(f"its voxels do not lie on raw's voxels: {what}, {apart}", labels.name, right)
    return z, y, x


def box_of(first: Zyx, shape: Zyx) -> Box:
    """Return the slices of a box."""
    z, y, x = (slice(f, f + n) for f, n in zip(first, shape, strict=True))
    return z, y, x


def _overlaps(labels: LabelInput, first: Zyx, shape: Zyx) -> bool:
    ends = labels.shape or (first[0] + 1, first[1] + 1, first[2] + 1)
    return all(f < end and f + n > 0 for f, n, end in zip(first, shape, ends, strict=True))


def _check_inside(labels: LabelInput, proposal: Proposal, first: Zyx, shape: Zyx, *, alone: bool = True) -> None:
    if labels.shape is not None and any(
        f < 0 or f + n > end for f, n, end in zip(first, shape, labels.shape, strict=True)
    ):
        covered = [min(f + n, end) - max(f, 0) for f, n, end in zip(first, shape, labels.shape, strict=True)]
        right = f"{_triple(shape)} voxels (zyx) are expected, {_triple(covered)} of them are there"
        if not alone:
            right += "; if it is for one box alone, give its rank"
        raise UserError(f"it covers only a part of {proposal.name}", labels.name, right)


def _triple(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"
