"""Checks that funlib.persistence sees a volume as it is."""

from funlib.geometry import Roi

from neuroadda.volumes.arrays import Volume

AXES = {3: ["z", "y", "x"], 4: ["c^", "z", "y", "x"]}
TYPES = {3: ["space"] * 3, 4: ["channel", *["space"] * 3]}


def check_opened_by_funlib(volume: Volume) -> None:
    """`open_ds` opens an array of ours."""
    from funlib.persistence import open_ds

    check_array(open_ds(str(volume.path)), volume)


def check_array(array, volume: Volume) -> None:
    """A funlib array lies where a volume lies, and has its voxels."""
    assert (array.roi, array.voxel_size) == (volume.roi, volume.voxel_size)
    assert (array.axis_names, array.types) == (AXES[volume.data.ndim], TYPES[volume.data.ndim])
    assert array.units == [volume.unit] * 3
    part = volume.roi.intersect(Roi(volume.roi.begin + volume.voxel_size, volume.voxel_size * 4))
    assert (array.to_ndarray(part) == volume.read(part)).all()
    assert (array.to_ndarray(array.roi) == volume.read()).all()
