"""Proposals as OME-Zarr images of raw with empty labels to draw in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.active.proposals import Proposal, Proposals
from neuroadda.config import dump_config, write_json
from neuroadda.errors import UserError
from neuroadda.pyramids.ngff import label_image, write_multiscales
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.placing import placing

LABELS = "neurons"


def export_crops(proposals: Proposals, target: Path, *, context_nm: Sequence[float] = (0.0, 0.0, 0.0)) -> Path:
    """Write a folder of OME-Zarr images, ``roi_1.zarr`` and so on, one a proposal (NGFF 0.4, one scale).

    The image is raw, the box with context. Its label image ``labels/neurons`` (uint64, 0 everywhere) covers the box
    alone. Scale and translation are in nm, as `pyramids.ngff` writes them. Our own attributes are there too: `Volume.open` reads
    ``roi_1.zarr/0`` and ``roi_1.zarr/labels/neurons/0``.

    Parameters
    ----------
    context_nm
        How much of raw to show on either side of a box, zyx; rounded up to voxels and clipped to the volume.

    Raises
    ------
    UserError
        If raw is not the volume of the proposals, a box is not in it, the context is negative, or `target` holds
        anything: what was drawn is never replaced.
    """
    if len(context_nm) != 3 or not all(0 <= c < np.inf for c in context_nm):
        raise UserError(f"context {tuple(context_nm)} is not three lengths", None, "give Z Y X in nm, 0 or more")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError("there is something here, perhaps labels", str(target), "export the crops to a new folder")
    raw = proposals.open_volume()
    if raw.channels is not None:
        raise UserError(f"it has {raw.channels} channels", str(raw.path), "crops are made of zyx volumes")
    with placing(target, overwrite=True) as partial:
        partial.mkdir()
        for proposal in proposals.proposals:
            _write_crop(raw, proposals, proposal, partial / f"{proposal.name}.zarr", context_nm)
    return target


def _write_crop(
    raw: Volume, proposals: Proposals, proposal: Proposal, image: Path, context_nm: Sequence[float]
) -> None:
    box = proposal.to_roi(raw)
    scale = raw.units_per_nm
    sizes = zip(context_nm, raw.voxel_size, strict=True)
    context = Coordinate(-(-round(c * scale) // v) * v for c, v in sizes)
    shown = box.grow(context, context).intersect(raw.roi)
    crop = _create(image / "0", raw, shown, raw.dtype)
    crop.write(shown, raw.read(shown))
    labels = image / "labels" / LABELS
    empty = _create(labels / "0", raw, box, np.uint64)
    origin = {
        "volume": proposals.volume,
        "volume_fingerprint": proposals.volume_fingerprint,
        "proposal": dump_config(proposal),
    }
    write_multiscales(image, {"0": crop}, proposal.name, attributes={"neuroadda": origin})
    write_json(image / "labels" / ".zattrs", {"labels": [LABELS]})
    write_multiscales(labels, {"0": empty}, LABELS, attributes=label_image("../../"))


def _create(path: Path, raw: Volume, roi: Roi, dtype: Any) -> Volume:
    offset_nm = [o / raw.units_per_nm for o in roi.offset]
    return Volume.create(path, roi.shape / raw.voxel_size, raw.voxel_size_nm, dtype, offset_nm=offset_nm)
