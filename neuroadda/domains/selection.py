"""Which backbone of a zoo fits a volume: its entries ranked by what they make of it, and by their stored features."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from neuroadda.backbones.card import Card, load_card
from neuroadda.backbones.devices import compute_in_threads
from neuroadda.config import FolderPath, PathText, PublicConfig, dump_config, fingerprint
from neuroadda.domains.consistency import Consistency, draw_crops, measure_consistency
from neuroadda.domains.features import compare_features, load_features
from neuroadda.domains.patches import check_room, count_fitting
from neuroadda.domains.ranking import RankConfig, Ranking, Source, rank_sources
from neuroadda.domains.ranking_file import RANKING, Selection, read_record, take_ranking, to_selection, write_record
from neuroadda.errors import UserError
from neuroadda.observing import track
from neuroadda.prediction.predict import is_far_in_size
from neuroadda.processes import count_cores
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import Zoo, find_backbone, open_zoo

FEWEST_FITTING = 4  # patches side by side: fewer are too much alike for MMD^2, see docs/results/ranking.md


class SelectConfig(PublicConfig):
    """Which zoo a training starts from.

    Attributes
    ----------
    zoo
        Folder or URL; the one that comes with neuroadda by default.
    ranking
        A ranking of this volume that is there already (``neuroadda domains rank RAW -o FILE``), or the folder that it lies in:
        the zoo is not ranked again.
    exclude
        Entries that are not ranked, such as one trained on this very volume.
    rank
        How they are ranked.
    """

    zoo: PathText | None = None
    ranking: FolderPath | None = None
    exclude: tuple[str, ...] = ()
    rank: RankConfig = Field(default_factory=RankConfig)


def select_source(
    volume: Volume, config: SelectConfig, record: Path, *, begun: bool = False, content: str | None = None
) -> Selection:
    """Rank a zoo for a volume, once: the selection is kept in the file `record`. A ranking that `config` names is taken instead.

    Parameters
    ----------
    content
        What determines the volume's content, see `neuroadda.volumes.identity.inputs.Inputs`; by default its fingerprint.
    begun
        A training has begun from what is recorded: it holds although the zoo has changed since. Else it holds while nothing
        that it depends on changes.

    Raises
    ------
    UserError
        As `rank_zoo` and `take_ranking` do, or if a training has begun and another backbone would be selected now.
    """
    if config.ranking is not None:
        return write_record(record, take_ranking(config.ranking, volume.fingerprint, config.exclude))
    known = read_record(record)
    mine = _identify(config, content or volume.fingerprint)
    if known and begun and known["fingerprint"] == mine:
        return to_selection(known)
    zoo = open_zoo(config.zoo)
    if known and known["fingerprint"] == mine and known["index"] == _identify_zoo(zoo):
        return to_selection(known)
    ranking = rank_zoo(volume, zoo, config.rank, config.exclude)
    if known and begun and to_selection(known).folder != zoo.folder(ranking.winner):
        what = f"a training from {known['ranking']['winner']} lies here, and {ranking.winner} would be selected now"
        raise UserError(what, str(record.parent), "give another output, or --overwrite")
    return save_ranking(record, volume, config, zoo, ranking, content)


def save_ranking(
    file: Path, volume: Volume, config: SelectConfig, zoo: Zoo, ranking: Ranking, content: str | None = None
) -> Selection:
    """Write a ranking of a zoo to a file.

    Parameters
    ----------
    content
        As in `select_source`.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    record = {
        "fingerprint": _identify(config, content or volume.fingerprint),
        "index": _identify_zoo(zoo),
        "volume": volume.fingerprint,
        "folders": {row.name: str(zoo.folder(row.name)) for row in ranking.rows},
        "ranking": ranking.to_data(),
    }
    return write_record(file, record)


def find_start(
    raw: Volume, backbone: str | None, config: SelectConfig, folder: Path, *, begun: bool, content: str | None = None
) -> tuple[Path, Selection | None]:
    """Return the folder of a backbone for a volume: of that given, else of the first of the zoo, with the selection.

    Parameters
    ----------
    backbone
        An entry of the zoo, or a folder.
    folder
        Of what is begun from it, where the ranking is kept.
    begun, content
        As in `select_source`.

    Raises
    ------
    UserError
        As `find_backbone`, `load_card` and `select_source` do; or if both a backbone and a ranking are given.
    """
    if backbone is not None and config.ranking is not None:
        raise UserError("both it and a ranking say what to start from", f"backbone {backbone}", "give one of them")
    if backbone is not None:
        found = find_backbone(backbone, config.zoo)
        load_card(found)
        return found, None
    selection = select_source(raw, config, folder / RANKING, begun=begun, content=content)
    load_card(selection.folder)
    return selection.folder, selection


def _identify(config: SelectConfig, content: str) -> str:
    asked = {key: value for key, value in dump_config(config).items() if key != "ranking"}
    return fingerprint("select", 4, asked, content)


def _identify_zoo(zoo: Zoo) -> str:
    return fingerprint(dump_config(zoo.index))


def rank_zoo(
    volume: Volume,
    zoo: Zoo,
    config: RankConfig,
    exclude: Collection[str] = (),
) -> Ranking:
    """Rank the entries of a zoo for a volume. No source image is read: entries hold the features of their domains.

    All networks see the same crops and patches; nothing else of the volume is read.

    Parameters
    ----------
    exclude
        Entries that are not to be ranked, such as one trained on this very volume. The reference network may be among
        them: it still embeds.

    Raises
    ------
    UserError
        If an excluded name is unknown, nothing is left to rank, entries lack the features that `config` asks for or
        have them of a network that is not in the zoo, or, where MMD^2 alone ranks, the volume is too small for a patch.
    """
    check_excluded(zoo, exclude)
    kept = [name for name in zoo.names() if name not in exclude]
    features = load_features(volume, zoo, kept if config.by != "consistency" else [], config)
    if not kept or (config.by == "mmd" and not features):
        raise UserError(
            "no entry can be ranked", zoo.where, "at least one is needed, with an embedding where MMD^2 ranks"
        )
    too_large: list[str] = []
    if config.by == "mmd":
        for found in features.values():
            check_room(volume, found.footprint_vx, config.patches)
    else:
        fitting = {name: count_fitting(volume, found.footprint_vx, config.patches) for name, found in features.items()}
        too_large = [name for name, count in fitting.items() if count < FEWEST_FITTING]
    if too_large:
        features = {}
    backbones = {name: zoo.backbone(name) for name in dict.fromkeys([*kept, *(f.network for f in features.values())])}
    networks = [backbones[name].card.architecture for name in kept]
    crops = draw_crops(volume, networks, config.patches.model_copy(update={"count": config.crops}), config.crop_vx)

    def measure(name: str) -> Consistency:
        found = measure_consistency(volume, backbones[name], crops)
        return found.get(config.dimensions, found["2d"])

    with compute_in_threads(min(count_cores(), len(backbones))) as pool:
        measured = zip(track("consistency of sources", kept), pool.map(measure, kept), strict=True)
        consistencies = dict(measured)
        comparisons = compare_features(volume, backbones, features, config, pool)
    sources = [describe(volume, name, backbones[name].card) for name in kept]
    return replace(rank_sources(sources, consistencies, comparisons, config), too_large=tuple(too_large))


def describe(volume: Volume, name: str, card: Card) -> Source:
    """Return what a ranking says of an entry itself."""
    licences = dict.fromkeys(str(data["licence"]) for data in card.training_data if data.get("licence"))
    return Source(name, card.voxel_size_nm, is_far_in_size(volume, card), "; ".join(licences))


def check_excluded(zoo: Zoo, exclude: Collection[str]) -> None:
    """Raise UserError if a name that is to be excluded is no entry of a zoo."""
    names = zoo.names()
    for name in exclude:
        if name not in names:
            raise UserError(f"there is no {name!r} in the zoo to exclude", zoo.where, zoo.suggest(name))
