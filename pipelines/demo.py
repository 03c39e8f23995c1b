"""The main job on real mouse cortex where it is at hand, else on a phantom: rank, propose, label, fine-tune, segment, compare.

Run by `make demo`. The labels of the four proposed boxes come from the truth instead of a person. The same network is also
trained from scratch on the same boxes, for comparison. Everything lands in runs/demo; run it again and finished work is skipped.
"""

import os
from pathlib import Path

from neuroadda import flow
from neuroadda.adaptation import Adaptation, make_training
from neuroadda.backbones.card import load_card
from neuroadda.blockwise.engine import Observer
from neuroadda.cli.console import print_summary, show_progress
from neuroadda.cli.main import tell_errors
from neuroadda.config import apply_overrides, load_config_file, parse_config
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.finding import open_zoo

ROOT = Path(__file__).parent.parent
DOMAIN = "mouse_cortex_sssem"
SCRATCH_RATE = 5e-3  # a network from scratch learns best faster than one that is fine-tuned


def prepare(folder: Path, data: Path) -> str:
    """Bring train.zarr and test.zarr into `folder`, unless they are there; return what they are."""
    sources = {part: data / f"{DOMAIN}_{part}.hdf" for part in ("train", "test")}
    real = all(source.exists() for source in sources.values())
    for number, (part, source) in enumerate(sources.items()):
        target = folder / f"{part}.zarr"
        if (target / "labels").exists():
            real = Volume.open(target / "labels").attrs["provenance"]["source"] != "phantom"
        elif real:
            import_volume(source, target)
        else:
            write_phantom(PhantomConfig(shape_vx=(40 if part == "train" else 24, 512, 512), seed=number), target)
    if real:
        return "real EM of mouse cortex"
    return f"a phantom ({data} had no {DOMAIN}_train.hdf and _test.hdf; delete {folder} to look again)"


def segment_from_scratch(config: flow.RunConfig, adaptation: Adaptation, observe: Observer) -> None:
    """Train the same network from random weights on the same boxes, and segment with it."""
    assert config.adapt is not None
    assert config.segment is not None
    folder = Path(config.segment.output).with_name("scratch")
    network = load_card(adaptation.start).architecture
    settings = config.adapt.train.model_copy(update={"network": network, "learning_rate": SCRATCH_RATE})
    training = make_training(config.adapt.model_copy(update={"train": settings}), adaptation.rounds, None)
    scratch = flow.RunConfig(
        title="Demo, from scratch",
        train=training.model_copy(update={"name": "scratch", "output": folder / "train"}),
        validation=config.adapt.validation,
        segment=config.segment.model_copy(
            update={"backbone": str(folder / "train" / "backbone"), "output": str(folder)}
        ),
    )
    flow.run(scratch, observe=observe)


def main() -> None:
    """Run the demo."""
    folder = ROOT / "runs" / "demo"
    kind = prepare(folder, Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data")))
    print(f"demo on {kind}", flush=True)
    path = ROOT / "configs" / "demo.toml"
    overrides = [f"title=Demo: {kind.partition(' (')[0]}"]
    if "phantom" in kind:  # which is near to no tissue
        overrides += [f'adapt.train.{key}="phantom"' for key in ("domain", "organism", "region", "modality")]
        overrides += [f'adapt.backbone="{open_zoo().folder("fly_larva_l1_sstem")}"']
    config = parse_config(flow.RunConfig, apply_overrides(load_config_file(path), overrides), str(path))
    with show_progress(quiet=False) as observe:
        adaptation = flow.adapt_backbone(config, observe=observe)
        segment_from_scratch(config, adaptation, observe)
        print_summary(flow.run(config, observe=observe))


if __name__ == "__main__":
    os.chdir(ROOT)
    with tell_errors():
        main()
