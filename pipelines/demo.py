"""What `make demo` runs: adapt a backbone by four boxes of real mouse cortex (else a phantom), segment another volume, compare.
The labels of the boxes come from the truth instead of a person. Everything lands in runs/demo; finished work is skipped.
"""

import os
from pathlib import Path

import neuroadda as na
from neuroadda.adaptation.training import make_training
from neuroadda.cli.console import print_summary
from neuroadda.cli.main import tell_errors
from neuroadda.cli.progress import show_progress

ROOT, DOMAIN = Path(__file__).parent.parent, "mouse_cortex_sssem"
SCRATCH_RATE = 5e-3  # a network from scratch learns best faster than one that is fine-tuned


def prepare(folder: Path, data: Path) -> str:
    """Bring train.zarr and test.zarr into `folder`, unless they are there; return what they are."""
    sources = {part: data / f"{DOMAIN}_{part}.hdf" for part in ("train", "test")}
    real = all(source.exists() for source in sources.values())
    for seed, (part, source) in enumerate(sources.items()):
        target = folder / f"{part}.zarr"
        if (target / "labels").exists():
            real = na.open_volume(target / "labels").attrs["provenance"]["source"] != "phantom"
        elif real:
            na.import_volume(source, target)
        else:
            na.phantom(target, shape_vx=(40 if part == "train" else 24, 512, 512), seed=seed)
    if real:
        return "real EM of mouse cortex"
    return f"a phantom ({data} had no {DOMAIN}_train.hdf and _test.hdf; delete {folder} to look again)"


def main() -> None:
    kind = prepare(ROOT / "runs/demo", Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared/data")))
    print(f"demo on {kind}", flush=True)
    scratch = "evaluate.compare.from scratch, the same boxes=runs/demo/scratch/volumes.zarr/segmentation"
    keys = [f"title=Demo: {kind.partition(' (')[0]}", scratch]
    if "phantom" in kind:  # no tissue of the zoo is near to it
        keys += [f'adapt.train.{key}="phantom"' for key in ("domain", "organism", "region", "modality")]
        keys += ['adapt.backbone="fly_larva_l1_sstem"']
    config = na.load_config(ROOT / "configs/demo.toml", keys)
    with show_progress(quiet=False) as observer:
        # Rank the zoo, propose four boxes, take their labels, fine-tune the nearest backbone on them.
        adapted = na.adapt(config=config.adapt, observer=observer)
        # Train the same network from random weights on the same boxes, and segment with it, for comparison.
        boxes, out = make_training(config.adapt, adapted.rounds, adapted.start), "runs/demo/scratch"
        boxes = boxes.model_copy(update={"start": None, "name": "scratch", "learning_rate": SCRATCH_RATE})
        scratch = na.train(config=boxes, output=f"{out}/train", validation=config.adapt.validation, observer=observer)
        na.segment(config=config.segment, backbone=scratch.folder, output=out, observer=observer)
        # Segment with the adapted backbone, score both, write the report.
        print_summary(na.run(config, observer=observer))


if __name__ == "__main__":
    os.chdir(ROOT)
    with tell_errors():
        main()
