"""Write docs/results/transfer_zoo.md from the rows of `studies.transfer.zoo_backbones`.

python -m studies.transfer.zoo_page
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.tables import to_markdown
from neuroadda.intervals import half_width
from studies.first_results import describe_cpu
from studies.rows import read_table
from studies.transfer.zoo_backbones import (
    ITERATIONS,
    LONG_SCRATCH,
    ROOT,
    ROWS,
    SCRATCH,
    SOURCE,
    STARTS,
    TARGETS,
    Row,
)

PAGE = Path("docs/results/transfer_zoo.md")
GOAL, ENOUGH = 0.25, 4


def lower(rows: Sequence[Row], target: str, than: str, best: bool = False) -> np.ndarray:
    """Return by how much VOI from the source is lower than from another start: of each draw (float64), a fraction."""
    voi = {(row.draw, row.start): row.best_voi if best else row.voi for row in rows if row.target == target}
    draws = sorted(draw for draw, start in voi if start == SOURCE and (draw, than) in voi)
    return np.array([1 - voi[draw, SOURCE] / voi[draw, than] for draw in draws])


def write_page(rows: Sequence[Row]) -> None:
    """Write what came of it."""
    short, long = ([float(lower(rows, t, than).mean()) for t in TARGETS] for than in (SCRATCH, LONG_SCRATCH))
    reached, reached_long = (sum(mean >= GOAL for mean in means) for means in (short, long))
    goal, held = f"{100 * GOAL:.0f} %", "holds" if reached >= ENOUGH else "does not hold"
    head = ["target", "source", *(f"VOI {start}" for start in STARTS)]
    head += [f"lower than {than}, %" for than in ("scratch", "long", "scratch, best", "long, best")]
    text = f"""# How much do the zoo's backbones lower VOI?

**With four labelled boxes, VOI from a backbone of the zoo is {_range(short)} lower than from scratch, by volume; {goal} or more on
{reached} of {len(TARGETS)}.** The hypothesis, written before the first run, was {goal} on at least {ENOUGH}: it {held}. Than from
scratch trained three times as long, VOI is {_range(long)} lower, by {goal} or more on {reached_long}.

VOI of a test volume, in nats; 0 is perfect. *Source*: the first by the default of `domains rank`, without the volume's own domain
and the generalist. *Scratch*: the same architecture from random weights. Boxes have 8 x 128 x 128 voxels, where voxels are
isotropic 48 x 48 x 48; {ITERATIONS} iterations, of long scratch {3 * ITERATIONS}. The threshold is the best for the boxes;
*best*: for the test volume. Lower: mean over {len({row.draw for row in rows})} draws of boxes and 95 % interval (Student's); not
percentages of the mean VOIs.

{to_markdown(head, (_tabulate(rows, target) for target in TARGETS))}

In [transfer.md](transfer.md), with small networks for single sections, {goal} are reached on 3 of 6 volumes. Sawmya et al. 2025
report 25 to 67 %. Hypothesis, settings and analysis: `studies/transfer/zoo_backbones.py`.

- Command: `python -m studies.transfer.zoo_backbones`; rows: [transfer_zoo.csv](transfer_zoo.csv), 2026-11-30
- Machine: {describe_cpu()}, {os.cpu_count()} shared cores, no GPU; {sum(row.cpu_minutes for row in rows):.0f} CPU min of training
"""
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)


def _range(fractions: Sequence[float]) -> str:
    return f"{100 * min(fractions):.0f} to {100 * max(fractions):.0f} %"


def _tabulate(rows: Sequence[Row], target: str) -> Iterable[str]:
    yield from (target, TARGETS[target].source)
    for start in STARTS:
        yield f"{np.mean([row.voi for row in rows if (row.target, row.start) == (target, start)]):.2f}"
    for best in (False, True):
        for than in (SCRATCH, LONG_SCRATCH):
            values = 100 * lower(rows, target, than, best)
            yield f"{values.mean():.0f}" + (f" ± {half_width(values, 0.95):.0f}" if len(values) > 1 else "")


def main() -> None:
    """Write the page."""
    write_page(read_table(ROWS, Row))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
