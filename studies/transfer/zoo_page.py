"""Write docs/results/transfer_zoo.md from the rows of `studies.transfer.zoo_backbones`.

python -m studies.transfer.zoo_page
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.tables import to_markdown
from neuroadda.intervals import half_width, is_above_zero
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
REASON = {
    True: "So the small networks are a reason why VOI is lowered less there.",
    False: "So the small networks are not the reason. What is left are the volumes, the short training, and how it was measured.",
}


def lower(rows: Sequence[Row], target: str, than: str, best: bool = False) -> np.ndarray:
    """Return by how much VOI from the source is lower than from another start: of each draw (float64), a fraction."""
    voi = {(row.draw, row.start): row.best_voi if best else row.voi for row in rows if row.target == target}
    draws = sorted(draw for draw, start in voi if start == SOURCE and (draw, than) in voi)
    return np.array([1 - voi[draw, SOURCE] / voi[draw, than] for draw in draws])


def find_reached(rows: Sequence[Row], than: str = SCRATCH, best: bool = False) -> list[str]:
    """Return the targets on which VOI from the source is lower than from another start by the goal or more, on average."""
    return [target for target in TARGETS if lower(rows, target, than, best).mean() >= GOAL]


def write_page(rows: Sequence[Row]) -> None:
    """Write what came of it."""
    starts = (SCRATCH, LONG_SCRATCH)
    short, long = ([float(lower(rows, target, than).mean()) for target in TARGETS] for than in starts)
    reached, reached_long = (find_reached(rows, than) for than in starts)
    goal, held = f"{100 * GOAL:.0f} %", len(reached) >= ENOUGH
    draws = len({row.draw for row in rows})
    head = ["target", "source", *(f"VOI {start}" for start in STARTS)]
    head += [f"lower than {than}, %" for than in ("scratch", "long", "scratch, best", "long, best")]
    text = f"""# How much do the zoo's backbones lower VOI?

**With four labelled boxes, a backbone of the zoo lowers VOI by {goal} or more on {len(reached)} of {len(TARGETS)} volumes, against
training from scratch: {_list(reached)}.** The hypothesis, written before the first run, was at least {ENOUGH}: it
{"holds" if held else "does not hold"}. By volume, VOI is {_range(short)}. Against scratch trained three times as long
it is {_range(long)}; {goal} are reached on {len(reached_long)}: {_list(reached_long)}.

VOI of a test volume, in nats; 0 is perfect. *Source*: the first by the default of `domains rank`, without the volume's own domain
and the generalist. *Scratch*: the same architecture from random weights. A box has 8 x 128 x 128 voxels, or 48 x 48 x 48 where
voxels are isotropic; {ITERATIONS} iterations, of long scratch {3 * ITERATIONS}. The threshold is the best for the boxes; *best*:
for the test volume, which nobody knows of an own volume. Lower: mean over {draws} draws of boxes and 95 % interval (Student's);
below 0, VOI is higher. These are not percentages of the mean VOIs.

{to_markdown(head, (_tabulate(rows, target) for target in TARGETS))}

At the best threshold, {goal} are reached on {_list(find_reached(rows, best=True))}.

[transfer.md](transfer.md) has the same for small networks and single sections, on other volumes in part. Sawmya et al. 2025 report
25 to 67 %. {REASON[held]}

**What to do:** start from a pretrained backbone. It is much better where scratch is bad, and elsewhere not shown to be worse:
{_tell_worse(rows)}. **How sure:** {draws} draws of boxes, one training of each source, short fine-tuning.

Hypothesis, settings and analysis: `studies/transfer/zoo_backbones.py`.

- Commands: `python -m studies.transfer.zoo_backbones` for the rows ([transfer_zoo.csv](transfer_zoo.csv), 2026-11-30),
  `python -m studies.transfer.zoo_page` for this page
- Machine: {describe_cpu()}, {os.cpu_count()} shared cores, no GPU; {sum(row.cpu_minutes for row in rows):.0f} CPU min of training
"""
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)


def _range(fractions: Sequence[float]) -> str:
    """Return "from 12 % higher to 40 % lower", say."""
    ends = (min(fractions), max(fractions))
    return "from " + " to ".join(f"{abs(100 * end):.0f} % {'lower' if end >= 0 else 'higher'}" for end in ends)


def _list(targets: Sequence[str]) -> str:
    return ", ".join(targets) or "none"


def _tell_worse(rows: Sequence[Row]) -> str:
    """Say on which targets the source is worse than scratch, by an interval without 0."""
    found = {target: lower(rows, target, SCRATCH) for target in TARGETS}
    worse = [target for target, values in found.items() if is_above_zero(-values, 0.95)]
    return f"VOI is clearly higher on {_list(worse)}" if worse else "no interval against scratch lies below 0"


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
