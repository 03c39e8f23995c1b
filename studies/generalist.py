"""The generalist trained without a domain, on the test part of that domain: docs/results/generalist.md.

    python -m studies.generalist [DOMAIN ...]     all by default; a stopped training goes on, finished rows are not made again

Written down before the first run:

- Question: how well does one network for many domains segment a domain that it has never seen?
- Training: `configs/generalist.toml` without the samples of the domain, from the same seed, without a validation part. A threshold
  is not chosen: it is the one in the card of the zoo's generalist.
- Score: VOI of the domain's test part at 8 nm, by steepest ascent where ids are linked, else by seeds in sections. Beside it the
  zoo's generalist, which has seen the domain, on the same voxels, and the domain's own entry at its own voxel size (from
  zoo_scores.csv).
- Goal: VOI at most 25 % above that of the domain's own entry, in each domain. No choice is made by the scores.
- Noise: one training a domain. Two trainings of a network differ by 9 to 15 % in VOI (docs/results/transfer.md), so that a
  difference below that says nothing.
"""

import argparse
import datetime
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import to_markdown
from neuroadda import flow
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import Backbone, load_backbone
from neuroadda.cli.progress import show_progress
from neuroadda.config import load_config_file, parse_config
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder, open_zoo
from studies.first_results import describe_cpu
from studies.ranking.targets import DATA, TARGETS
from studies.rows import append_row, read_table
from studies.zoo import GENERALIST, Row, score_volume
from studies.zoo import ROWS as ROWS_OF_ZOO
from tools.build_zoo import TRAINED_ON, prepare

ROOT = Path(__file__).parent.parent
ROWS, PAGE = (ROOT / "docs" / "results" / name for name in ("generalist_scores.csv", "generalist.md"))
EVEN = Path("runs/data/8nm")
GOAL = 0.25


def train_without(domain: str) -> Path:
    """Return the folder of a generalist that has not seen a domain."""
    path = Path("configs/generalist.toml")
    given: dict[str, Any] = load_config_file(path)
    train = given["train"]
    train["samples"] = [one for one in train["samples"] if f"/{TRAINED_ON[domain]}.zarr/" not in one["raw"]]
    train |= {"output": f"runs/generalist/{domain}", "validate_every": 0, "picture_every": 0}
    config = parse_config(flow.RunConfig, {"title": f"generalist without {domain}", "train": train}, str(path))
    with show_progress(quiet=False) as observer:
        flow.train_backbone(config, observer=observer)
    return Path(train["output"]) / "backbone"


def choose_method(target: str) -> str:
    """Return how fragments of a test part are found."""
    return "ascent" if TARGETS[target].linked else "seeds"


def score(domain: str, zoo: str, backbone: Backbone) -> None:
    """Score a generalist on the test part of a domain at 8 nm."""
    target = f"{domain}_test"
    raw, labels = (Volume.open(EVEN / f"{target}.zarr" / kind) for kind in ("raw", "labels"))
    truth = labels.read().astype(np.uint64)
    for row in score_volume(raw, truth, target, GENERALIST, zoo, backbone, [choose_method(target)]):
        append_row(ROWS, row)


def write_page(rows: list[Row]) -> None:
    """Write the table of all domains that are done."""
    own = {
        row.target: row
        for row in read_table(ROWS_OF_ZOO, Row)
        if row.zoo == "new" and row.entry != GENERALIST and row.method == choose_method(row.target)
    }
    found = {(row.target, row.zoo): row for row in rows}
    lines, within = [], 0
    for target in dict.fromkeys(row.target for row in rows if row.zoo == "without"):
        without, seen, mine = found[target, "without"], found[target, "zoo"], own[target]
        above = without.voi / mine.voi - 1
        within += above <= GOAL
        lines.append(
            (target, *(f"{one.voi:.3f} ({one.best_voi:.3f})" for one in (mine, seen, without)), f"{above:+.0%}")
        )
    missing = [domain for domain in TRAINED_ON if (f"{domain}_test", "without") not in found]
    head = ("test part", "its own entry", "generalist", "generalist without its domain", "above its own entry")
    PAGE.write_text(
        PAGE_TEXT.format(
            table=to_markdown(head, lines),
            within=within,
            domains=len(lines),
            goal=f"{GOAL:.0%}",
            missing=f" Not run: {', '.join(missing)}." if missing else "",
            date=datetime.date.today().isoformat(),
            machine=f"{describe_cpu()}, {os.cpu_count()} shared cores, no GPU",
        )
    )
    print(PAGE)


PAGE_TEXT = """# A domain that the generalist has never seen

The generalist is trained once more for each domain, without that domain's samples, and scored on its test part. The goal is a VOI
at most {goal} above that of the domain's own entry. It is met in {within} of {domains} domains. Each is one training: differences
below some 15 % are noise.{missing}

{table}

VOI in nats, at the threshold of the card; in brackets at the best threshold. Generalists segment the volumes at 8 nm, the domains'
own entries at their own voxel size. The third column has seen the train part of the domain.

- Command: `python -m studies.generalist`, {date}. The rule was written before the first run: see the head of that file.
- Machine: {machine}
- Rows: [generalist_scores.csv](generalist_scores.csv)
"""


def main() -> None:
    """Train and score what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domains", nargs="*", default=list(TRAINED_ON))
    domains = parser.parse_args().domains
    os.chdir(ROOT)
    prepare(DATA)
    threshold = load_card(builtin_folder() / GENERALIST).metrics["threshold"]
    for domain in domains:
        done = {(row.target, row.zoo) for row in read_table(ROWS, Row)}
        if (f"{domain}_test", "zoo") not in done:
            score(domain, "zoo", open_zoo(builtin_folder()).backbone(GENERALIST))
        if (f"{domain}_test", "without") not in done:
            trained = load_backbone(train_without(domain))
            card = trained.card.model_copy(update={"metrics": trained.card.metrics | {"threshold": threshold}})
            score(domain, "without", replace(trained, card=card))
        write_page(read_table(ROWS, Row))


if __name__ == "__main__":
    main()
