"""Segment affinities with neuroadda: every task of a plan after the prediction, by its engine.

    python -m benchmarks.peers.neuroadda_segment prepare|run|tune JOB.json

`prepare` places the affinities; `run` is what is measured; `tune` makes two choices of settings on one labelled volume: that of
`neuroadda tune`, and that of the lowest VOI, whatever the spread.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.measure import Stages
from neuroadda.backbones.card import load_card
from neuroadda.blockwise.engine import Engine
from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import dump_config
from neuroadda.evaluation.choosing import find_lowest
from neuroadda.evaluation.labelled import Labelled
from neuroadda.evaluation.settings import Setting, list_settings
from neuroadda.evaluation.tuning import tune_boxes
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.usage import sum_usage
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.volumes.arrays import Volume

RAW = "raw.zarr/raw"


def plan_job(job: dict[str, Any]) -> Plan:
    """Return the plan of a job; what the prediction would be like is decided beforehand, as after any prediction."""
    folder = Path(job["output"])
    tile_vx = load_card(job["backbone"]).architecture.alignment_vx
    return make_plan(
        SegmentConfig(
            raw=str(folder / RAW),
            backbone=job["backbone"],
            output=str(folder / "run"),
            block_vx=job["block_vx"],
            predict=Predict(device="cpu", precision="float32", tile_vx=tile_vx),
            **job["settings"],
            execution=Execution(workers=job["workers"], launcher="local" if job["workers"] > 1 else "serial"),
        )
    )


def prepare(job: dict[str, Any]) -> None:
    """Place the affinities where the plan has them, and a raw volume of their shape, which is not read."""
    affs, folder = Volume.open(job["affs"]), Path(job["output"])
    shutil.rmtree(folder, ignore_errors=True)
    Volume.create(folder / RAW, affs.shape_vx, affs.voxel_size_nm, "uint8", offset_nm=affs.offset_nm)
    predict = plan_job(job).task("predict")
    predict.bound.create_output(predict)
    placed = Volume.open(predict.output, "r+")
    for block in predict.grid.blocks():
        placed.write(block.write_roi, affs.read(block.write_roi))


def run(job: dict[str, Any]) -> None:
    """Segment, and tell the CPU seconds of each task; of worker processes without those of the scheduler."""
    plan, stages = plan_job(job), Stages()
    ledger = open_ledger(plan.config.ledger_url)
    with make_engine(plan) as engine:
        for task in plan.tasks:
            if task.name != "predict":
                with stages(task.name):
                    done = engine.run(task)
                if job["workers"] > 1 and len(task.blocks) > 1:
                    stages.cpu[task.name] += sum_usage(ledger, done.key).cpu_seconds
    stages.write(Path(job["output"]) / "stages.json")


def make_engine(plan: Plan) -> Engine:
    """Return what runs the tasks of a plan."""
    return Engine(plan.config.ledger_url, plan.config.execution, Path(plan.config.output) / "logs")


def tune(job: dict[str, Any]) -> None:
    """Write the part of a config that holds each choice; the default, from the card of the backbone, is compared with."""
    affs, labels, card = Volume.open(job["affs"]), Volume.open(job["labels"]), load_card(job["backbone"])
    box = Labelled(affs.read(labels.roi)[:3], labels.read().astype("uint64"), affs.voxel_size_nm)
    default = Setting(fragments=Fragments(), agglomerate=Agglomerate())
    settings = list_settings(default, affs.voxel_size_nm, card.offsets)
    tuned = tune_boxes({"the train part": lambda: box}, settings, card.metrics["threshold"], "the train part")
    choice = tuned.choice
    chosen = {
        "tune": (choice.setting, choice.threshold),
        "lowest": find_lowest(tuned.voi, choice.default_threshold),
    }
    for name, (setting, threshold) in chosen.items():
        config = dump_config(settings[setting]) | {"components": {"threshold": tuned.thresholds[threshold]}}
        Path(job["choices"], f"{name}.json").write_text(json.dumps(config))


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[2]).read_text())
    {"prepare": prepare, "run": run, "tune": tune}[sys.argv[1]](job)
