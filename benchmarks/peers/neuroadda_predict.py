"""Predict affinities with neuroadda: `segment` up to the prediction.

python -m benchmarks.peers.neuroadda_predict run JOB.json
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from neuroadda.blockwise.execution_config import Execution
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import segment_volume


def config_of(job: dict[str, Any]) -> SegmentConfig:
    """Return what a job asks for."""
    return SegmentConfig(
        raw=job["raw"],
        backbone=job["backbone"],
        output=job["output"],
        predict=Predict(precision=job["precision"]),
        execution=Execution(workers=job["workers"], launcher="local" if job["workers"] > 1 else "serial"),
    )


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[2]).read_text())
    shutil.rmtree(job["output"], ignore_errors=True)
    {"run": lambda: segment_volume(config_of(job), upto="predict")}[sys.argv[1]]()
