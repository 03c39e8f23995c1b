"""Proposals as CATMAID reads points: landmarks, or rows of its table of coordinates."""

from pathlib import Path

from neuroadda.active.exports.csv_table import format_number
from neuroadda.active.proposals import Proposals
from neuroadda.volumes.storage.placing import placing


def export_catmaid(proposals: Proposals, target: Path, *, overwrite: bool = False) -> Path:
    """Write three points a proposal: its centre and two opposite corners, in nm.

    The columns are those that CATMAID's Landmarks widget imports (name, x, y, z in project space after one line of
    header; nothing is quoted). Its Coordinates Table opens the same file; x, y, z are columns 2 to 4 there. The project's
    space is taken to be the volume's.

    Raises
    ------
    UserError
        If raw is not the volume of the proposals, or `target` cannot be written.
    """
    proposals.open_volume()
    rows = [("name", "x", "y", "z")]
    for proposal in proposals.proposals:
        first = proposal.offset_nm
        last = [o + s for o, s in zip(first, proposal.shape_nm, strict=True)]
        centre = [(a + b) / 2 for a, b in zip(first, last, strict=True)]
        for part, (z, y, x) in (("centre", centre), ("first corner", first), ("last corner", last)):
            rows.append((f"{proposal.name} {part}", format_number(x), format_number(y), format_number(z)))
    with placing(target, overwrite) as partial:
        partial.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    return target
