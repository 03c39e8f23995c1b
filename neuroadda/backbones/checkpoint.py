"""A backbone on disk: ``card.json`` and ``weights.safetensors`` in a folder. Nothing is ever unpickled."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from neuroadda.backbones.card import CARD, WEIGHTS, Card, read_weights
from neuroadda.backbones.module import NetworkModule
from neuroadda.config import dump_config, write_json
from neuroadda.errors import UserError
from neuroadda.wholefiles import replacing

IDENTITY = "architecture"  # in the metadata of weights


@dataclass(frozen=True)
class Backbone:
    """A trained network (in eval mode), its card and where it came from."""

    model: NetworkModule
    card: Card
    folder: Path


def save_backbone(folder: Path | str, model: NetworkModule, card: Card, half: bool = False) -> Card:
    """Write a backbone, in float16 if `half`, and return its card with the digest of the weights.

    Both files are complete before either replaces an older one; a reader that falls between the two sees a digest
    mismatch.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()}
    identity = model.config.identity
    data = safetensors.torch.save(tensors, None if identity is None else {IDENTITY: identity})
    card = card.model_copy(update={"digest": hashlib.sha256(data).hexdigest(), "architecture": model.config})
    with replacing(folder / WEIGHTS) as partial:
        partial.write_bytes(data)
    write_json(folder / CARD, dump_config(card))
    return card


def load_backbone(folder: Path | str) -> Backbone:
    """Load a backbone, its network in float32, on the CPU and in eval mode.

    Raises
    ------
    UserError
        If the folder or a file in it is missing, the card is malformed, or the weights are not those that the card
        describes.
    """
    folder = Path(folder)
    card, data = read_weights(folder)
    if card.architecture.identity not in (None, _read_identity(folder / WEIGHTS)):
        right = "write the card again: `neuroadda zoo card`"
        raise UserError("the weights were stored with another architecture than the card's", str(folder / CARD), right)
    model = card.architecture.build()
    try:
        model.load_state_dict(safetensors.torch.load(data))
    except (SafetensorError, RuntimeError) as error:
        reason = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
        raise UserError(f"the weights do not fit the card's architecture ({reason})", str(folder / WEIGHTS)) from error
    return Backbone(model.eval(), card, folder)


def _read_identity(path: Path) -> str | None:
    try:
        with safe_open(path, "pt") as weights:
            return (weights.metadata() or {}).get(IDENTITY)
    except SafetensorError:
        return None
