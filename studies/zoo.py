"""Score entries of two zoos on the test parts of the domains, without any training: docs/results/zoo.md.

    python -m studies.zoo --old FOLDER [TARGET ...]

Each target is segmented by the entry of its own domain and by the generalist, of the zoo in the folder `--old` and of the zoo that
comes with neuroadda, and by a longer training of the entry (`studies.longer`) that did not become the entry. Rows go to
docs/results/zoo_scores.csv; what is in there is not done again. Delete the rows of entries that change. The scores of the new zoo's
entries also go into their cards.

The page also tells of AC3 after four boxes, which has to be run before:

    neuroadda import ../shared/data/mouse_cortex_ac3_test.hdf runs/ac3/data.zarr
    neuroadda run -c studies/zoo_ac3_four_boxes.toml
    neuroadda run -c studies/zoo_ac3_four_boxes.toml --set adapt.backbone=FOLDER/mouse_cortex_sssem \
        --set adapt.output=runs/ac3/old/adapt --set segment.backbone=runs/ac3/old/adapt/backbone \
        --set segment.output=runs/ac3/old/segmentation
"""

import argparse
import datetime
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import torch

from neuroadda.backbones.card import CARD, load_card
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.config import dump_config, write_json
from neuroadda.evaluation.labelled import Labelled
from neuroadda.evaluation.metrics import Scores
from neuroadda.evaluation.skeletons import array_lookup, expected_run_length, skeletonize_labels
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import agglomerate_array
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.adding import write_index
from neuroadda.zoo.finding import Zoo, builtin_folder, open_zoo
from studies.first_results import describe_cpu
from studies.longer import FOLDER as LONGER_FOLDER
from studies.longer import ROWS as LONGER_ROWS
from studies.longer import Row as LongerRow
from studies.ranking.targets import DATA, TARGETS, leave_borders_out, open_raw
from studies.rows import append_row, read_table

ROOT = Path(__file__).parent.parent
ROWS, PAGE = (ROOT / "docs" / "results" / name for name in ("zoo_scores.csv", "zoo.md"))
GENERALIST, LONGER = "generalist", "longer"
METHODS = ("ascent", "seeds")
MIN_SKELETON_NM, MERGE_NODES = 300.0, 2


@dataclass(frozen=True)
class Row:
    """A test volume, segmented by an entry of a zoo: at the threshold of the entry's card, and at the best one. VOI in nats."""

    target: str
    entry: str
    zoo: str
    method: str
    threshold: float
    voi_split: float
    voi_merge: float
    voi: float
    adapted_rand_error: float
    erl: float  # of a perfect segmentation's; NaN where ids are not linked between sections
    best_threshold: float
    best_voi: float
    best_adapted_rand_error: float


def score_entry(target: str, entry: str, zoo: str, backbone: Backbone, missing: list[str]) -> list[Row]:
    """Segment a whole test volume by each of some methods, and score it."""
    with h5py.File(DATA / f"{target}.hdf") as file:
        truth = file["volumes/labels/neuron_ids"][:].astype(np.uint64)
    return score_volume(open_raw(target), truth, target, entry, zoo, backbone, missing)


def score_volume(
    raw: Volume, truth: np.ndarray, target: str, entry: str, zoo: str, backbone: Backbone, methods: Sequence[str]
) -> list[Row]:
    """Segment a volume by each of some methods, and score it by its labels (uint64, zyx)."""
    known, shape = TARGETS[target], raw.shape_vx
    predict = Predict(precision="float32").resolve(backbone.card.architecture, (shape[0], shape[1], shape[2]))
    affs, _ = Predictor(backbone, predict)(raw, raw.roi)
    scored = leave_borders_out(truth) if known.touching else truth
    labelled = Labelled(affs, scored, raw.voxel_size_nm, known.linked)
    skeletons = skeletonize_labels(truth, raw.voxel_size_nm, min_length_nm=MIN_SKELETON_NM) if known.linked else {}
    rows = []
    for method in methods:
        fragments = Fragments(method=method, sections=None if known.linked else True)
        sweep = labelled.sweep(fragments, Agglomerate())[0]
        chosen = backbone.card.metrics["threshold"]
        at = min(range(len(sweep.thresholds)), key=lambda n: abs(sweep.thresholds[n] - chosen))
        scores, best = sweep.scores[at], sweep.scores[sweep.best]
        row = Row(
            target, entry, zoo, method, sweep.thresholds[at],
            *(round(v, 4) for v in (scores.voi_split, scores.voi_merge, scores.voi, scores.adapted_rand_error)),
            float("nan"), sweep.thresholds[sweep.best], round(best.voi, 4), round(best.adapted_rand_error, 4),
        )  # fmt: skip
        if skeletons:
            segmented = agglomerate_array(affs, raw.voxel_size_nm, fragments, Agglomerate()).segment(row.threshold)
            look_up = array_lookup(segmented, raw.voxel_size_nm)
            row = replace(row, erl=round(expected_run_length(skeletons, look_up, MERGE_NODES).normalised, 4))
        rows.append(row)
    return rows


def default_method(target: str) -> str:
    """Return the product's default: steepest ascent in 3-D, seeds in sections."""
    return "ascent" if TARGETS[target].linked else "seeds"


def write_page(rows: Sequence[Row]) -> None:
    """Write what came of it, by the product's default fragments; rows of both methods are in the CSV."""
    shown = sorted(rows, key=lambda r: (list(TARGETS).index(r.target), r.entry == GENERALIST, r.zoo == "new"))
    own = {(row.target, row.zoo): row.voi for row in shown if row.entry != GENERALIST}
    pairs = {target: (own[target, "old"], own[target, "new"]) for target in TARGETS if (target, "old") in own}
    touching = ", ".join(name for name, target in TARGETS.items() if target.touching)
    told = [f"- {target}: {old:.3f} to {new:.3f} nats ({new / old - 1:+.0%})" for target, (old, new) in pairs.items()]
    lines = [
        "# The zoo: the entries of today beside those of before",
        "",
        "VOI of each domain's own entry on its test part, before and now:",
        "",
        *told,
        "",
        *_tell_adapted(),
        *_tell_curves(rows),
        "Test parts were never trained on. They are segmented at their own voxel size, without any fine-tuning, by their own",
        "domain's entry and by the generalist, which has seen these domains' train parts (but fly_brain and cerebellum) at 8 nm:",
        "at other voxel sizes its scores say little. VOI in nats; voxels with truth label 0 are not scored. *chosen* is at the",
        "threshold of the entry's card, which its validation part chose. ERL is a share of what a perfect segmentation would",
        "have. Sections of larva L3 and cerebellum are segmented and scored one by one: ids are not linked. `zoo_scores.csv` also",
        "has fragments by seeds. Where the labels of neighbours touch, voxels at their borders are not scored:",
        f"{touching}.",
        "",
        "What limits an entry: [limits.md](limits.md). The generalist on domains that it has never seen:",
        "[generalist.md](generalist.md).",
        "",
        f"- Command: `python -m studies.zoo --old FOLDER` (a zoo of before), {datetime.date.today().isoformat()}",
        f"- Machine: {describe_cpu()}, {os.cpu_count()} shared cores, no GPU; float32",
        "",
        "| volume | entry | zoo | VOI split | VOI merge | VOI, chosen | adapted Rand error | ERL | threshold | VOI, best |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in shown:
        numbers = (row.voi_split, row.voi_merge, row.voi, row.adapted_rand_error)
        erl = "" if np.isnan(row.erl) else f"{row.erl:.3f}"
        lines.append(
            f"| {row.target} | {row.entry} | {row.zoo} | "
            + " | ".join(f"{number:.3f}" for number in numbers)
            + f" | {erl} | {row.threshold} | {row.best_voi:.3f} |"
        )
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE)


def _tell_adapted() -> list[str]:
    """Return what AC3 scores after four boxes."""
    lines = []
    for zoo in ("old", "new"):
        path = Path("runs/ac3") / zoo / "segmentation" / "summary.json"
        summary = json.loads(path.read_text())
        scores, erl = Scores.model_validate(summary["scores"]), summary["erl"]["normalised"]
        lines.append(
            f"- {zoo}: VOI {scores.voi:.3f} (split {scores.voi_split:.3f}, merge {scores.voi_merge:.3f}), "
            f"adapted Rand error {scores.adapted_rand_error:.3f}, ERL {erl:.3f} of a perfect segmentation's"
        )
    told = "AC3 after four proposed boxes, on all the rest (`neuroadda run -c studies/zoo_ac3_four_boxes.toml`):"
    return [told, "", *lines, ""]


def _tell_curves(rows: Sequence[Row]) -> list[str]:
    """Return the VOI of each training's validation part by iteration."""
    zoo = open_zoo()
    lines = []
    for name in (GENERALIST, *dict.fromkeys(target.own for target in TARGETS.values() if target.own)):
        curve = (f"{iteration:,} {voi:.3f}" for iteration, voi in zoo.card(name).learning_curve)
        lines.append(f"- {name}: {', '.join(curve)}")
    told = "VOI of the validation part after so many iterations, by seeds (fly_medulla_fibsem: by steepest ascent):"
    return [told, "", *lines, "", *_tell_longer(zoo, rows)]


def _tell_longer(zoo: Zoo, rows: Sequence[Row]) -> list[str]:
    """Return what trainings of more iterations gave (`studies.longer`)."""
    tested: dict[str, list[tuple[str, float, float]]] = {}
    known = {(row.target, row.entry, row.zoo): row.voi for row in rows}
    for (target, entry, name), voi in known.items():
        if name == LONGER:
            tested.setdefault(entry, []).append((target, voi, known[target, entry, "new"]))
    curves: dict[tuple[str, int], dict[int, str]] = {}
    for row in read_table(LONGER_ROWS, LongerRow):
        if row.iterations != zoo.card(row.entry).iterations:
            curves.setdefault((row.entry, row.iterations), {})[row.after] = f"{row.after:,} {row.voi:.3f}"
    lines = [
        f"- {name}, {iterations:,} iterations{'' if iterations in curve else ' (not finished)'}: {', '.join(curve.values())}; the "
        f"entry, of {zoo.card(name).iterations:,}, has {zoo.card(name).metrics['voi']:.3f}"
        + "".join(f"; on {target} {voi:.3f}, the entry {entry:.3f}" for target, voi, entry in tested.get(name, ()))
        for (name, iterations), curve in curves.items()
    ]
    told = [
        "Longer trainings (`python -m studies.longer`), by steepest ascent. The rule, written before, was to take one if VOI of",
        "the validation part is lower at the end. One that is lower there, but higher on test volumes, was not taken all the same:",
    ]
    return [*told, "", *lines, ""] if lines else []


def note_in_cards(rows: Sequence[Row]) -> None:
    """Write the scores of the new zoo's entries on the test volumes into their cards."""
    zoo = open_zoo()
    for name in zoo.names():
        test = {
            row.target: {
                m: getattr(row, m) for m in ("voi", "voi_split", "voi_merge", "adapted_rand_error", "threshold")
            }
            for row in rows
            if (row.entry, row.zoo) == (name, "new")
        }
        write_json(zoo.folder(name) / CARD, dump_config(zoo.card(name).model_copy(update={"test": test})))
    write_index(builtin_folder())


def find_folders(entry: str, old: Path) -> dict[str, Path]:
    """Return where an entry lies in both zoos, and a longer training of it, if there is one that did not become the entry."""
    folders = {"new": open_zoo().folder(entry), "old": open_zoo(old).folder(entry)}
    longer = LONGER_FOLDER / entry / "backbone"
    if longer.is_dir() and load_card(longer).iterations != load_card(folders["new"]).iterations:
        folders[LONGER] = longer
    return folders


def main() -> None:
    """Score what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--old", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = {(r.target, r.entry, r.zoo, r.method) for r in read_table(ROWS, Row)}
    for target in args.targets:
        for entry in dict.fromkeys((TARGETS[target].own or GENERALIST, GENERALIST)):
            for name, folder in find_folders(entry, args.old).items():
                missing = [method for method in METHODS if (target, entry, name, method) not in done]
                if missing:
                    for row in score_entry(target, entry, name, load_backbone(folder), missing):
                        append_row(ROWS, row)
    rows = [row for row in read_table(ROWS, Row) if row.method == default_method(row.target)]
    note_in_cards(rows)
    write_page(rows)


if __name__ == "__main__":
    main()
