"""Verbs on volumes: import, export, info, phantom."""

from typing import Annotated

import typer

from neuroadda.cli.options import Json, Overrides, Overwrite, Triple, print_facts
from neuroadda.errors import UserError

app = typer.Typer()


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            help="HDF5 (CREMI), TIFF, folder of TIFF or PNG, Zarr, N5, .npy, precomputed or WEBKNOSSOS zip; a path or a URL."
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            help="Zarr array such as volume.zarr/raw; or volume.zarr, which gets raw or labels (of CREMI both). A path or a URL."
        ),
    ],
    voxel_size: Annotated[Triple | None, typer.Option(metavar="Z Y X", help="nm")] = None,
    offset: Annotated[Triple | None, typer.Option(metavar="Z Y X", help="nm")] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="zyx|xyz", help="Order in which the file gives voxel size and offset, if it does not say."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Name inside the file.")] = None,
    kind: Annotated[str | None, typer.Option(help="raw or labels; by default by data type and name.")] = None,
    contrast: Annotated[
        str, typer.Option(help="Raw as-seen in a viewer (MinIsWhite is inverted, a palette is applied), or as-stored.")
    ] = "as-seen",
    gaps: Annotated[
        str | None,
        typer.Option(
            help="Section files missing in a numbered series: blank (sections of 0), step (the same, by the step of the numbers) "
            "or close (others move up)."
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="numbers|letters|FILE",
            help="Order of section files, if their names do not show it; FILE lists the names, one a line.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring a volume into the zarr arrays that every other verb reads."""
    from neuroadda.volumes.importing import import_volume
    from neuroadda.volumes.info import describe

    if kind not in (None, "raw", "labels"):
        raise UserError(f"{kind!r} is no kind of volume", "--kind", "raw or labels")
    if contrast not in ("as-seen", "as-stored"):
        raise UserError(f"{contrast!r} is not known", "--contrast", "as-seen or as-stored")
    if gaps not in (None, "blank", "step", "close"):
        raise UserError(f"{gaps!r} is not known", "--gaps", "blank, step or close")
    volume = import_volume(
        source,
        target,
        voxel_size_nm=voxel_size,
        offset_nm=offset,
        axes=axes,  # type: ignore[arg-type]
        dataset=dataset,
        kind=kind,  # type: ignore[arg-type]
        contrast=contrast,  # type: ignore[arg-type]
        gaps=gaps,  # type: ignore[arg-type]
        order=order,
        overwrite=overwrite,
    )
    print_facts(describe(volume), as_json)


@app.command()
def export(
    source: Annotated[
        str, typer.Argument(help="Zarr array: a path or a URL; or the folder of a run, for its segmentation.")
    ],
    target: Annotated[str, typer.Argument(help="Such as segmentation.h5, segmentation.tif or out.zarr/segmentation.")],
    overwrite: Overwrite = False,
) -> None:
    """Write a volume as CREMI HDF5, multi-page TIFF or Zarr."""
    from neuroadda.segmentation.finished import open_result
    from neuroadda.volumes.exporting import export_volume
    from neuroadda.volumes.storage.locations import to_folder

    print(export_volume(open_result(source), to_folder(target, "what is exported to"), overwrite=overwrite))


@app.command()
def info(volume: Annotated[str, typer.Argument(help="Zarr array: a path or a URL.")], as_json: Json = False) -> None:
    """Print what a volume is: shape, voxel size, place, size on disk, provenance."""
    from neuroadda.volumes.arrays import Volume
    from neuroadda.volumes.info import describe

    print_facts(describe(Volume.open(volume)), as_json)


@app.command()
def mask(
    raw: Annotated[str, typer.Argument(help="Zarr array of raw: a path or a URL.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Zarr array to write; by default beside RAW, with _mask added to its name."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find where raw has no data (constant areas, blank and repeated sections) and write a mask: 0 there, 1 elsewhere."""
    from dataclasses import asdict

    from neuroadda.api.volumes import mask as write
    from neuroadda.volumes.coverage.no_data_mask import read_facts

    written = write(raw, output)
    share, faults = read_facts(written)
    sections = {name: list(found) for name, found in asdict(faults).items()}
    print_facts({"mask": str(written.path), "no_data": round(share, 6)} | sections, as_json)


@app.command()
def phantom(
    target: Annotated[str, typer.Argument(help="A .zarr folder: raw and labels are written into it.")],
    shape: Annotated[tuple[int, int, int], typer.Option(metavar="Z Y X", help="voxels")] = (64, 512, 512),
    seed: int = 0,
    overrides: Overrides = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a synthetic volume with exact labels, of any size."""
    from neuroadda.config import apply_overrides, parse_config
    from neuroadda.volumes.info import describe
    from neuroadda.volumes.phantom import PhantomConfig, write_phantom
    from neuroadda.volumes.storage.locations import to_folder

    data = apply_overrides({"shape_vx": list(shape), "seed": seed}, overrides or ())
    folder = to_folder(target, "a phantom's place")
    raw, _ = write_phantom(parse_config(PhantomConfig, data, "phantom"), folder, overwrite=overwrite)
    print_facts(describe(raw), as_json)
