"""The edits that a run has taken, ``edits_taken.json`` in its folder: its components are made with them (see `constraints`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroadda.blockwise.outputs import read_tag
from neuroadda.config import dump_config, load_config_file, parse_config, write_json
from neuroadda.runs.config import find_arrays, read_config
from neuroadda.segmentation.edit_journal import Journal
from neuroadda.segmentation.edits import Edit, Edits

TAKEN = "edits_taken.json"


def read_edits(run: Path) -> Edits | None:
    """Return the edits of a run that are in force; None where there are none."""
    found = tuple(Journal.read(run).in_force)
    return Edits(edits=found) if found else None


def read_taken(run: Path) -> Edits | None:
    """Return the edits that a run has taken; None where it has taken none."""
    path = run / TAKEN
    return parse_config(Edits, load_config_file(path), str(path)) if path.is_file() else None


def keep_taken(run: Path, edits: Edits | None) -> None:
    """Keep which edits a run takes."""
    if edits is None:
        (run / TAKEN).unlink(missing_ok=True)
    else:
        write_json(run / TAKEN, dump_config(edits))


@dataclass(frozen=True)
class EditCounts:
    """How many edits a run has.

    Attributes
    ----------
    edits, undone
        All, and those of them that are undone.
    applied
        Whether the segmentation is made with the others.
    """

    edits: int
    undone: int
    applied: bool

    def describe(self) -> str:
        """Return such as ``12 edits, 3 undone, applied``."""
        told = f"{self.edits} edit{'s' if self.edits > 1 else ''}, {self.undone} undone"
        return f"{told}, {'applied' if self.applied else 'not applied yet'}"

    def advise(self, run: str | Path) -> str:
        """Return the same, and what makes the segmentation with them if it is not."""
        return self.describe() + ("" if self.applied else f": `neuroadda edits apply {run}` makes the segmentation")


def count_edits(run: Path) -> EditCounts | None:
    """Count the edits of a run; None where there are none. Whether its stages are finished, its ledger tells."""
    journal = Journal.read(run)
    if not journal.edits:
        return None
    return EditCounts(len(journal.edits), len(journal.undone), _is_applied(run, journal.in_force))


def _is_applied(run: Path, in_force: Sequence[Edit]) -> bool:
    """Tell by the tags of the outputs whether lookup table and segmentation are made with these edits."""
    volumes = find_arrays(run, read_config(run))
    tags = (read_tag(place) or {} for place in (volumes / "fragments", run / "lut", volumes / "segmentation"))
    fragments, lut, segmentation = tags
    wanted = Edits(edits=tuple(in_force)).digest(fragments.get("fingerprint", "")) if in_force else None
    taken = lut.get("input_fingerprints", {}).get("edits", None if lut else "")
    made = segmentation.get("input_fingerprints", {}).get("lut", "")
    return bool(taken == wanted and made == lut.get("fingerprint"))
