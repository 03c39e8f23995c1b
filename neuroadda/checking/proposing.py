"""Look at what proposals, and an adaptation that asks for them, depend on."""

from contextlib import suppress
from pathlib import Path

from neuroadda.active.box_states import state_of
from neuroadda.active.proposals import LABELS as LABELS_FOLDER
from neuroadda.active.propose import ProposeConfig, find_known, plan_proposals
from neuroadda.active.propose_config import make_request
from neuroadda.adaptation.config import AdaptConfig
from neuroadda.adaptation.given import take_given
from neuroadda.adaptation.oracle import open_oracle
from neuroadda.adaptation.rounds import make_propose
from neuroadda.adaptation.training import check_shape, check_training
from neuroadda.backbones.card import Card
from neuroadda.checking.backbones import check_backbone, check_size, check_zoo
from neuroadda.checking.findings import Findings
from neuroadda.checking.looking import LABELS, check_arrays, look_at_labels, look_at_raw
from neuroadda.checking.machine import check_free, check_place, check_records, check_workers
from neuroadda.checking.segmenting import IMPORT, TRUST, check_masks, open_roi
from neuroadda.checking.training import check_validation
from neuroadda.errors import UserError, in_section
from neuroadda.ledger.url import ledger_url
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.grey_values import open_raw
from neuroadda.volumes.coverage.no_data_setting import open_no_data, recall_no_data
from neuroadda.volumes.identity.inputs import Inputs


def check_propose(
    findings: Findings,
    config: ProposeConfig,
    *,
    overwrite: bool = False,
    section: str = "propose",
    there: bool = False,
) -> None:
    """Look at all that proposals depend on.

    Parameters
    ----------
    section
        Of the config that they are asked for in.
    there
        The boxes are there already: no volume is scored.
    """
    raw = findings.attempt(f"{section}.raw", IMPORT, open_raw, config.raw)
    roi = None if raw is None else open_roi(findings, f"{section}.roi", raw, config)
    if raw is not None:
        look_at_raw(findings, f"{section}.raw", raw, roi)
    fits = check_masks(findings, section, config, raw, roi)
    found = _check_backbones(findings, config, raw, section)
    inputs = {f"{section}.raw": config.raw, f"{section}.mask": config.mask, f"{section}.backbone": config.backbone}
    check_place(findings, f"{section}.output", config.output, inputs)
    check_workers(findings, f"{section}.execution", config.execution)
    check_records(findings, section, ledger_url(config.output, config.ledger), config.execution)
    if not findings.for_run:
        check_free(findings, f"{section}.output", config.output)
    if there or raw is None or roi is None or not fits or not found:
        return
    folders, cards = [str(folder) for folder, _ in found], [card for _, card in found]
    known = Inputs(config.output, trust=config.trust_inputs or findings.for_run)  # a run looks itself
    plan = in_section("propose", keep=("block_vx",))(plan_proposals)
    planned = findings.attempt(f"{section}.propose", "mend the config", plan, config, raw, roi, folders, known)
    if planned is None:
        return
    task = planned[1]
    if not len(task.blocks):
        least = 100 * config.min_tissue
        what = f"no box has {least:g}% tissue, the most is 0%: {config.mask} is 0 in all of the roi"
        findings.fault(f"{section}.mask", what, "give a mask that holds tissue")
    if findings.for_run:
        return
    findings.attempt(f"{section}.raw", TRUST, known.warn, "boxes are proposed again (unless inputs are trusted)")
    mend = "give another output, or --overwrite"
    no_data = open_no_data(recall_no_data(config.no_data, raw, config.output, known.identify("raw", raw)), raw)
    request = make_request(config, raw, roi, cards, no_data)
    if findings.attempt(f"{section}.output", mend, find_known, config, request, found, overwrite, known) is not None:
        findings.note(f"{section}.output", "these boxes are proposed already, and are kept")


def _check_backbones(
    findings: Findings, config: ProposeConfig, raw: Volume | None, section: str
) -> list[tuple[Path, Card]]:
    """Return folders and cards of the backbone and its committee; nothing where one is wrong, or is still to be ranked."""
    zoo = config.select.zoo
    named = {} if config.backbone is None else {f"{section}.backbone": config.backbone}
    named |= {f"{section}.committee[{i}]": name for i, name in enumerate(config.committee)}
    found = [check_backbone(findings, where, name, zoo, raw) for where, name in named.items()]
    if config.backbone is None:
        check_zoo(findings, f"{section}.select", config.select, raw)
    for one in found:
        if one is not None and raw is not None and not findings.for_run:  # of which a run makes a note
            check_size(findings, f"{section}.backbone", raw, one[1])
    whole = [one for one in found if one is not None]
    return whole if config.backbone is not None and len(whole) == len(found) else []


def check_adapt(findings: Findings, config: AdaptConfig, *, overwrite: bool = False) -> None:
    """Look at all that an adaptation depends on; see `check_propose`."""
    folder, given = config.output / "round_1", None
    if config.proposals is not None and (opened := _open(config.raw)) is not None:
        mend = "name a folder of `neuroadda propose`"
        taken = findings.attempt("adapt.proposals", mend, take_given, config, config.proposals, opened)
        if taken is not None:
            states = [state_of(box, config.proposals / LABELS_FOLDER) for box in taken[1].proposals]
            config, given = taken
            findings.note("adapt.proposals", f"{states.count('labelled')} of {len(states)} boxes are labelled")
    check_propose(
        findings,
        make_propose(config, folder, config.backbone, ()),
        overwrite=overwrite,
        section="adapt",
        there=config.proposals is not None,
    )
    if not findings.for_run:
        check_free(findings, "adapt.output", config.output)
    mend = "mend the config"
    raw = Volume.open(config.raw) if _is_right(findings, "adapt.raw", "adapt.roi") else None
    if raw is None:
        check_arrays(findings, "adapt.oracle", LABELS, config.oracle)
    if raw is not None:
        findings.attempt("adapt.propose", mend, check_shape, config, raw, given)
        if config.oracle is not None:
            oracle = findings.attempt("adapt.oracle", LABELS, open_oracle, config.oracle, raw)
            if oracle is not None:
                look_at_labels(findings, "adapt.oracle", oracle, raw)
    if config.validation is not None:
        check_validation(findings, "adapt.validation", config.validation)
    if config.backbone is not None and _is_right(findings, "adapt.backbone"):
        start = check_backbone(findings, "adapt.backbone", config.backbone, config.select.zoo)
        if start is not None:
            findings.attempt("adapt.train", mend, check_training, config, start[0])


def _open(path: str) -> Volume | None:
    with suppress(UserError, OSError):
        return Volume.open(path)
    return None


def _is_right(findings: Findings, *keys: str) -> bool:
    return not any(finding.where in keys for finding in findings["wrong"])
