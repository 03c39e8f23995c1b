"""What determines an adaptation."""

from typing import Annotated, Literal

from pydantic import Field

from neuroadda.active.propose import ProposeSettings
from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import Config, FolderPath, PathText, PublicConfig, Zyx
from neuroadda.domains.selection import SelectConfig
from neuroadda.evaluation.validation import ValidateConfig
from neuroadda.training.config import TrainSettings
from neuroadda.volumes.no_data_mask import AUTO
from neuroadda.volumes.regions import RoiConfig
from neuroadda.zoo.finding import zoo_name


class LabelSettings(Config):
    """How the labels of the boxes are to be read; see `neuroadda.training.config.SampleConfig`."""

    background: Literal["boundary", "ignore"] = "boundary"
    linked: bool = True
    erode_vx: Annotated[int, Field(ge=0)] = 0


class AdaptConfig(PublicConfig):
    """From a volume without labels to a backbone that fits it.

    Attributes
    ----------
    raw, mask, roi
        The volume, or a part of it; outside the mask (0) is no tissue.
    no_data
        Where raw has none, as in `neuroadda.segmentation.pipeline.SegmentConfig`.
    output
        Folder of the state and the results.
    backbone
        What to start from, an entry of the zoo or a folder; without it, the zoo is ranked and its first entry taken, or the
        one that is clearly better on the labelled boxes.
    select
        How the zoo is ranked, or a ranking that is there already.
    proposals
        Folder of `propose` whose boxes are those of the first round, with the labels that are there; so is the ranking
        that lies in it, unless a backbone or a ranking is given.
    propose
        Which boxes are proposed in a round.
    committee
        Backbones (entries of the zoo, or folders) that the one that is unsure is compared with, for the score "committee".
    block_vx, ledger
        Of the blockwise scoring; see `neuroadda.active.propose.ProposeConfig`.
    rounds
        How often. Every round fine-tunes the first backbone on all labels there are by then, and the next one asks where the
        result is unsure.
    oracle
        Labels of the volume that stand in for a person, for experiments: an array on the voxels of raw. What a person has
        labelled is kept.
    train
        How to fine-tune.
    labels
        How labels are to be read.
    validation
        A labelled part that is not trained on: backbones are scored on it before and after.
    leave_one_out
        Without a validation, fine-tune once more without the last labelled box, to score on that box before and after.
    tune
        At the end, choose how affinities are segmented: on the validation part, else on the box that was left out of the second
        fine-tuning, else on all labelled boxes. The card of the backbone keeps it.
    trust_inputs
        Do not look whether volumes were edited since.
    """

    raw: PathText
    output: FolderPath
    mask: PathText | None = None
    no_data: PathText = AUTO
    roi: RoiConfig | None = None
    backbone: PathText | None = None
    select: SelectConfig = Field(default_factory=SelectConfig)
    proposals: FolderPath | None = None
    propose: ProposeSettings = Field(default_factory=ProposeSettings)
    committee: tuple[PathText, ...] = ()
    block_vx: Zyx | None = None
    ledger: str | None = None
    rounds: int = Field(default=1, ge=1)
    oracle: PathText | None = None
    train: TrainSettings
    labels: LabelSettings = Field(default_factory=LabelSettings)
    validation: ValidateConfig | None = None
    leave_one_out: bool = True
    tune: bool = True
    trust_inputs: bool = False
    execution: Execution = Field(default_factory=Execution)


def without_secrets(config: AdaptConfig) -> AdaptConfig:
    """Return the config without the URLs that may hold a password."""
    select = config.select.model_copy(update={"zoo": zoo_name(config.select.zoo)})
    return config.model_copy(update={"select": select, "ledger": None})
