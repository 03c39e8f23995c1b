"""Measure neuroadda beside its peers, in one run on one machine, on real data: prediction, and affinities to segmentation.

    python tools/bench_peers.py [--write] [--only prediction|segmentation] [--volumes NAME ...] [--sizes 1x2x2 ...]

Peers' virtual environments are made on first use. Volumes are those of $NEUROADDA_DATA.
"""

import argparse
import os
from pathlib import Path

from peers.contestants import segmenters
from peers.segmentation import compare_sizes, compare_volumes

from neuroadda.config import Zyx

VOLUMES = ("mouse_cortex_sssem", "fly_larva_l1_sstem", "fly_medulla_fibsem", "fly_fibsem")
SIZES = ("1x1x1", "1x2x2", "2x2x2")


def to_size(text: str) -> Zyx:
    """Return how often a volume is repeated along z, y, x."""
    z, y, x = (int(part) for part in text.split("x"))
    return z, y, x


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/results/peers.md")
    parser.add_argument("--only", choices=("prediction", "segmentation"))
    parser.add_argument("--volumes", nargs="*", default=VOLUMES)
    parser.add_argument("--sizes", nargs="*", type=to_size, default=[to_size(size) for size in SIZES])
    parser.add_argument("--workers", nargs="*", type=int, default=(1, 2))
    parser.add_argument("--contestants", nargs="*", help="of the segmentation; default: all")
    parser.add_argument("--venvs", type=Path, default=Path("runs/peers"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("NEUROADDA_DATA", "../shared/data")))
    options = parser.parse_args()
    folder = options.venvs.absolute()
    if options.only != "prediction":
        names = options.contestants
        contestants = [c for c in segmenters(folder) if names is None or c.name in names]
        volumes = compare_volumes(contestants, options.volumes, options.workers, options.data, folder)
        print(volumes)


if __name__ == "__main__":
    main()
