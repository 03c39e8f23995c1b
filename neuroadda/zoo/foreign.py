"""Make a backbone of a foreign network: run it, complete its card by what is found, and store its weights beside it."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from neuroadda.backbones.card import Card
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.backbones.foreign import ForeignDraft, ForeignNetwork
from neuroadda.backbones.foreign_module import build_foreign
from neuroadda.backbones.probing import Probe
from neuroadda.config import dump_config, load_config_file, parse_config
from neuroadda.errors import UserError


def make_foreign_backbone(draft: Path | str, weights: Path | str, folder: Path | str) -> Card:
    """Write the folder of a backbone from a draft of its card and its weights.

    Parameters
    ----------
    draft
        TOML or JSON: a `Card` whose `architecture` is a `ForeignDraft`. Offsets follow from that.
    weights
        safetensors, with the keys of the class's own `state_dict`.
    folder
        It must not be there.

    Returns
    -------
    Card
        Complete.

    Raises
    ------
    UserError
        If a file cannot be read, the class cannot be made or does not take the weights, the network is no network from raw to
        affinities, or something of it is neither said nor found.
    """
    draft, folder = Path(draft), Path(folder)
    if folder.exists():
        raise UserError("it is there already", str(folder), "name a new folder")
    data = load_config_file(draft)
    said = data.get("architecture")
    if not isinstance(said, Mapping):
        raise UserError(
            "key 'architecture' is missing", str(draft), "it says which class the network is: docs/networks.md"
        )
    facts = parse_config(ForeignDraft, said, f"{draft}: architecture")
    module = build_foreign(facts).eval()
    try:
        module.load_state_dict(_read_weights(Path(weights)))
    except RuntimeError as error:
        reason = next((line.strip() for line in str(error).splitlines()[1:] if line.strip()), str(error))
        raise UserError(f"the weights do not fit {facts.implementation} ({reason})", str(weights)) from error
    probe = Probe(module, facts)
    geometry = probe.find_geometry()
    network = ForeignNetwork(
        **facts.model_dump(exclude={"activation", "geometry"}),
        out_channels=len(facts.channels),
        activation=facts.activation or "logits",
        geometry=geometry,
    )
    activation = probe.find_activation(network.input_shape_vx(network.alignment_vx))
    network = network.model_copy(update={"activation": activation})
    card = parse_config(Card, {"offsets": network.offsets, **data, "architecture": dump_config(network)}, str(draft))
    built = network.build()
    built.network.load_state_dict(module.state_dict())
    save_backbone(folder, built, card)
    return load_backbone(folder).card


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        weights = safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise UserError(f"the weights cannot be read ({error.strerror})", str(path)) from error
    except SafetensorError as error:
        right = "store them by safetensors.torch.save_file(model.state_dict(), ...): nothing else is loaded"
        raise UserError(f"the weights are no safetensors ({error})", str(path), right) from error
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{name} holds numbers that are not finite", str(path), "the training diverged: take others"
            )
    return weights
