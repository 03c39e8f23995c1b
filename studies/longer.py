"""Train an entry of the zoo for more iterations than its config says: is it at its plateau?

    python -m studies.longer ENTRY ITERATIONS [--every N]     a stopped training goes on

Rule, written before the first run (2026-11-30): the entry is trained again, with so many iterations in its config, if VOI of its
validation part is lower at the end. The learning curve goes to docs/results/zoo_longer.csv, and `studies.zoo` tells of it.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from neuroadda import flow
from neuroadda.cli.progress import show_progress
from neuroadda.config import load_config_file, parse_config
from neuroadda.training.history import TrainingHistory
from studies.rows import append_rows, read_table

ROOT = Path(__file__).parent.parent
ROWS = ROOT / "docs" / "results" / "zoo_longer.csv"
FOLDER = Path("runs/longer")


@dataclass(frozen=True)
class Row:
    """VOI (nats) of the validation part, after some of the iterations of a training."""

    entry: str
    iterations: int
    after: int
    voi: float


def main() -> None:
    """Train, and put the learning curve into the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entry")
    parser.add_argument("iterations", type=int)
    parser.add_argument("--every", type=int, help="iterations between validations; a quarter of all by default")
    options = parser.parse_args()
    path, folder = Path("configs") / f"{options.entry}.toml", FOLDER / options.entry
    given = load_config_file(path)
    given["train"] |= {
        "iterations": options.iterations,
        "validate_every": options.every or options.iterations // 4,
        "picture_every": 0,
        "output": str(folder),
    }
    try:
        with show_progress(quiet=False) as observer:
            flow.train_backbone(parse_config(flow.RunConfig, given, str(path)), observer=observer)
    finally:  # also what a stopped training has measured
        keep_curve(options.entry, options.iterations, folder)


def keep_curve(entry: str, iterations: int, folder: Path) -> None:
    """Replace the rows of a training by what its folder says now."""
    curve = TrainingHistory(folder).refresh().validations
    rows = [row for row in read_table(ROWS, Row) if (row.entry, row.iterations) != (entry, iterations)]
    rows += [Row(entry, iterations, after, round(found["voi"], 4)) for after, found in curve.items()]
    ROWS.unlink(missing_ok=True)
    append_rows(ROWS, rows)


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
