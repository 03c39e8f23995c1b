"""What a volume is, in plain data."""

from dataclasses import asdict
from typing import Any

import numpy as np

from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_mask import survey_no_data
from neuroadda.volumes.identity.moved import describe_move
from neuroadda.volumes.storage.locations import count_bytes

SAMPLE_BYTES, SURVEY_BYTES = 64 * 2**20, 256 * 2**20


def describe(volume: Volume) -> dict[str, Any]:
    """Return what is to be known of a volume, as JSON-like data.

    Returns
    -------
    dict
        ``path``, ``shape`` (with channels), ``dtype``, ``voxel_size_nm``, ``offset_nm``, ``roi_nm`` (begin and end),
        ``chunks``, ``bytes`` (of the voxels), ``bytes_on_disk``, ``fingerprint``, ``provenance``, and ``sample``:
        ``box_vx`` (begin and end) of at most 64 MiB around the centre, and in it ``min``, ``max`` and ``mean`` of the values, for
        uint8 also ``percentiles_1_99`` (98 % of the values are within them), or for integers of more than 8 bits the number of
        ``ids`` other than 0. Of raw (uint8, zyx) of at most 256 MiB also ``no_data``:
        the ``share`` of voxels without data, and which sections are ``blank``, ``repeated`` and ``jumped`` (z, from 0); of larger
        raw it says that `neuroadda mask` finds them. ``edited``, if its attributes say another place than the run that wrote it.
    """
    facts = {
        "path": str(volume.path),
        "shape": list(volume.data.shape),
        "dtype": str(volume.dtype),
        "voxel_size_nm": list(volume.voxel_size_nm),
        "offset_nm": list(volume.offset_nm),
        "roi_nm": [[c / volume.units_per_nm for c in corner] for corner in (volume.roi.begin, volume.roi.end)],
        "chunks": list(volume.data.chunks),
        "bytes": int(volume.data.nbytes),
        "bytes_on_disk": count_bytes(volume.path),
        "fingerprint": volume.fingerprint,
        "provenance": volume.attrs.get("provenance", {}),
        "sample": _sample(volume),
    }
    if moved := describe_move(volume.path):
        facts["edited"] = moved
    if volume.dtype == np.uint8 and volume.channels is None and facts["sample"]["max"] > 1:  # not a mask of 0 and 1
        facts["no_data"] = _describe_gaps(volume)
    return facts


def _describe_gaps(raw: Volume) -> dict[str, Any] | str:
    if raw.data.nbytes > SURVEY_BYTES:
        return "not looked for in so large a volume: `neuroadda mask` does"
    share, faults = survey_no_data(raw)
    return {"share": round(share, 6)} | {name: list(sections) for name, sections in asdict(faults).items()}


def _sample(volume: Volume) -> dict[str, Any]:
    """Look at the centre: as many whole sections as fit, or a part of one."""
    shape = np.asarray(volume.shape_vx)
    budget = max(1, SAMPLE_BYTES // (volume.dtype.itemsize * (volume.channels or 1)))
    size = shape.copy()
    for axis in range(3):
        size[axis] = max(1, min(shape[axis], budget // max(1, int(np.prod(size[axis + 1 :])))))
    first = (shape - size) // 2
    box = tuple(slice(int(b), int(b + n)) for b, n in zip(first, size, strict=True))
    voxels = volume.read_box(box)
    sample: dict[str, Any] = {"box_vx": [[s.start for s in box], [s.stop for s in box]]}
    if volume.dtype.kind in "iu" and volume.dtype.itemsize > 1:
        ids = np.unique(voxels)
        return {**sample, "ids": int(np.count_nonzero(ids))}
    sample |= {"min": voxels.min().item(), "max": voxels.max().item(), "mean": float(voxels.mean(dtype=np.float64))}
    if voxels.dtype == np.uint8:
        counts = np.cumsum(np.bincount(voxels.ravel(), minlength=256))
        sample["percentiles_1_99"] = np.searchsorted(counts, np.array([0.01, 0.99]) * counts[-1]).tolist()
    return sample
