"""Proposals as a table for spreadsheets and scripts."""

import csv
from pathlib import Path

from neuroadda.active.proposals import Proposals
from neuroadda.volumes.storage.placing import placing

COLUMNS = (
    "rank",
    *(f"{part}_{axis}_{unit}" for unit in ("nm", "vx") for part in ("offset", "shape", "centre") for axis in "xyz"),
    "score",
    "reason",
)


def export_csv(proposals: Proposals, target: Path, *, overwrite: bool = False) -> Path:
    """Write one row a proposal: its place in nm and in voxels counted from raw's first, axes named, score and reason.

    A centre in voxels may be half of one: the border between two.

    Raises
    ------
    UserError
        If raw is not the volume of the proposals, a box is not in it, or `target` cannot be written.
    """
    raw = proposals.open_volume()
    with placing(target, overwrite) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for proposal in proposals.proposals:
            slices = raw.to_slices(proposal.to_roi(raw))
            voxels = [s.start for s in slices], [s.stop - s.start for s in slices]
            row: list[object] = [proposal.rank]
            for offset, shape in ((proposal.offset_nm, proposal.shape_nm), voxels):
                centre = [o + s / 2 for o, s in zip(offset, shape, strict=True)]
                row += [format_number(v) for zyx in (offset, shape, centre) for v in reversed(zyx)]
            table.writerow([*row, format_number(proposal.score), proposal.reason])
    return target


def format_number(value: float) -> str:
    """Return a number without the noise of binary fractions: 4.6, not 4.6000000000000005; 12, not 12.0."""
    return f"{value:.12g}"
