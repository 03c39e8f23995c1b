"""neuroadda: from raw electron microscopy to neurons, with as few human labels as possible.

The public functions and classes are imported when they are first used, so that `import neuroadda` itself is quick; see
`neuroadda.api` for what they have in common.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# The threads of numpy's OpenBLAS sleep while they wait. By default each is busy waiting for a tenth of a second at every start.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from neuroadda.active.propose import ProposeConfig
    from neuroadda.adaptation.config import AdaptConfig
    from neuroadda.adaptation.tune_config import TuneConfig
    from neuroadda.api.boxes import adapt, propose, rank_sources
    from neuroadda.api.checks import check
    from neuroadda.api.edits import add_edit, apply_edits, list_edits, undo_edit
    from neuroadda.api.proofreading import likely_errors
    from neuroadda.api.runs import evaluate, predict, segment, train
    from neuroadda.api.tuning import tune
    from neuroadda.api.volumes import import_volume, mask, open_volume, phantom, publish
    from neuroadda.blockwise.execution_config import Execution
    from neuroadda.domains.selection import SelectConfig
    from neuroadda.errors import PersonNeeded, RunFailed, RunStopped, UserError
    from neuroadda.evaluation.measure import EvaluateConfig
    from neuroadda.evaluation.validation import ValidateConfig
    from neuroadda.flow import RunConfig, load_config, run
    from neuroadda.observing import RunObserver
    from neuroadda.publishing.publication import PublishConfig
    from neuroadda.segmentation.config import SegmentConfig
    from neuroadda.training.config import StartConfig, TrainConfig
    from neuroadda.training.sample_config import SampleConfig
    from neuroadda.volumes.arrays import Volume
    from neuroadda.volumes.phantom import PhantomConfig

_HOMES = {
    "active.propose": ("ProposeConfig",),
    "adaptation.config": ("AdaptConfig",),
    "adaptation.tune_config": ("TuneConfig",),
    "api.boxes": ("adapt", "propose", "rank_sources"),
    "api.checks": ("check",),
    "api.edits": ("add_edit", "apply_edits", "list_edits", "undo_edit"),
    "api.proofreading": ("likely_errors",),
    "api.runs": ("evaluate", "predict", "segment", "train"),
    "api.tuning": ("tune",),
    "api.volumes": ("import_volume", "mask", "open_volume", "phantom", "publish"),
    "blockwise.execution_config": ("Execution",),
    "domains.selection": ("SelectConfig",),
    "errors": ("PersonNeeded", "RunFailed", "RunStopped", "UserError"),
    "evaluation.measure": ("EvaluateConfig",),
    "evaluation.validation": ("ValidateConfig",),
    "flow": ("RunConfig", "load_config", "run"),
    "observing": ("RunObserver",),
    "publishing.publication": ("PublishConfig",),
    "segmentation.config": ("SegmentConfig",),
    "training.config": ("StartConfig", "TrainConfig"),
    "training.sample_config": ("SampleConfig",),
    "volumes.arrays": ("Volume",),
    "volumes.phantom": ("PhantomConfig",),
}
_PUBLIC = {name: f"neuroadda.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "AdaptConfig",
    "EvaluateConfig",
    "Execution",
    "PersonNeeded",
    "PhantomConfig",
    "ProposeConfig",
    "PublishConfig",
    "RunConfig",
    "RunFailed",
    "RunObserver",
    "RunStopped",
    "SampleConfig",
    "SegmentConfig",
    "SelectConfig",
    "StartConfig",
    "TrainConfig",
    "TuneConfig",
    "UserError",
    "ValidateConfig",
    "Volume",
    "adapt",
    "add_edit",
    "apply_edits",
    "check",
    "evaluate",
    "import_volume",
    "likely_errors",
    "list_edits",
    "load_config",
    "mask",
    "open_volume",
    "phantom",
    "predict",
    "propose",
    "publish",
    "rank_sources",
    "run",
    "segment",
    "train",
    "tune",
    "undo_edit",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'neuroadda' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted((*__all__, "__version__"))
