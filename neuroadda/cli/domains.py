"""Verbs on domains: how far volumes are from each other and from the zoo."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroadda.cli.options import Json, NoData, Overrides, Zoo, take_one
from neuroadda.errors import UserError

if TYPE_CHECKING:
    from neuroadda.domains.ranking import Rank, Ranking

domains = typer.Typer(
    no_args_is_help=True, help="Distances between domains: which backbones are near, and the tree of domains."
)


@domains.command()
def rank(
    volume: Annotated[str, typer.Argument(help="Zarr array of raw, uint8.")],
    zoo: Zoo = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Entry to leave out, such as one trained on this volume.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="consistency: of predicted boundaries; mmd: of features; both: the default.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RANKING.json", help="Keep the ranking, for --ranking of propose and adapt."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="Write a page on which each source segments three crops.")
    ] = None,
    no_data: NoData = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Rank the backbones of a zoo for a volume: which one segments it best as it is. No label is needed.

    --set sets keys of the ranking, such as crops=8, dimensions="2d", patches.count=256 or pooling="mean".
    """
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.cli.progress import show_progress
    from neuroadda.config import apply_overrides, parse_config
    from neuroadda.domains.ranking import RankConfig
    from neuroadda.domains.ranking_file import check_ranking_place
    from neuroadda.domains.selection import SelectConfig, rank_zoo, save_ranking
    from neuroadda.volumes.arrays import Volume
    from neuroadda.volumes.storage.completeness import check_stored
    from neuroadda.volumes.storage.placing import check_writable
    from neuroadda.zoo.finding import open_zoo

    given: dict[str, Any] = {} if by is None else {"by": by}
    if no_data is not None:
        given["patches"] = {"no_data": no_data}
    config = parse_config(RankConfig, apply_overrides(given, overrides or []), "domains rank")
    file = None if output is None else check_ranking_place(output)
    if report is not None:
        check_writable(report)
        if file is not None and file.resolve() == report.resolve():
            raise UserError("ranking and page would be one file", str(report), "give --report another name")
    opened, raw = open_zoo(zoo), check_stored(Volume.open(volume))
    select = SelectConfig(zoo=zoo, exclude=tuple(exclude or ()), rank=config)
    with show_progress(as_json):
        ranking = rank_zoo(raw, opened, config, select.exclude)
        if file is not None:
            save_ranking(file, raw, select, opened, ranking)
        if report is not None:
            from neuroadda.viewing.ranking_page import write_ranking_page

            write_ranking_page(report, raw, opened, ranking, config)
    if as_json:
        print_json(ranking.to_data())
        return
    print_table(f"sources for {volume}", [_show(row) for row in ranking.rows])
    if ranking.left_out:
        print(f"not ranked, without stored features: {', '.join(ranking.left_out)}")
    if ranking.too_large:
        few = f"fewer than four patches of {', '.join(ranking.too_large)} fit side by side into a section"
        print(f"ranked by consistency alone: {few}")
    elif ranking.by == "both" and all(row.mmd2 is None for row in ranking.rows):
        print("ranked by consistency alone: no source has stored features")
    if report is not None:
        print(f"report: {report}")
    for line in list_advice(ranking, volume, lambda name: name if zoo is None else str(opened.folder(name)), file):
        print(line)


def list_advice(ranking: "Ranking", volume: str, name_of: Callable[[str], str], file: Path | None) -> Iterator[str]:
    """Yield the next commands; a backbone that learned at a voxel size far from the volume's is taken only if one says so."""
    first = ranking.rows[0]
    near = next((row for row in ranking.rows if not row.far_in_size), None)
    far = " --any-voxel-size" if first.far_in_size else ""
    if first.guard:
        yield f"no source suits this volume as it is: even {first.name} {first.guard}"
    yield f"segment with the first: neuroadda segment {volume} --backbone {name_of(first.name)}{far} -o OUT"
    if first.far_in_size and near is not None:
        yield f"or with the first of this voxel size: neuroadda segment {volume} --backbone {name_of(near.name)} -o OUT"
    yield f"or fine-tune it on labels: neuroadda train RAW LABELS -o OUT --from {name_of(first.name)}"
    if file is not None:
        yield f"or on labels of a few boxes: neuroadda propose {volume} --ranking {file} -o OUT"


def _show(row: "Rank") -> dict[str, str]:
    """Return a line of the table; in brackets the intervals."""
    from neuroadda.zoo.licences import tell_commercial_use

    def tell(value: float | None, interval: tuple[float, float] | None) -> str:
        return "" if value is None or interval is None else f"{value:z.3f} ({interval[0]:z.2f} to {interval[1]:z.2f})"

    return {
        "source": row.name,
        "consistency": tell(row.consistency, row.consistency_interval),
        "MMD^2": tell(row.mmd2, row.mmd2_interval),
        "nm": " ".join(f"{nm:g}" for nm in row.voxel_size_nm),
        "why": row.why,
        "commercial use": tell_commercial_use(row.licence),
        "licence": row.licence,
    }


@domains.command()
def tree(
    volumes: Annotated[list[str] | None, typer.Argument(metavar="NAME=VOLUME ...", help="Zarr arrays of raw.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for tables, tree and pictures.")] = "tree",
    zoo: Annotated[
        str | None, typer.Option(help="Folder or URL of a zoo whose domains join by their features.")
    ] = None,
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Network that embeds: an entry of the zoo, or a folder; else its generalist."),
    ] = None,
    pooling: Annotated[str, typer.Option(help="mean or max")] = "mean",
    phylogeny: Annotated[Path | None, typer.Option(help="Newick file to test the distances against (Mantel).")] = None,
    organism: Annotated[list[str] | None, typer.Option(metavar="NAME=ORGANISM", help="Of a domain.")] = None,
    overrides: Overrides = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the tree in the output folder.")] = False,
    as_json: Json = False,
) -> None:
    """Measure how far domains are from each other and draw their tree; three or more, from volumes and a zoo together.

    Writes matrix.csv, tree.nwk, heatmap, dendrogram and map (png, pdf, svg) and tree.json.
    """
    from neuroadda.cli.console import print_json, print_table
    from neuroadda.config import apply_overrides, parse_config
    from neuroadda.domains.newick import read_newick
    from neuroadda.domains.tree import (
        TreeConfig,
        check_folder,
        find_species,
        pick_backbone,
        save_survey,
        survey_domains,
    )
    from neuroadda.viewing.domain_figures import plot_dendrogram, plot_heatmap, plot_map, save_figure
    from neuroadda.volumes.storage.locations import to_folder
    from neuroadda.zoo.finding import open_zoo

    one = take_one(backbone, "tree")
    config = parse_config(TreeConfig, apply_overrides({"pooling": pooling}, overrides or []), "domains tree")
    paths = {name: Path(path) for name, path in _pairs(volumes or [], "VOLUME").items()}
    organisms = _pairs(organism or [], "--organism")
    folder = to_folder(output, "a tree's place")
    check_folder(folder, overwrite)
    given = read_newick(phylogeny) if phylogeny else None
    opened = open_zoo(zoo)
    network = pick_backbone(opened, one)
    survey = survey_domains(
        paths,
        network,
        config,
        zoo=opened if zoo else None,
        organisms=organisms,
        phylogeny=given,
        where=str(phylogeny),
    )
    matrix, grown = survey.distances.matrix, survey.tree
    groups = {name: find_species(told) for name, told in survey.organisms.items()}
    save_figure(plot_heatmap(matrix, grown, groups), folder, "heatmap")
    save_figure(plot_dendrogram(grown, groups), folder, "dendrogram")
    save_figure(plot_map(matrix, groups), folder, "map")
    data = save_survey(folder, survey, config, network)
    if as_json:
        print_json(data)
        return
    shown = matrix.select(grown.order)
    rows = zip(shown.names, shown.values.round(4).tolist(), strict=True)
    print_table("MMD", [{"domain": name} | dict(zip(shown.names, row, strict=True)) for name, row in rows])
    print(f"tree: {data['newick']}")
    if grown.cophenetic is not None:
        print(f"cophenetic correlation: {grown.cophenetic:.3f}")
    if survey.mantel:
        how = "all" if survey.mantel.exact else "random"
        print(
            f"Mantel test with {phylogeny}: r = {survey.mantel.r:.3f} ({config.correlation}), "
            f"p = {survey.mantel.p:.4f} ({survey.mantel.permutations} permutations, {how})"
        )
    print(f"written to {output}")


def _pairs(texts: Sequence[str], where: str) -> dict[str, str]:
    """Return NAME=VALUE arguments as a table."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise UserError(f"{text!r} is not NAME=VALUE", where)
        if name in pairs:
            raise UserError(f"{name!r} is given twice", where)
        pairs[name] = value
    return pairs
