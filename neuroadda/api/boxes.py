"""From a new volume to a backbone that fits it: rank, propose, adapt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuroadda.api.inputs import StrPath, VolumeLike, name_training, to_text, to_volume
from neuroadda.config import configure
from neuroadda.errors import in_section, warn
from neuroadda.observing import RunObserver, watched_by

if TYPE_CHECKING:
    from neuroadda.active.propose import Found, ProposeConfig
    from neuroadda.adaptation.config import AdaptConfig
    from neuroadda.adaptation.state import Adaptation
    from neuroadda.domains.ranking import Ranking
    from neuroadda.domains.selection import SelectConfig


def rank_sources(
    raw: VolumeLike,
    *,
    zoo: StrPath | None = None,
    exclude: Sequence[str] | None = None,
    config: "SelectConfig | None" = None,
    observer: RunObserver = RunObserver(),
) -> "Ranking":
    """Rank the backbones of a zoo for a volume: which segments it best as it is. No label is read.

    Evidence is how consistent the boundaries of each are, and the MMD^2 of features, see docs/results/ranking.md.

    Parameters
    ----------
    raw
        uint8, zyx.
    zoo
        Folder or URL; by default the zoo that comes with neuroadda.
    exclude
        Entries to leave out, such as one trained on this volume.

    Returns
    -------
    Ranking
        `winner` is the first; `rows` has the evidence of each: `consistency`, `mmd2`, their intervals, and ``why``.

    Raises
    ------
    UserError
        If `raw` cannot be embedded, an excluded name is unknown, or no entry can be ranked.
    """
    from neuroadda.domains.selection import SelectConfig, rank_zoo
    from neuroadda.zoo.finding import open_zoo

    given = {"zoo": to_text(zoo), "exclude": exclude}
    select = configure(SelectConfig, config, "select", given)
    with watched_by(observer):
        return rank_zoo(to_volume(raw), open_zoo(select.zoo), select.rank, select.exclude)


def propose(
    raw: VolumeLike | None = None,
    *,
    output: StrPath | None = None,
    backbone: StrPath | None = None,
    count: int | None = None,
    shape_nm: Sequence[float] | None = None,
    mask: VolumeLike | None = None,
    no_data: VolumeLike | None = None,
    any_voxel_size: bool | None = None,
    workers: int | None = None,
    config: "ProposeConfig | None" = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> "Found":
    """Propose the boxes of a volume that are worth a person's labels; nothing but its raw is needed.

    Parameters
    ----------
    raw
        uint8, zyx.
    output
        Folder of ``proposals.json``, the contact sheet (html, png) and the uncertainty.
    backbone
        An entry of the zoo, or a folder; by default the first of the zoo's ranking.
    count, shape_nm
        How many boxes, and their shape: zyx, nm. By default 4 of a micrometre.
    mask
        Integers, zyx, on raw's voxels or coarser ones: no box leaves where it is not 0.
    no_data
        Where raw has none, as in `segment`: no box holds any of it.
    any_voxel_size
        Accept a volume whose voxel size is far from that of the backbone's training, and warn of it; by default True.
    workers
        Worker processes.

    Returns
    -------
    Found
        `proposals.proposals` are the boxes by rank: `offset_nm`, `shape_nm` (zyx), `score` and `reason`.

    Raises
    ------
    UserError
        If an input is missing or does not fit, no box fits, or other proposals lie in `output` and `overwrite` is false.
    RunFailed, RunStopped
        As `segment`.
    """
    from neuroadda.active.propose import ProposeConfig, propose_boxes
    from neuroadda.checking.findings import Findings
    from neuroadda.checking.proposing import check_propose
    from neuroadda.prediction.predict import tell_far_size
    from neuroadda.viewing.contact_sheet import keep_contact_sheet

    given = {
        **{"raw": to_text(raw), "output": to_text(output), "backbone": to_text(backbone), "shape_nm": shape_nm},
        **{
            "choose": {"count": count},
            "mask": to_text(mask),
            "no_data": to_text(no_data),
            "any_voxel_size": any_voxel_size,
        },
        "execution": {"workers": workers},
    }
    wanted, findings = configure(ProposeConfig, config, "propose", given), Findings(for_run=True)
    with watched_by(observer):
        check_propose(findings, wanted)
        findings.enforce()
    with watched_by(observer), in_section("propose"):
        found = propose_boxes(wanted, overwrite=overwrite, observe=observer.on_blocks)
    volume = to_volume(wanted.raw)
    for card in found.cards:
        if (told := tell_far_size(volume, card)) is not None:
            warn(told, wanted.raw)
    keep_contact_sheet(wanted.output, volume, found)
    return found


def adapt(
    raw: VolumeLike | None = None,
    *,
    output: StrPath | None = None,
    backbone: StrPath | None = None,
    proposals: StrPath | None = None,
    oracle: VolumeLike | None = None,
    iterations: int | None = None,
    rounds: int | None = None,
    workers: int | None = None,
    config: "AdaptConfig | None" = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> "Adaptation":
    """Adapt a backbone to a volume by a few labelled boxes, as far as there are labels: rank, propose, fine-tune, compare.

    Parameters
    ----------
    raw
        uint8, zyx.
    output
        Folder of the state and the results; ``<output>/backbone`` is the adapted backbone.
    backbone
        What to start from: an entry of the zoo, or a folder; by default the first of the zoo's ranking, or the source that is
        clearly better on the labelled boxes.
    proposals
        Folder of `propose`: its boxes, with the labels that are there, are those of the first round.
    oracle
        Labels (integers, zyx, on raw's voxels) that stand in for a person.
    iterations
        Of each round's training.
    rounds
        How often boxes are proposed and learned from.
    workers
        Worker processes that score the volume.

    Returns
    -------
    Adaptation
        Where it is `waiting`, ``rounds[-1]`` names the boxes: label them, import the labels (``neuroadda proposals import``), and
        call again. `backbone` is the result; `describe_scores` says what it was worth.

    Raises
    ------
    UserError
        If an input is missing or does not fit, or `output` holds another adaptation and `overwrite` is false.
    RunFailed, RunStopped
        As `segment` and `train`.
    """
    from neuroadda.adaptation.config import AdaptConfig
    from neuroadda.adaptation.rounds import adapt_backbone
    from neuroadda.checking.findings import Findings
    from neuroadda.checking.proposing import check_adapt

    given = {
        **{"raw": to_text(raw), "output": to_text(output), "backbone": to_text(backbone), "oracle": to_text(oracle)},
        **{"proposals": to_text(proposals), "rounds": rounds, "execution": {"workers": workers}},
        "train": name_training(None if config is None else config.train.name, output) | {"iterations": iterations},
    }
    wanted, findings = configure(AdaptConfig, config, "adapt", given), Findings(for_run=True)
    with watched_by(observer):
        check_adapt(findings, wanted)
        findings.enforce()
        return adapt_backbone(wanted, overwrite=overwrite, observer=observer)
