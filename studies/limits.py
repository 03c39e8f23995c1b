"""What limits the segmentation of a test volume by the zoo's entry of its domain: docs/results/limits.md.

    python -m studies.limits [TARGET ...]     mouse_cortex_ac3_test by default; linked volumes only; done rows are not made again

Each row changes one thing and is scored like docs/results/zoo.md, at the best threshold, which is looked at: these are no results
of a user, but bounds.

- ``as it is``: the product's default.
- ``mean of symmetries``: affinities are the mean of a section's symmetries (`predict.augment = "section"`).
- ``best setting``: of all that `neuroadda tune` tries by steepest ascent, the one with the lowest VOI.
- ``joined by truth``: each fragment goes to the label that it shares most voxels with. No agglomeration can do better; what is
  left is wrong inside of fragments.
"""

import argparse
import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import h5py
import numpy as np

from benchmarks.tables import to_markdown
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.labelled import Labelled
from neuroadda.evaluation.metrics import Scores, score
from neuroadda.evaluation.settings import AGGLOMERATIONS, FRAGMENTS
from neuroadda.prediction.ensemble import predict_roi
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.zoo.finding import builtin_folder, open_zoo
from studies.first_results import describe_cpu
from studies.ranking.targets import DATA, TARGETS, leave_borders_out, open_raw
from studies.rows import append_row, read_table

ROOT = Path(__file__).parent.parent
ROWS, PAGE = (ROOT / "docs" / "results" / name for name in ("limits.csv", "limits.md"))
AS_IS, SYMMETRIES, SETTING, TRUTH = WAYS = ("as it is", "mean of symmetries", "best setting", "joined by truth")


@dataclass(frozen=True)
class Row:
    """A test volume, segmented in one way. VOI in nats."""

    target: str
    way: str
    threshold: float  # NaN where none is needed
    voi_split: float
    voi_merge: float
    voi: float
    adapted_rand_error: float


def predict(target: str, augment: str) -> np.ndarray:
    """Return the affinities (uint8, czyx) of a test volume by the entry of its domain."""
    raw, entry = open_raw(target), TARGETS[target].own
    assert entry is not None
    backbone, (z, y, x) = open_zoo(builtin_folder()).backbone(entry), raw.shape_vx
    parameters = Predict(precision="float32", augment=augment).resolve(backbone.card.architecture, (z, y, x))
    return predict_roi(backbone, parameters, raw, raw.roi)


def measure(target: str, done: set[str]) -> Iterator[Row]:
    """Segment a test volume in every way that is not done."""
    with h5py.File(DATA / f"{target}.hdf") as file:
        truth = file["volumes/labels/neuron_ids"][:].astype(np.uint64)
    truth = leave_borders_out(truth) if TARGETS[target].touching else truth
    voxel_size_nm = open_raw(target).voxel_size_nm

    def sweep(labelled: Labelled, fragments: Fragments, agglomerate: Agglomerate) -> tuple[float, Scores]:
        found = labelled.sweep(fragments, agglomerate)[0]
        return found.thresholds[found.best], found.scores[found.best]

    def row(way: str, threshold: float, scores: Scores) -> Row:
        numbers = (scores.voi_split, scores.voi_merge, scores.voi, scores.adapted_rand_error)
        return Row(target, way, threshold, *(round(number, 4) for number in numbers))

    default = Fragments(method="ascent")
    if SYMMETRIES not in done:
        turned = Labelled(predict(target, "section"), truth, voxel_size_nm, linked=True)
        yield row(SYMMETRIES, *sweep(turned, default, Agglomerate()))
    if {AS_IS, SETTING, TRUTH} <= done:
        return
    labelled = Labelled(predict(target, "none"), truth, voxel_size_nm, linked=True)
    tried = product((one for one in FRAGMENTS if one.method == "ascent"), AGGLOMERATIONS)
    found = [sweep(labelled, fragments, agglomerate) for fragments, agglomerate in tried]
    overlaps = count_overlaps(labelled.find(default), truth)
    yield row(AS_IS, *found[0])
    yield row(SETTING, *min(found, key=lambda one: one[1].voi))
    yield row(TRUTH, float("nan"), score(overlaps.relabel(overlaps.main_labels())))


def write_page(rows: list[Row]) -> None:
    """Write the table, and what it says of each volume."""
    told, lines = [], []
    for target in dict.fromkeys(row.target for row in rows):
        of = {row.way: row for row in rows if row.target == target}
        if set(of) < set(WAYS):
            continue
        whole, best = of[AS_IS].voi, min(of[SYMMETRIES].voi, of[SETTING].voi)
        told.append(
            f"- {target}: VOI is {whole:.3f}; the mean of symmetries or another setting lowers it to no less than {best:.3f}. "
            f"With each fragment in the right segment it would be {of[TRUTH].voi:.3f}: the other "
            f"{1 - of[TRUTH].voi / whole:.0%} are merges that are wrong or missing, by the affinities between fragments."
        )
        for way in WAYS:
            one = of[way]
            threshold = "" if np.isnan(one.threshold) else f"{one.threshold:g}"
            scores = (one.voi_split, one.voi_merge, one.voi, one.adapted_rand_error)
            lines.append((target, way, threshold, *(f"{number:.3f}" for number in scores)))
    head = ("volume", "way", "threshold", "VOI split", "VOI merge", "VOI", "adapted Rand error")
    PAGE.write_text(
        PAGE_TEXT.format(
            told="\n".join(told),
            table=to_markdown(head, lines),
            settings=len(AGGLOMERATIONS) * sum(one.method == "ascent" for one in FRAGMENTS),
            date=datetime.date.today().isoformat(),
            machine=f"{describe_cpu()}, {os.cpu_count()} shared cores, no GPU; float32",
        )
    )
    print(PAGE)


PAGE_TEXT = """# What limits a backbone of the zoo

Test volumes, segmented by the zoo's entry of their domain without fine-tuning, in ways that change one thing each:

{told}

What follows the network changes little. Whether a longer training changes more: the learning curves in [zoo.md](zoo.md).

{table}

VOI in nats. Thresholds are the best for each row: bounds, not results of a user. *Mean of symmetries*: `predict.augment =
"section"`. *Best setting*: the lowest of the {settings} settings by steepest ascent that `neuroadda tune` tries. *Joined by
truth*: each fragment of the default has the label that it shares most voxels with.

- Command: `python -m studies.limits`, {date}
- Machine: {machine}
- Rows: [limits.csv](limits.csv)
"""


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    linked = [name for name, target in TARGETS.items() if target.own and target.linked]
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(linked)}")
    targets = parser.parse_args().targets or ["mouse_cortex_ac3_test"]
    if unknown := set(targets) - set(linked):
        parser.error(f"no linked volume with an entry of its domain: {', '.join(sorted(unknown))}")
    os.chdir(ROOT)
    for target in targets:
        for row in measure(target, {row.way for row in read_table(ROWS, Row) if row.target == target}):
            append_row(ROWS, row)
    write_page(read_table(ROWS, Row))


if __name__ == "__main__":
    main()
