"""Measure what black costs: volumes with a black rim or a lost section, with and without `no_data`, against volumes without.

    python -m benchmarks.bench_no_data [--write]

Of parts of four real volumes (`NEUROADDA_DATA`) a rim is made black. Each is segmented as it was before (no_data="none"), with
no_data="auto", and cut at the rim, by the zoo's backbone of its own tissue; the tissue within the mask is scored. Boxes are
proposed in the volume with the rim. In the same parts one section is made black. With --write, the tables go to
docs/results/no_data.md.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

import neuroadda as na
from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.cli.console import print_table
from neuroadda.config import Zyx, ZyxFloat
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import Scores, score

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "no_data.md"
CASES = {
    "fly_fibsem_test": ("fly_fibsem", (48, 96, 192)),
    "fly_medulla_fibsem_test": ("fly_medulla_fibsem", (48, 192, 192)),
    "fly_larva_l1_sstem_test": ("fly_larva_l1_sstem", (10, 384, 384)),
    "mouse_cortex_sssem_test": ("mouse_cortex_sssem", (12, 384, 384)),
}
EXECUTION = na.Execution(workers=1)
BOXES = 8


@dataclass(frozen=True)
class Case:
    """A part of a real volume, and what is cut off by the rim."""

    raw: np.ndarray
    labels: np.ndarray
    voxel_size_nm: ZyxFloat
    inside: tuple[slice, slice, slice]

    @classmethod
    def load(cls, name: str, shape: Zyx) -> "Case":
        """Read a part of a volume; the rim is at both ends of x and at the upper end of y, not on the cells of the mask."""
        with h5py.File(Path(os.environ["NEUROADDA_DATA"]) / f"{name}.hdf") as file:
            part = tuple(slice(0, n) for n in shape)
            raw, labels = file["volumes/raw"][part], file["volumes/labels/neuron_ids"][part].astype(np.uint64)
            z, y, x = (float(v) for v in file["volumes/raw"].attrs["resolution"])
        depth, height, width = shape
        begin, end = width // 8 + 3, width - width // 8 - 2
        return cls(raw, labels, (z, y, x), (slice(0, depth), slice(0, height - height // 4 - 1), slice(begin, end)))

    def write(self, path: Path, voxels: np.ndarray, first: tuple[int, ...] = (0, 0, 0)) -> na.Volume:
        """Write voxels (zyx) that begin at voxel `first` of the part."""
        offset_nm = tuple(f * v for f, v in zip(first, self.voxel_size_nm, strict=True))
        volume = na.Volume.create(path, voxels.shape, self.voxel_size_nm, voxels.dtype, offset_nm=offset_nm)
        volume.write(volume.roi, voxels)
        return volume


def score_part(segmentation: na.Volume, case: Case, scored: np.ndarray) -> Scores:
    """Score the voxels of the part that count."""
    found = np.zeros(case.labels.shape, np.uint64)
    offset = [round(o / v) for o, v in zip(segmentation.offset_nm, segmentation.voxel_size_nm, strict=True)]
    found[tuple(slice(o, o + n) for o, n in zip(offset, segmentation.shape_vx, strict=True))] = segmentation.read()
    return score(count_overlaps(found, np.where(scored, case.labels, 0)))


def measure(name: str, folder: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of both tables for a volume."""
    backbone, shape = CASES[name]
    case = Case.load(name, shape)
    black = np.zeros_like(case.raw)
    black[case.inside] = case.raw[case.inside]
    lost = case.raw.copy()
    lost[shape[0] // 2] = 0
    first = tuple(part.start for part in case.inside)
    cut = case.write(folder / "cut.zarr/raw", case.raw[case.inside], first)
    intact = case.write(folder / "intact.zarr/raw", case.raw)
    rim, blank = (case.write(folder / f"{n}.zarr/raw", v) for n, v in (("rim", black), ("lost", lost)))

    def segment(raw: na.Volume, no_data: str) -> na.Volume:
        output = folder / f"{raw.path.parent.stem}_{no_data}"
        config = na.SegmentConfig(
            raw=str(raw.path), backbone=backbone, output=str(output), no_data=no_data, execution=EXECUTION
        )
        return na.segment(config=config)

    def share_of_black(no_data: str) -> float:
        box_nm = [max(1, n // d) * v for n, d, v in zip(shape, (2, 4, 4), case.voxel_size_nm, strict=True)]
        found = na.propose(
            rim,
            output=folder / f"boxes_{no_data}",
            backbone=backbone,
            count=BOXES,
            shape_nm=box_nm,
            no_data=no_data,
            workers=1,
        )
        empty = na.Volume.open(rim.path).read() == 0
        empty[case.inside] = False
        boxes = [empty[rim.to_slices(box.to_roi(rim))] for box in found.proposals.boxes.values()]
        return float(np.mean([box.mean() for box in boxes]))

    def write_scores(kinds: list[tuple[na.Volume, str]], scored: np.ndarray) -> list[str]:
        found = [score_part(segment(raw, no_data), case, scored) for raw, no_data in kinds]
        return [f"{s.voi_split:.3f} / {s.voi_merge:.3f}" for s in found]

    kept = np.zeros(shape, bool)
    kept[case.inside] = True
    kept &= na.mask(rim, folder / "mask.zarr/mask").read() > 0
    known = np.ones(shape, bool)
    known[shape[0] // 2] = False
    rims = write_scores([(cut, "none"), (rim, "none"), (rim, "auto")], kept)
    sections = write_scores([(intact, "none"), (blank, "none"), (blank, "auto")], known)
    shares = [f"{100 * share_of_black(no_data):.0f}%" for no_data in ("none", "auto")]
    size = " x ".join(map(str, shape))
    return [[name, size, f"{100 * (1 - kept.mean()):.0f}%", *shares, *rims]], [[name, *sections]]


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="Write the tables to docs/results/no_data.md.")
    arguments = parser.parse_args()
    rims: list[list[str]] = []
    sections: list[list[str]] = []
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(name, Path(folder))
        rims += rows[0]
        sections += rows[1]
        print(*rows[0], *rows[1], flush=True)
    header = ["volume", "voxels", "no data", "black in boxes, before", "after", "cut at the rim", "before", "after"]
    lost = ["volume", "intact", "before", "after"]
    for title, names, table in (("black rim", header, rims), ("a lost section", lost, sections)):
        print_table(title, [dict(zip([f"{i} {n}" for i, n in enumerate(names)], row, strict=True)) for row in table])
    if arguments.write:
        RESULTS.write_text(
            f"# Black is not tissue\n\n{INTRODUCTION}\n\n{to_markdown(header, rims)}\n\n{LOST}\n\n{to_markdown(lost, sections)}\n\n"
            f"{describe_run()}\n"
        )


INTRODUCTION = f"""A rim of real volumes is made black: an eighth of x at either end, a quarter of y at one. Before:
`no_data = "none"`; after: `no_data = "auto"`, the default. How much of {BOXES} proposed boxes, half as deep and a quarter as wide
as the volume, is black; and VOI split / merge (nats) of the tissue within the mask, against the same tissue in a volume that is cut
at the rim. The backbone is that of the zoo for the volume's own tissue."""
LOST = """One section, in the middle, is made black in the volume without a rim. VOI split / merge (nats) of all other sections.
After, the network sees the neighbour of the lost section in its place: segments run on across it, and it is empty itself."""

if __name__ == "__main__":
    main()
