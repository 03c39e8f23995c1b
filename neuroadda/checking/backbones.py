"""Look at a trained backbone, or at the zoo that one is chosen from."""

from pathlib import Path

from neuroadda.backbones.card import Card, read_weights
from neuroadda.checking.findings import Findings
from neuroadda.domains.ranking_file import take_ranking
from neuroadda.domains.selection import SelectConfig, check_excluded
from neuroadda.errors import in_section
from neuroadda.prediction.predict import check_raw, tell_far_size
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import Zoo, find_backbone, open_zoo


def check_backbone(
    findings: Findings, where: str, backbone: str | Path, zoo: str | None = None, raw: Volume | None = None
) -> tuple[Path, Card] | None:
    """Look whether a backbone is whole and, where raw is given, whether it can see it; return its folder and card.

    Parameters
    ----------
    where
        The key that names it.
    raw
        Of any voxel size.
    """
    mend = "name an entry of `neuroadda zoo list`, or a folder with card.json and weights.safetensors"
    found = findings.attempt(where, mend, _read, backbone, zoo)
    if found is None:
        return None
    folder, card = found
    size = " x ".join(f"{v:g}" for v in card.voxel_size_nm)
    if raw is not None and findings.attempt(where, mend, _check_raw, raw, card) is None:
        return None
    findings.note(where, f"{card.name}, trained on voxels of {size} nm; its weights are those of its card")
    return folder, card


def _read(backbone: str | Path, zoo: str | None) -> tuple[Path, Card]:
    folder = find_backbone(backbone, zoo)
    card = read_weights(folder)[0]
    if card.architecture.identity is not None:  # code of others, which may be gone, or no longer fit its weights
        from neuroadda.backbones.checkpoint import load_backbone  # imports torch

        load_backbone(folder)
    return folder, card


def _check_raw(raw: Volume, card: Card) -> bool:
    check_raw(raw, card, any_voxel_size=True)
    return True


def check_size(findings: Findings, where: str, raw: Volume, card: Card) -> None:
    """Tell where a backbone was trained on voxels of far another size than those that it is to see."""
    if (what := tell_far_size(raw, card)) is not None:
        findings.doubt(where, what, "choose a backbone of like voxel size, or resample raw")


def check_zoo(findings: Findings, where: str, select: SelectConfig, raw: Volume | None = None) -> None:
    """Look whether the zoo that is to be ranked can be read, and has what is to be left out; or at the ranking that is there."""
    if select.ranking is not None:
        if raw is None:
            return
        mend = "write one by `neuroadda domains rank RAW -o FILE`"
        known = findings.attempt(
            f"{where}.ranking", mend, take_ranking, select.ranking, raw.fingerprint, select.exclude
        )
        if known is not None:
            findings.note(f"{where}.ranking", f"{known['ranking']['winner']} is the first of {len(known['folders'])}")
        return
    zoo = findings.attempt(f"{where}.zoo", "give the folder or URL of a zoo", open_zoo, select.zoo)
    if zoo is None:
        return
    mend = "name entries of the zoo"
    if findings.attempt(f"{where}.exclude", mend, _count_kept, zoo, select) is not None:
        findings.note(where, f"{zoo.where}: {_count_kept(zoo, select)} backbones to choose from")


def _count_kept(zoo: Zoo, select: SelectConfig) -> int:
    with in_section("select"):
        check_excluded(zoo, select.exclude)
    return len(set(zoo.names()) - set(select.exclude))
