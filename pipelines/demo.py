"""The main job on real mouse cortex where it is at hand, else on a phantom: train, segment, evaluate, report.

Run by `make demo`. Everything lands in runs/demo; run it again and finished work is skipped.
"""

import os
from pathlib import Path

from neuroadda.config import apply_overrides, load_config_file, parse_config
from neuroadda.console import show_progress
from neuroadda.evaluation.baselines import score_classic_recipe, score_raw_watershed
from neuroadda.evaluation.measure import measure_plan
from neuroadda.flow import RunConfig, report, train_backbone
from neuroadda.segmentation.pipeline import segment
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom

ROOT = Path(__file__).parent.parent
DOMAIN = "mouse_cortex_sssem"


def prepare(folder: Path, data: Path) -> str:
    """Bring train.zarr and test.zarr into `folder`; return what they are."""
    sources = {part: data / f"{DOMAIN}_{part}.hdf" for part in ("train", "test")}
    real = all(source.exists() for source in sources.values())
    for number, (part, source) in enumerate(sources.items()):
        target = folder / f"{part}.zarr"
        if (target / "labels").exists():
            continue
        if real:
            import_volume(source, target)
        else:
            write_phantom(PhantomConfig(shape_vx=(40 if part == "train" else 24, 512, 512), seed=number), target)
    return "real EM of mouse cortex" if real else f"a phantom ({data} has no {DOMAIN}_train.hdf and _test.hdf)"


def main() -> None:
    """Run the demo."""
    folder = ROOT / "runs" / "demo"
    kind = prepare(folder, Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data")))
    print(f"demo on {kind}", flush=True)
    path = ROOT / "configs" / "demo.toml"
    config = parse_config(
        RunConfig, apply_overrides(load_config_file(path), [f'title="Demo: {kind.split(" (")[0]}"']), str(path)
    )
    assert config.segment is not None
    assert config.evaluate is not None

    train_backbone(config)
    with show_progress(quiet=False) as observe:
        plan = segment(config.segment, observe=observe)
    measured = measure_plan(plan, config.evaluate)

    raw, labels, affs = (Volume.open(p) for p in (config.segment.raw, config.evaluate.labels, plan.output("predict")))
    truth = labels.read()
    baselines = {
        "watershed of smoothed raw": score_raw_watershed(raw.read(), truth, raw.voxel_size_nm),
        "classic recipe": score_classic_recipe(affs.read(), truth, raw.voxel_size_nm, config.evaluate.thresholds),
    }
    summary = report(config, plan, measured, baselines)
    scores = measured.scores
    assert scores is not None
    print(
        f"VOI {scores.voi:.3f} nats (split {scores.voi_split:.3f}, merge {scores.voi_merge:.3f}) at threshold {measured.threshold}"
    )
    for name, other in baselines.items():
        print(f"  {name}: VOI {other.voi:.3f} nats at its best")
    print(f"report: {summary['report']}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
