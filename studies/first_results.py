"""Train and segment four real volumes from scratch and write docs/results/first.md beside two baselines.

    python -m studies.first_results [DOMAIN ...]     all four by default; finished work is skipped
    python -m studies.first_results --table          write the table from what is finished

Volumes, backbones and segmentations land in runs/first.
"""

import datetime
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from neuroadda import flow
from neuroadda.cli.progress import show_progress
from neuroadda.config import load_config_file, parse_config
from neuroadda.evaluation.metrics import Scores
from neuroadda.volumes.importing import import_volume

ROOT = Path(__file__).parent.parent
DOMAINS = ("mouse_cortex_sssem", "fly_medulla_fibsem", "fly_fibsem", "fly_larva_l1_sstem")
TARGET = ROOT / "docs" / "results" / "first.md"


def run_domain(domain: str, data: Path) -> None:
    """Import, train, segment, score; the summary lands in ``runs/first/<domain>/summary.json``."""
    for part in ("train", "test"):
        target = Path("runs/data") / f"{domain}_{part}.zarr"
        if not (target / "labels").exists():
            import_volume(data / f"{domain}_{part}.hdf", target)
    path = Path("configs") / f"{domain}.toml"
    config = parse_config(flow.RunConfig, load_config_file(path), str(path))
    with show_progress(quiet=False) as observer:
        flow.train_backbone(config, observer=observer)
        flow.validate_backbone(config)
        flow.run(config, observer=observer)


def write_table() -> None:
    """Write the results of every finished domain."""
    lines = [
        "# First results: from scratch, on four real volumes",
        "",
        "Trained on the train part alone, segmented and scored on the test part. VOI in nats (natural logarithm); voxels with",
        "truth label 0 are not scored, unsegmented voxels count as one segment. *ours, chosen* is at the threshold that the",
        "training's validation chose, never having seen the test part; *ours, best* and both baselines are at the threshold (or",
        "smoothing) that is best on the test part itself.",
        "",
        f"- Command: `python -m studies.first_results` (configs in `configs/`), {datetime.date.today().isoformat()}",
        f"- Machine: {describe_cpu()}, {os.cpu_count()} shared cores, no GPU; float32",
        "",
        "| volume | method | VOI split | VOI merge | VOI | adapted Rand error | threshold | training, CPU min |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for domain in DOMAINS:
        path = Path("runs/first") / domain / "summary.json"
        if path.exists():
            card = json.loads((Path("runs/first") / domain / "train/backbone/card.json").read_text())
            lines += _rows(domain, json.loads(path.read_text()), card["cpu_minutes"])
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("\n".join(lines) + "\n")
    print(TARGET)


def _rows(domain: str, summary: dict[str, Any], minutes: float) -> list[str]:
    best = summary["sweep"]["scores"][summary["sweep"]["thresholds"].index(summary["best_threshold"])]
    methods = [
        ("**ours, chosen**", summary["scores"], summary["threshold"], f"{minutes:.1f}"),
        ("ours, best", best, summary["best_threshold"], ""),
        *((name, scores, "best", "") for name, scores in summary["baselines"].items()),
    ]
    return [_row(domain, name, Scores.model_validate(scores), at, spent) for name, scores, at, spent in methods]


def _row(domain: str, name: str, scores: Scores, threshold: object, minutes: str) -> str:
    numbers = (scores.voi_split, scores.voi_merge, scores.voi, scores.adapted_rand_error)
    return f"| {domain} | {name} | " + " | ".join(f"{n:.3f}" for n in numbers) + f" | {threshold} | {minutes} |"


def describe_cpu() -> str:
    """Return the name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    os.chdir(ROOT)
    wanted = [name for name in sys.argv[1:] if name != "--table"]
    if "--table" not in sys.argv:
        for domain in wanted or DOMAINS:
            run_domain(domain, Path(os.environ.get("NEUROADDA_DATA", ROOT.parent / "shared" / "data")))
    write_table()
