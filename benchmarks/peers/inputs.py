"""What all tools are measured on: real raw, affinities of the zoo's own backbones, and the same mirrored to larger volumes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import Zyx
from neuroadda.prediction.predict import Predict
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import segment_volume
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.finding import builtin_folder

SAME = 255  # affinity of two voxels that are one voxel and its mirror image


@dataclass(frozen=True)
class Inputs:
    """Affinities (uint8, czyx) and, where there are any, labels, on disk."""

    name: str
    affs: Path
    labels: Path

    @property
    def shape_vx(self) -> Zyx:
        """Shape in voxels."""
        z, y, x = Volume.open(self.affs).shape_vx
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape_vx))


def import_part(data: Path, domain: str, part: str, folder: Path) -> Path:
    """Return the zarr container of a labelled volume, imported unless it is there."""
    target = folder / f"{domain}_{part}.zarr"
    if not (target / "labels").exists():
        import_volume(data / f"{domain}_{part}.hdf", target)
    return target


def predict_part(
    data: Path, domain: str, part: str, folder: Path, backbone: str | None = None, zoo: Path | None = None
) -> Inputs:
    """Return the affinities of a labelled volume, predicted unless they are there.

    Parameters
    ----------
    backbone
        Its name; by default that of the volume's domain.
    zoo
        A local one; by default the one that comes with neuroadda.
    """
    container = import_part(data, domain, part, folder)
    output = folder / f"{domain}_{part}_predicted{'_by_' + backbone if backbone else ''}"
    config = SegmentConfig(
        raw=str(container / "raw"),
        backbone=str((zoo or builtin_folder()) / (backbone or domain)),
        output=str(output),
        any_voxel_size=backbone is not None,
        predict=Predict(precision="float32"),  # the same on every machine
        execution=Execution(launcher="serial"),
    )
    plan = segment_volume(config, upto="predict")
    return Inputs(f"{domain}_{part}", plan.output("predict"), container / "labels")


def tile_inputs(inputs: Inputs, counts: Zyx, folder: Path) -> Inputs:
    """Return the inputs repeated along each axis, every second time mirrored, so that objects go on over the seams."""
    if counts == (1, 1, 1):
        return inputs
    name = f"{inputs.name}_{'x'.join(map(str, counts))}"
    target = Inputs(name, folder / f"{name}.zarr/affs", folder / f"{name}.zarr/labels")
    for source, path, mirror in (
        (inputs.affs, target.affs, mirror_affs),
        (inputs.labels, target.labels, mirror_voxels),
    ):
        _tile(source, path, counts, mirror)
    return target


def tile_raw(source: Path, counts: Zyx, target: Path) -> Path:
    """Return raw repeated along each axis, every second time mirrored, written unless it is there."""
    _tile(source, target, counts, mirror_voxels)
    return target


def _tile(source: Path, target: Path, counts: Zyx, mirror: Callable[[np.ndarray, Sequence[bool]], np.ndarray]) -> None:
    """Write an array repeated along each axis, every second time mirrored, unless it is there."""
    if target.exists():
        return
    volume = Volume.open(source)
    made = _create_like(volume, target, tuple(s * n for s, n in zip(volume.shape_vx, counts, strict=True)))
    one = volume.read()
    for position in np.ndindex(*counts):
        begin = made.roi.begin + Coordinate(position) * volume.roi.shape
        made.write(Roi(begin, volume.roi.shape), mirror(one, [p % 2 == 1 for p in position]))


def mirror_voxels(voxels: np.ndarray, mirrored: Sequence[bool]) -> np.ndarray:
    """Return zyx voxels mirrored along the axes that are true."""
    return np.flip(voxels, [axis for axis in range(3) if mirrored[axis]])


def mirror_affs(affs: np.ndarray, mirrored: Sequence[bool]) -> np.ndarray:
    """Return nearest-neighbour affinities (czyx, to the voxel below) of the mirrored voxels.

    In a mirrored axis the voxel below was the one above, so the values of that axis' channel move by one; those to the mirror
    image on the other side of the seam are certain.
    """
    result = np.flip(affs, [axis + 1 for axis in range(3) if mirrored[axis]]).copy()
    for axis in range(3):
        if mirrored[axis]:
            result[axis] = np.roll(result[axis], 1, axis)
        result[(axis, *(0 if a == axis else slice(None) for a in range(3)))] = SAME
    return result


def _create_like(volume: Volume, path: Path, shape_vx: tuple[int, ...]) -> Volume:
    return Volume.create(
        path,
        shape_vx,
        volume.voxel_size_nm,
        volume.dtype,
        offset_nm=volume.offset_nm,
        channels=volume.channels,
        chunk_vx=volume.chunk_vx,
    )
