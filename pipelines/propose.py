"""Ask which boxes of a new volume are worth labelling.

python pipelines/propose.py RAW OUTPUT --count 4
"""

import argparse
import sys
from pathlib import Path

import neuroadda as na
from neuroadda.active.exports import export_proposals


def main() -> None:
    """Rank, propose, hand on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", help="zarr array")
    parser.add_argument("output", help="folder")
    parser.add_argument("--backbone", help="an entry of the zoo, or a folder; by default the first of the ranking")
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--shape", type=float, nargs=3, default=(1000, 1000, 1000), metavar="NM", help="of a box, zyx")
    given = parser.parse_args()

    # Rank the zoo by how consistent the boundaries are that each backbone predicts; no label is needed.
    backbone = given.backbone
    if backbone is None:
        ranking = na.rank_sources(given.raw)
        for row in ranking.rows:
            print(f"{row.name}: consistency {row.consistency:.3f}, {row.why}")
        backbone = ranking.winner

    # Score the volume by how unsure that backbone is of it, and choose boxes near the median that look unlike each other.
    asked = {"output": given.output, "count": given.count, "shape_nm": given.shape, "any_voxel_size": True}
    found = na.propose(given.raw, backbone=backbone, **asked)
    for box in found.proposals.proposals:
        print(f"roi_{box.rank}: offset {box.offset_nm} nm, shape {box.shape_nm} nm; {box.reason}")

    # Hand the boxes on: the crops are OME-Zarr with an empty label image to draw in.
    crops = Path(given.output) / "crops"
    print(crops if crops.exists() else export_proposals("crops", found.proposals, crops))


if __name__ == "__main__":
    try:
        main()
    except na.UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
