"""What we write is what the field's other tools open: funlib.persistence, and through it gunpowder and daisy scripts."""

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.volumes.arrays import Volume


@pytest.mark.parametrize("channels", [None, 3])
def test_funlib_persistence_opens_our_arrays(tmp_path, channels):
    lead = () if channels is None else (channels,)
    volume = Volume.create(
        tmp_path / "v.zarr/a", (6, 8, 9), (30, 6, 6), np.uint8, offset_nm=(60, 12, 0), channels=channels
    )
    data = np.random.default_rng(0).integers(0, 255, (*lead, 6, 8, 9)).astype(np.uint8)
    volume.write(volume.roi, data)
    array = volume.array
    assert (array.roi, array.voxel_size) == (Roi((60, 12, 0), (180, 48, 54)), Coordinate(30, 6, 6))
    part = Roi((90, 18, 6), (60, 12, 12))
    assert (array.to_ndarray(part) == volume.read(part)).all()
    assert (array.to_ndarray(array.roi) == data).all()
