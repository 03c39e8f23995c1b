"""What determines a training: one strict model and its parts."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from neuroadda.backbones.architecture import Architecture
from neuroadda.backbones.card import NEAREST, check_offsets
from neuroadda.backbones.devices import resolve_device, resolve_precision
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import (
    Config,
    FolderPath,
    PublicConfig,
    Zyx,
    dump_config,
    fingerprint,
)
from neuroadda.faults import raise_together
from neuroadda.runs.folder import check_run_folder
from neuroadda.training.augment_config import AugmentConfig
from neuroadda.training.sample_config import SampleConfig

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
NotNegative = Annotated[float, Field(ge=0)]


class LossConfig(Config):
    """How far predicted affinities are from the truth.

    Attributes
    ----------
    kind
        ``"bce"`` (binary cross entropy) or ``"mse"`` (squared error of the sigmoid).
    balance
        Weight 0 and 1 equally in every channel of a batch; fractions are clipped to 5..95 %.
    dice
        Weight of an added soft Dice loss of the boundary (1 - affinity).
    far
        Weight of the channels beyond the three nearest neighbours.
    """

    kind: Literal["bce", "mse"] = "bce"
    balance: bool = False
    dice: NotNegative = 1.0
    far: NotNegative = 0.5


class StartConfig(PublicConfig):
    """A trained backbone to start from.

    Attributes
    ----------
    backbone
        An entry of the zoo, or its folder. The channels of its head are kept for the offsets that it knows; others start at random.
    frozen_levels
        Levels of the encoder, from the finest, that stay as they are.
    encoder_rate
        Learning rate of the rest of the encoder, relative to that of the decoder.
    """

    backbone: FolderPath
    frozen_levels: Count = 0
    encoder_rate: Annotated[float, Field(gt=0, le=1)] = 1.0


class TrainSettings(Config):
    """How to train, whatever on.

    The fingerprint of a training covers everything here but `threads`, `workers`, `device`, `channels_last` and the ``..._every``
    keys. Devices, numbers of threads and memory layouts round differently. `validate_every` counts where `keep_best` is set, and
    the precision, after ``"auto"`` was decided, where it is not float32.

    Attributes
    ----------
    name
        Name of the backbone, for the card.
    domain
        Kind of tissue and imaging, for the card; the name in a zoo.
    organism
        For the card; `zoo add` needs it.
    region
        Part of the organism, for the card.
    modality
        How it was imaged, for the card; `zoo add` needs it.
    any_voxel_size
        Allow samples of different voxel sizes; the card then has their geometric mean.
    network
        The U-Net; its `out_channels` follow from `offsets`. A backbone to start from brings its own.
    offsets : voxels
        Affinity channels; the first three are the nearest neighbours (or the first two those in the section, for labels that
        are linked nowhere). The backbone predicts all of them.
    auxiliary_offsets : voxels
        Further affinities. The training learns them too (their weight is `loss.far`), but the backbone does not predict them.
        They teach the network to use more of its context (Lee et al. 2017, arXiv 1706.00120). None is the mirror image of another
        offset: that is the same affinity. All are shorter than `output_shape_vx`.
    augment
        Random changes to what the network sees.
    loss
        How far predicted affinities are from the truth.
    output_shape_vx
        Shape of what one sample of a batch teaches; the input is larger by the network's context.
    iterations : iterations
        Length of the training.
    batch_size : samples
        Samples of a batch.
    accumulate : batches
        Batches an iteration learns from: their mean loss, each with its own batch statistics. Processes of a training share
        them.
    reduction
        How processes add their gradients. ``"ordered"``: in the order of the batches, so that how many processes there are never
        changes the result. ``"ddp"``: by torch's DistributedDataParallel, which sends gradients while others are still computed;
        sums are rounded differently, and batch norms keep the running statistics of the first process.
    learning_rate
        Largest learning rate of AdamW. It falls to 0 at the end by a cosine.
    warm_up : iterations
        Iterations in which the learning rate rises linearly.
    weight_decay
        Weight decay of AdamW.
    clip_gradient
        Largest norm of the gradient; a longer one is scaled down.
    batch_norm
        Train with batch norm, which is folded into the weights in the end.
    padded
        Fraction of the iterations, the first ones, in which the network sees zeros for context: several times as many voxels
        teach in the same time. The rest is trained as the network is used.
    ema
        Decay of an exponential moving average of the weights, which becomes the backbone; 0 for none.
    seed
        Sample i of a training depends on it and i alone.
    workers : processes
        Processes that make batches; 0: this one.
    threads : threads
        Threads of the network.
    device
        ``"auto"``: CUDA where there is one.
    precision
        ``"auto"``: bfloat16 on GPUs that have it natively, else float32; see `resolve_precision`.
    channels_last
        Memory layout of the network.
    checkpoint_every : iterations
        How often the state is kept, from which a killed training goes on; 0 for never.
    validate_every : iterations
        How often the backbone is scored on the held-out part; 0 for never.
    picture_every : iterations
        How often a picture of a batch is written; 0 for never.
    keep_best
        The metric by which the best validated backbone is kept, not the last: ``"voi"``, ``"voi_split"``, ``"voi_merge"`` or
        ``"adapted_rand_error"``. It needs `validate_every` and a ``[validation]`` section.
    patience : validations
        Stop after so many validations without a better one (needs `keep_best`); 0 for never.
    """

    name: str
    domain: str
    organism: str = ""
    region: str = ""
    modality: str = ""
    any_voxel_size: bool = False
    network: Architecture = Field(default_factory=UNetConfig)
    offsets: tuple[Zyx, ...] = NEAREST
    auxiliary_offsets: tuple[Zyx, ...] = ()
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    output_shape_vx: Zyx = (8, 128, 128)
    iterations: Positive
    batch_size: Positive = 1
    accumulate: Positive = 1
    reduction: Literal["ordered", "ddp"] = "ordered"
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    warm_up: Count = 20
    weight_decay: NotNegative = 1e-4
    clip_gradient: Annotated[float, Field(gt=0)] = 1.0
    batch_norm: bool = True
    padded: Annotated[float, Field(ge=0, le=1)] = 0.8
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    seed: Count = 0
    workers: Count = 1
    threads: Positive = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = False
    checkpoint_every: Count = 50
    validate_every: Count = 0
    picture_every: Count = 100
    keep_best: Literal["voi", "voi_split", "voi_merge", "adapted_rand_error"] | None = None
    patience: Count = 0


class TrainConfig(PublicConfig, TrainSettings):
    """A training.

    Attributes
    ----------
    samples
        What to train on.
    start
        A backbone to fine-tune; without one the network starts at random.
    output
        The run's folder; the result does not depend on it.
    trust_inputs
        Do not look whether samples were edited since the training began.
    """

    samples: Annotated[tuple[SampleConfig, ...], Field(min_length=1)]
    start: StartConfig | None = None
    output: FolderPath
    trust_inputs: bool = False

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        raise_together(
            self._check_offsets,
            self._check_reach,
            self._check_shape,
            self._check_best,
            self._check_patience,
            self._check_transpose,
            self._check_frozen,
        )
        return self

    def _check_offsets(self) -> None:
        check_offsets(self.offsets)
        check_offsets(self.taught_offsets)
        self._check_auxiliary()
        self.architecture.check_offsets(self.taught_offsets)

    @property
    def _has_network(self) -> bool:
        """Whether the network is known; else it comes with the backbone."""
        return self.start is None or "network" in self.model_fields_set

    def _check_shape(self) -> None:
        near = self.architecture.nearest_output_shape_vx(self.output_shape_vx)
        if self._has_network and self.output_shape_vx != near:
            raise ValueError(f"output_shape_vx {self.output_shape_vx} is not possible; the nearest is {near}")

    def _check_best(self) -> None:
        if self.keep_best and not self.validate_every:
            raise ValueError("keep_best needs validate_every")

    def _check_patience(self) -> None:
        if self.patience and not self.keep_best:
            raise ValueError("patience needs keep_best")

    def _check_transpose(self) -> None:
        if self.augment.transpose == "zyx" and not all(sample.linked for sample in self.samples):
            raise ValueError('labels that are not linked across sections cannot be transposed "zyx"')

    def _check_frozen(self) -> None:
        if self._has_network and self.start and self.start.frozen_levels > self.network.encoder_levels:
            raise ValueError(
                f"start.frozen_levels is {self.start.frozen_levels} of {self.network.encoder_levels} levels"
            )

    def _check_auxiliary(self) -> None:
        """Raise ValueError if an auxiliary affinity is that of another offset, whose pairs are the same from their other ends."""
        for number, (z, y, x) in enumerate(self.auxiliary_offsets, len(self.offsets)):
            if (-z, -y, -x) in self.taught_offsets[:number]:
                what = f"offsets are repeated: {[z, y, x]} is the affinity of {[-z, -y, -x]}, seen from the other end"
                raise ValueError(f"{what}; leave auxiliary_offsets {[z, y, x]} out")

    def _check_reach(self) -> None:
        """Raise ValueError if an auxiliary offset leaves what one sample of a batch teaches."""
        largest = tuple(max(1, length - 1) for length in self.output_shape_vx)
        for offset in self.auxiliary_offsets:
            if any(abs(step) > most for step, most in zip(offset, largest, strict=True)):
                what = f"auxiliary_offsets {list(offset)} is too long for output_shape_vx {list(self.output_shape_vx)}"
                raise ValueError(f"{what}: up to {list(largest)} (zyx) fits")

    def check_folder(self) -> None:
        """Raise UserError if the output folder is something else than that of a training."""
        check_run_folder(self.output, {"samples", "iterations"})

    def is_padded(self, iteration: int) -> bool:
        """Return whether the network sees no context in this iteration."""
        return iteration < self.padded * self.iterations

    @property
    def samples_an_iteration(self) -> int:
        """How many samples an iteration learns from, in all its batches."""
        return self.batch_size * self.accumulate

    @property
    def nearest_channels(self) -> int:
        """How many of the first channels are of nearest neighbours: three, or two in the section."""
        return sum(offset in NEAREST for offset in self.offsets[:3])

    @property
    def architecture(self) -> Architecture:
        """The network with one output channel for each offset that it learns."""
        return self.network.with_out_channels(len(self.taught_offsets))

    @property
    def taught_offsets(self) -> tuple[Zyx, ...]:
        """All affinities that are learnt: those of the backbone, then the auxiliary ones."""
        return self.offsets + self.auxiliary_offsets


_NOT_DETERMINING = {
    *("workers", "threads", "device", "precision", "channels_last"),
    *("checkpoint_every", "validate_every", "picture_every", "output", "trust_inputs"),
}


def training_fingerprint(config: TrainConfig, volumes: list[str], start: str | None = None) -> str:
    """Return the fingerprint of a training on volumes of these fingerprints, from the backbone of this digest.

    Raises
    ------
    UserError
        If the device cannot train in the precision.
    """
    parameters = {k: v for k, v in dump_config(config).items() if k not in _NOT_DETERMINING}
    if config.keep_best:  # then validations choose the iteration
        parameters["validate_every"] = config.validate_every
    precision = resolve_precision(config.precision, resolve_device(config.device), training=True)
    if precision != "float32":
        parameters["precision"] = precision
    # A training with these defaults has the fingerprint that it had before the keys existed.
    if config.accumulate == 1:
        del parameters["accumulate"]
    if config.reduction == "ordered":
        del parameters["reduction"]
    if not config.auxiliary_offsets:
        del parameters["auxiliary_offsets"]
    if config.augment.gamma == 1:
        parameters["augment"] = {k: v for k, v in parameters["augment"].items() if k != "gamma"}
    if config.start is not None:
        parameters["start"] = {**parameters["start"], "backbone": start}
    return fingerprint("train", 3, parameters, volumes)
