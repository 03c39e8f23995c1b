"""The main job on real mouse cortex where it is at hand, else on a phantom: train, segment, evaluate, report.

Run by `make demo`. Everything lands in runs/demo; run it again and finished work is skipped.
"""

import os
from pathlib import Path

from neuroadda import flow
from neuroadda.config import apply_overrides, load_config_file, parse_config
from neuroadda.console import print_summary, show_progress
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
    overrides = [f"title=Demo: {kind.partition(' (')[0]}"]
    if "phantom" in kind:
        overrides += [f'train.{key}="phantom"' for key in ("domain", "organism", "region", "modality")]
    config = parse_config(flow.RunConfig, apply_overrides(load_config_file(path), overrides), str(path))
    with show_progress(quiet=False) as observe:
        print_summary(flow.run(config, observe=observe))


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
