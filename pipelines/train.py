"""Train a backbone on a labelled volume, from scratch or from a backbone of the zoo, and validate it on the last sections.

python pipelines/train.py RAW LABELS OUTPUT --start fly_larva_l1_sstem --iterations 500
"""

import argparse
import sys

import neuroadda as na
from neuroadda.volumes.geometry.regions import RoiConfig


def main() -> None:
    """Split, train, validate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", help="zarr array")
    parser.add_argument("labels", help="zarr array on raw's voxels")
    parser.add_argument("output", help="folder")
    parser.add_argument("--start", help="an entry of the zoo, or a folder; from scratch by default")
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument(
        "--output-shape", type=int, nargs=3, default=(8, 128, 128), metavar="VX", help="of a sample, zyx"
    )
    given = parser.parse_args()

    # Keep the last fifth of the sections for validation.
    labels = na.open_volume(given.labels)
    (oz, oy, ox), (dz, _, _) = labels.offset_nm, labels.voxel_size_nm
    depth, height, width = (n * v for n, v in zip(labels.shape_vx, labels.voxel_size_nm, strict=True))
    kept = max(1, round(0.2 * depth / dz)) * dz
    train_on = RoiConfig(offset_nm=(oz, oy, ox), shape_nm=(depth - kept, height, width))
    validate_on = RoiConfig(offset_nm=(oz + depth - kept, oy, ox), shape_nm=(kept, height, width))

    # Train on the rest; killed, the same command goes on from the last checkpoint.
    config = na.TrainConfig(
        name="mine",
        domain="mine",
        samples=(na.SampleConfig(raw=given.raw, labels=given.labels, roi=train_on),),
        output=given.output,
        start=None if given.start is None else na.StartConfig(backbone=given.start),
        iterations=given.iterations,
        output_shape_vx=tuple(given.output_shape),
        validate_every=given.iterations,
    )
    validation = na.ValidateConfig(raw=given.raw, labels=given.labels, roi=validate_on)
    trained = na.train(config=config, validation=validation)

    # The card says how good it is; `segment` takes the folder.
    print(f"{trained.folder}: {trained.card.metrics}")


if __name__ == "__main__":
    try:
        main()
    except (na.UserError, na.RunFailed) as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
