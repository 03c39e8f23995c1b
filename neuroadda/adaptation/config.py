"""What determines an adaptation."""

from typing import Annotated, Literal

from pydantic import Field

from neuroadda.active.propose import ProposeSettings
from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import Config, FolderPath, PathText, PublicConfig, Zyx
from neuroadda.domains.selection import SelectConfig
from neuroadda.evaluation.validation import ValidateConfig
from neuroadda.training.config import TrainSettings
from neuroadda.volumes.coverage.no_data_setting import AUTO
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.zoo.finding import zoo_name


class LabelSettings(Config):
    """How the labels of the boxes are to be read; see `neuroadda.training.sample_config.SampleConfig`.

    Attributes
    ----------
    background
        What label 0 means: ``"boundary"`` (affinity 0) or ``"ignore"`` (unknown, left out of the loss).
        Boxes whose labels had ids that mean "not labelled" leave 0 out in any case.
    linked
        Whether a label has the same id in every section; if not, affinities between sections are left out of the loss.
    erode_vx
        Voxels taken off every label's border, for labels that touch each other.
    """

    background: Literal["boundary", "ignore"] = "boundary"
    linked: bool = True
    erode_vx: Annotated[int, Field(ge=0)] = 0


class AdaptConfig(PublicConfig):
    """From a volume without labels to a backbone that fits it.

    Attributes
    ----------
    raw
        Array of the volume: a path or a URL.
    mask
        Array that is 0 where no tissue is.
    roi
        Part of the volume; all of it by default.
    no_data
        Where raw has none, as in `neuroadda.segmentation.config.SegmentConfig`.
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
    block_vx
        Shape of a block of the scoring; see `neuroadda.active.propose_config.ProposeConfig`.
    ledger
        URL of the ledger of the scoring, as in `neuroadda.segmentation.config.SegmentConfig`.
    rounds : rounds
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
    execution
        How blocks are carried out; it does not change the result.
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
