"""Start a training from a trained backbone: the same network, new head channels where it knows no such offset."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import Backbone
from neuroadda.backbones.foreign import ForeignNetwork
from neuroadda.backbones.module import NetworkModule
from neuroadda.config import dump_config, parse_config
from neuroadda.errors import SettingError
from neuroadda.training.config import TrainConfig
from neuroadda.zoo.finding import find_backbone


def adopt_network(config: TrainConfig) -> TrainConfig:
    """Return the config with the folder and the network of the backbone it starts from, if it does.

    Raises
    ------
    UserError
        If the backbone cannot be read, the config asks for another network, or its outputs do not fit the network.
    """
    if config.start is None:
        return config
    start = config.start.model_copy(update={"backbone": find_backbone(config.start.backbone)})
    config = config.model_copy(update={"start": start})
    network = load_card(start.backbone).architecture
    wanted = config.architecture
    if "network" in config.model_fields_set and wanted != network.with_out_channels(len(config.taught_offsets)):
        raise SettingError(
            f"the network is not that of {start.backbone}",
            "network",
            "leave it out to start from a backbone",
        )
    where = f"train, from {start.backbone}"
    data = {**dump_config(config), "network": dump_config(network)}
    if isinstance(network, ForeignNetwork) and "offsets" not in config.model_fields_set:
        data["offsets"] = network.offsets  # it has no others
    return parse_config(TrainConfig, data, where)


def start_from(config: TrainConfig, backbone: Path) -> TrainConfig:
    """Return the config of a training that starts from a backbone, whose network takes the place of the config's."""
    data = {key: value for key, value in dump_config(config).items() if key != "network"}
    return adopt_network(parse_config(TrainConfig, data | {"start": {"backbone": str(backbone)}}, "train"))


def take_weights(model: NetworkModule, config: TrainConfig, backbone: Backbone) -> None:
    """Copy a backbone's weights into a model of its architecture; the head's channels go by their offsets."""
    weights = {name: value for name, value in backbone.model.state_dict().items() if not name.startswith("head.")}
    unknown = model.load_state_dict(weights, strict=False).unexpected_keys
    assert not unknown, unknown
    with torch.no_grad():
        for own, trained in zip(model.head.parameters(), backbone.model.head.parameters(), strict=True):
            for channel, offset in enumerate(config.taught_offsets):
                if offset in backbone.card.offsets:
                    own[channel] = trained[backbone.card.offsets.index(offset)]


def calibrate_norms(model: NetworkModule, batches: Iterable[Tensor]) -> None:
    """Set the batch norms of a model with folded weights so that, on these inputs, none of them changes anything.

    A backbone on disk has no batch norm. Each norm gets the mean and standard deviation of what arrives at it both as its
    statistics and as its shift and scale: the function stays, and training goes on with normalised activations.
    """
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]

    def record(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0].double()
        moments = torch.stack([x.mean((0, 2, 3)), (x**2).mean((0, 2, 3))])
        sums.setdefault(norm, []).append(moments)
        return inputs[0]

    hooks = [norm.register_forward_hook(record) for norm in norms]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.inference_mode():
        for raw in batches:
            model(raw, padded=True)
    for hook in hooks:
        hook.remove()
    for module, training in modes:
        module.training = training
    with torch.no_grad():
        for norm in norms:
            mean, square = torch.stack(sums[norm]).mean(0)
            variance = (square - mean**2).clamp(min=0)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean)


def freeze(model: NetworkModule, levels: int) -> None:
    """Keep the encoder's first levels as they are, the statistics of their batch norms too."""
    for level in model.encoder[:levels]:
        level.requires_grad_(False)
        for module in level.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def group_parameters(model: NetworkModule, config: TrainConfig) -> list[dict[str, object]]:
    """Return the optimizer's groups of parameters that learn, each with the `scale` of its learning rate."""
    rate = 1.0 if config.start is None else config.start.encoder_rate
    levels = {p for level in model.encoder for p in level.parameters()}
    encoder = [p for p in model.parameters() if p in levels and p.requires_grad]
    others = [p for p in model.parameters() if p not in levels]
    return [{"params": group, "scale": scale} for group, scale in ((encoder, rate), (others, 1.0)) if group]
