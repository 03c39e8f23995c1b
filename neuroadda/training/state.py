"""What a training must remember to go on exactly where it was: tensors in safetensors, the rest in JSON."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from neuroadda.config import write_json

TENSORS, FACTS = "state.safetensors", "state.json"
KEPT = 2


@dataclass
class TrainingProgress:
    """How far a training is.

    Attributes
    ----------
    iteration
        How many are done.
    cpu_seconds
        Of the network and of what makes batches, in all processes.
    losses
        One an iteration.
    best, validations_since_best
        Lowest value of the metric by which the best backbone is kept, and how many validations did not beat it.
    metrics
        The last validation's (the best's, if the best is kept).
    curve
        VOI of each validation that gives it, by iteration.
    validated
        The last iteration that was validated, or came from a checkpoint that is older than this key.
    """

    iteration: int = 0
    cpu_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    best: float | None = None
    validations_since_best: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)
    validated: int = 0


def pack_state(model: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer) -> bytes:
    """Return what model, moving average and optimizer hold, and torch's random state, as safetensors."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    tensors["rng"] = torch.get_rng_state()
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})


def unpack_state(data: bytes, model: nn.Module, average: nn.Module | None, optimizer: torch.optim.Optimizer) -> None:
    """Load what `pack_state` returned."""
    tensors = safetensors.torch.load(data)
    model.load_state_dict(_under("model.", tensors))
    if average is not None:
        average.load_state_dict(_under("average.", tensors))
    states: dict[int, dict[str, Any]] = {}
    for key, tensor in _under("optimizer.", tensors).items():
        index, name = key.split(".", 1)
        states.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    torch.set_rng_state(tensors["rng"])


def save_state(folder: Path, fingerprint: str, progress: TrainingProgress, tensors: bytes) -> None:
    """Write checkpoint ``<folder>/<iteration>``, whole or not at all, and delete all but the newest `KEPT`."""
    final = folder / f"{progress.iteration:08d}"
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / TENSORS).write_bytes(tensors)
    digest = hashlib.sha256(tensors).hexdigest()
    write_json(partial / FACTS, {"fingerprint": fingerprint, "digest": digest, **vars(progress)})
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old)


def find_state(folder: Path) -> tuple[Path, str] | None:
    """Return the newest checkpoint in `folder` that is whole, and the fingerprint of its training."""
    for path in reversed(_checkpoints(folder)):
        try:
            facts = json.loads((path / FACTS).read_text())
            if facts["digest"] == hashlib.sha256((path / TENSORS).read_bytes()).hexdigest():
                return path, facts["fingerprint"]
        except (OSError, ValueError, KeyError):
            continue
    return None


def load_state(path: Path) -> tuple[TrainingProgress, bytes]:
    """Return the progress in a checkpoint, and the tensors for `unpack_state`. An older checkpoint lacks some keys."""
    facts = json.loads((path / FACTS).read_text())
    facts = {"validated": facts["iteration"], "curve": [], **facts}
    return TrainingProgress(**{k: facts[k] for k in vars(TrainingProgress())}), (path / TENSORS).read_bytes()


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("[0-9]*") if p.is_dir())


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
