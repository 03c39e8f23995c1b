"""Train every backbone of the zoo that comes with neuroadda, embed its training data, and pack both.

    python tools/build_zoo.py [ENTRY ...]     all by default; a finished training is not repeated

Volumes and trainings land in runs/, entries in neuroadda/zoo/data. Each entry holds features of its training data by its own
network and by the generalist's, so the generalist is built first.
"""

import os
import sys
from functools import partial
from pathlib import Path

from neuroadda import flow
from neuroadda.config import load_config_file, parse_config
from neuroadda.domains.embedding import embed_volumes
from neuroadda.domains.patches import PatchConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.resampling import resample_volume
from neuroadda.zoo.adding import add_backbone
from neuroadda.zoo.finding import builtin_folder, open_zoo

ROOT = Path(__file__).parent.parent
GENERALIST = "generalist"
TRAINED_ON = {  # one volume for each domain
    "mouse_cortex_sssem": "mouse_cortex_ac4_train",
    "fly_medulla_fibsem": "fly_medulla_fibsem_train",
    "fly_fibsem": "fly_fibsem_train",
    "fly_larva_l1_sstem": "fly_larva_l1_sstem_train",
    "fly_larva_l3_sstem": "fly_larva_l3_sstem_train",
}
PIXEL_NM = 8.0
PATCHES = 512


def prepare(data: Path) -> None:
    """Import every volume, and resample it for the generalist."""
    for domain, trained_on in TRAINED_ON.items():
        for name in (trained_on, f"{domain}_test"):
            native, even = (folder / f"{name}.zarr" for folder in (Path("runs/data"), Path("runs/data/8nm")))
            if not (native / "labels").exists():
                import_volume(data / f"{name}.hdf", native)
            for kind in ("raw", "labels"):
                if not (even / kind).exists():
                    resample_volume(Volume.open(native / kind), even / kind, PIXEL_NM, kind)


def train(name: str) -> Path:
    """Return the folder of an entry's trained backbone."""
    path = Path("configs") / f"{name}.toml"
    config = parse_config(flow.RunConfig, load_config_file(path), str(path))
    assert config.train is not None
    flow.train_backbone(config)
    flow.validate_backbone(config)  # again, as fragments may be found in another way than when it was trained
    return config.train.output / "backbone"


def pack(name: str, folder: Path) -> None:
    """Put a backbone and the features of its training data into the zoo."""
    trained_on = TRAINED_ON.values() if name == GENERALIST else (TRAINED_ON[name],)
    volumes = [Volume.open(f"runs/data/{volume}.zarr/raw") for volume in trained_on]
    embed = partial(embed_volumes, volumes, config=PatchConfig(count=PATCHES // len(volumes)))
    add_backbone(folder, builtin_folder(), overwrite=True, embed=embed, reference=GENERALIST)


def main() -> None:
    """Build what is asked for."""
    prepare(Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data")))
    for name in sys.argv[1:] or (GENERALIST, *TRAINED_ON):
        pack(name, train(name))
    zoo = open_zoo()
    print(f"{zoo.where}: {', '.join(zoo.names())}")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
