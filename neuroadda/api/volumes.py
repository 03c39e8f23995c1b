"""Volumes: open, import, make, publish."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from neuroadda.api.inputs import StrPath, VolumeLike, to_text, to_volume
from neuroadda.config import configure
from neuroadda.errors import UserError, warn
from neuroadda.observing import RunObserver
from neuroadda.segmentation.finished import open_result
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.storage.locations import Location, to_folder

if TYPE_CHECKING:
    from neuroadda.publishing.publication import PublishConfig
    from neuroadda.volumes.phantom import PhantomConfig

__all__ = ["import_volume", "mask", "open_volume", "phantom", "publish"]


def open_volume(path: StrPath, mode: Literal["r", "r+"] = "r") -> Volume:
    """Open a zarr or N5 array of shape ``[c,] z, y, x`` whose attributes say its voxel size; import anything else first.

    Attributes that others write are read by their conventions, see docs/formats.md.

    Returns
    -------
    Volume
        ``read(roi)`` returns voxels, `voxel_size_nm` and `offset_nm` (zyx) place it in the world, ``data`` is the zarr array.

    Raises
    ------
    UserError
        If nothing is there, it cannot be reached, it is not such an array, or it says no voxel size, or none that is plain.
    """
    return Volume.open(path, mode)


def mask(raw: VolumeLike, output: StrPath | None = None) -> Volume:
    """Find where a volume has data, and write it as a mask, block by block.

    `segment`, `predict`, `propose`, `train` and `rank_sources` do so on their own (``no_data="auto"``). A mask that is written once
    can be looked at, changed, and given to them.

    Parameters
    ----------
    raw
        zyx.
    output
        Path or URL of the mask, such as ``volume.zarr/mask``; by default beside raw, with ``_mask`` added to its name.

    Returns
    -------
    Volume
        uint8, zyx, on raw's voxels (in volumes of more than 2^32 voxels on 2, 4 or 8 of them along y and x). 0 is no data: a
        constant area (rim, lost tile, blank section), or a section that repeats the one before; else 1. ``attrs["no_data"]`` has
        the ``share`` of voxels and the ``sections`` that are blank, repeated or jumped.

    Raises
    ------
    UserError
        If raw has channels, or something else lies at `output`.
    """
    from neuroadda.volumes.coverage.no_data_mask import find_no_data_mask, is_mask_of, write_no_data_mask
    from neuroadda.volumes.identity.look import read_content

    source = to_volume(raw)
    path = source.path.with_name(f"{source.path.name}_mask") if output is None else str(output)
    content = read_content(source)
    if is_mask_of(source, path) and find_no_data_mask(source, path, content) is None:
        warn("raw was edited since this mask was made: it is made again", str(path))
    return write_no_data_mask(source, path, content)


def phantom(
    target: StrPath,
    *,
    shape_vx: Sequence[int] | None = None,
    seed: int | None = None,
    config: "PhantomConfig | None" = None,
    overwrite: bool = False,
) -> tuple[Volume, Volume]:
    """Write a synthetic volume with exact labels into the ``.zarr`` folder `target`; memory follows the block.

    Parameters
    ----------
    shape_vx
        zyx, voxels.
    seed
        Another seed is another tissue.

    Returns
    -------
    tuple[Volume, Volume]
        ``target/raw`` (uint8) and ``target/labels`` (uint64, 0 is background), zyx.

    Raises
    ------
    UserError
        If they exist already and `overwrite` is false, or cannot be written; nothing is left behind.
    """
    from neuroadda.volumes.phantom import PhantomConfig, write_phantom

    wanted = configure(PhantomConfig, config, "phantom", {"shape_vx": shape_vx, "seed": seed})
    return write_phantom(wanted, to_folder(str(target), "a phantom"), overwrite=overwrite)


def publish(
    volume: VolumeLike,
    target: StrPath,
    *,
    to: str | Sequence[str] | None = None,
    ids: Sequence[int] | None = None,
    min_size: int | None = None,
    config: "PublishConfig | None" = None,
    workers: int | None = None,
    overwrite: bool = False,
    observer: RunObserver = RunObserver(),
) -> Location:
    """Write a volume or a run for other programs: in the formats `to`, or in the one that the name of `target` says.

    With `to` or `config`, `target` is a folder, in which each format has a folder of its name: ``precomputed`` (volumes,
    meshes and skeletons for Neuroglancer), ``webknossos`` (raw, fragments and mappings), ``parquet`` (fragments and edges),
    ``ply``, ``obj`` (meshes), ``swc`` (skeletons); see docs/publish.md. Without both, ``.h5``, ``.hdf``: HDF5 as CREMI lays it
    out; ``.tif``: OME-TIFF, 64-bit ids as uint32; ``out.zarr/name``: one zarr array; a name that ends in ``.zarr``, such as
    ``out.ome.zarr``: OME-Zarr, the volume with all its coarser scales, for viewers.

    Parameters
    ----------
    volume
        zyx (or czyx for zarr), any integer type; or the folder of a run, whose segmentation (uint64, zyx) is taken.
    target
        A path of this machine; with `config`, which names a folder for ledger and logs (``work``), also ``s3://BUCKET/NAME``.
    to
        A format, or several.
    ids, min_size
        Only with `to` or `config`: segments whose meshes and skeletons are written, and the smallest size in voxels.
    config
        All else that `to` can be given, such as ``skeletons`` or ``thresholds``; other arguments take precedence.
    workers
        Worker processes; by default 2.

    Returns
    -------
    Path or Url
        `target`.

    Raises
    ------
    UserError
        If the format is not known or cannot hold the volume, the run is not finished, or `target` exists and `overwrite` is false.
    RunFailed, RunStopped
        As `segment`, for OME-Zarr and with `to`.
    """
    if to is not None or config is not None:
        from neuroadda.publishing.publication import PublishConfig
        from neuroadda.publishing.publishing import publish_run

        formats = [to] if isinstance(to, str) else to
        wanted: dict[str, Any] = {"run": to_text(volume), "output": to_text(str(target)), "to": formats, "ids": ids}
        wanted |= {"min_size": min_size, "execution": {"workers": workers}}
        return publish_run(
            configure(PublishConfig, config, "publish", wanted), overwrite=overwrite, observe=observer.on_blocks
        )
    if ids is not None or min_size is not None:
        raise UserError("no format is given that has meshes or skeletons", "publish.to", 'such as to="precomputed"')
    source = volume if isinstance(volume, Volume) else open_result(volume)
    path = to_folder(str(target), "what is published to")
    if path.suffix != ".zarr":
        from neuroadda.volumes.exporting import export_volume

        return export_volume(source, path, overwrite=overwrite)
    from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid

    if path.exists() and not overwrite and not (path / ".run").is_dir():
        raise UserError("something lies here already", str(path), "give another target")
    given = {"volume": str(source.path), "output": str(path), "copy_finest": True, "execution": {"workers": workers}}
    build_pyramid(configure(PyramidConfig, None, "publish", given), overwrite=overwrite, observe=observer.on_blocks)
    return path
