"""Measure neuroadda beside its peers, in one run on one machine, on real data: prediction, and affinities to segmentation.

    python -m benchmarks.bench_peers [--write] [--only prediction|segmentation] [--volumes NAME ...] [--sizes 1x2x2 ...]
    python -m benchmarks.bench_peers [--write] --zoo FOLDER

The second measures neuroadda alone, on the zoo whose affinities abiss was given, beside the VOIs of abiss.

Peers' virtual environments are made on first use. Volumes are those of $NEUROADDA_DATA. What is predicted and tuned stays in the
folder of --venvs, so that a second run measures alone.
"""

import argparse
import os
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.contestants import DEFAULT, LOWEST, TUNED, VOLARA, segmenters
from benchmarks.peers.prediction import compare_prediction
from benchmarks.peers.report import (
    ABISS_HALF,
    PREDICTION_NOTE,
    SEGMENTATION_NOTE,
    SIZES_NOTE,
    Table,
    abiss_tables,
    prediction_tables,
    size_tables,
    tell_abiss,
    volume_tables,
    write_report,
)
from benchmarks.peers.segmentation import compare_sizes, compare_volumes
from neuroadda.cli.console import print_table
from neuroadda.config import Zyx

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs/results/peers.md"
VOLUMES = ("mouse_cortex_sssem", "fly_larva_l1_sstem", "fly_medulla_fibsem", "fly_fibsem")
SIZES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
PREDICTED_SIZES = ((2, 1, 1), (2, 2, 1))


def to_size(text: str) -> Zyx:
    """Return how often a volume is repeated along z, y, x."""
    z, y, x = (int(part) for part in text.split("x"))
    return z, y, x


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write what was measured into {REPORT.relative_to(ROOT)}")
    parser.add_argument("--only", choices=("prediction", "segmentation"))
    parser.add_argument("--volumes", nargs="*", default=VOLUMES, help="of the segmentation; the first is mirrored, too")
    parser.add_argument("--sizes", nargs="*", type=to_size, help="how often a volume is repeated along z, y, x")
    parser.add_argument("--workers", nargs="*", type=int, default=(1, 2))
    parser.add_argument("--tools", nargs="*", help="of the segmentation; default: all")
    parser.add_argument("--zoo", type=Path, help="neuroadda alone, on this zoo, beside the VOIs of abiss")
    parser.add_argument("--venvs", type=Path, default=Path("runs/peers"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NEUROADDA_DATA", "../shared/data")))
    options = parser.parse_args()
    folder, data, workers = options.venvs.absolute(), options.data, options.workers
    domain = options.volumes[0]
    parts: dict[str, list[tuple[str, list[Table]]]] = {}
    only = "abiss" if options.zoo else options.only
    if only == "abiss":
        place = folder / f"zoo_{options.zoo.name}"
        results = compare_volumes(
            [TUNED, DEFAULT, LOWEST], options.volumes, workers[:1], data, place, options.zoo.absolute()
        )
        parts[ABISS_HALF] = [(tell_abiss(results), abiss_tables(results))]
    if only in (None, "prediction"):
        predicted = compare_prediction(domain, options.sizes or PREDICTED_SIZES, workers, data, folder)
        parts["Prediction"] = [(PREDICTION_NOTE.format(domain=domain), prediction_tables(predicted))]
    if only in (None, "segmentation"):
        tools = [tool for tool in segmenters(folder) if options.tools is None or tool.name in options.tools]
        volumes = compare_volumes(tools, options.volumes, workers, data, folder)
        sizes = SIZES if options.sizes is None else options.sizes
        sized = compare_sizes(tools, domain, sizes, workers, data, folder)
        parts["Segmentation"] = [
            (SEGMENTATION_NOTE, volume_tables(volumes)),
            (SIZES_NOTE, size_tables(sized)),
        ]
    for half in parts.values():
        _print(half)
    if options.write:
        own = ("gunpowder", "torch", "daisy", "zarr", "scikit-image", "scipy", "waterz")
        versions = ", ".join([*(f"{name} {version(name)}" for name in own), VOLARA.replace("==", " ")])
        write_report(REPORT, versions, parts)


def _print(parts: list[tuple[str, list[Table]]]) -> None:
    for _, tables in parts:
        for title, rows in tables:
            print()
            print_table(title, rows)


if __name__ == "__main__":
    main()
