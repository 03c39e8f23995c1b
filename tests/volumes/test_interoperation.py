"""What we write is what funlib.persistence opens, and through it gunpowder and daisy scripts; what it writes opens here."""

import json
import subprocess
import sys

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from tests.volumes.funlib_arrays import AXES, TYPES, check_array, check_opened_by_funlib

SHAPE = (6, 8, 9)


@pytest.mark.parametrize("size_nm", [(30, 6, 6), (30, 4.6, 4.6)])
@pytest.mark.parametrize(("channels", "dtype"), [(None, np.uint8), (3, np.uint8), (None, np.uint64)])
def test_funlib_persistence_opens_our_arrays(tmp_path, size_nm, channels, dtype):
    volume = Volume.create(tmp_path / "v.zarr/a", SHAPE, size_nm, dtype, offset_nm=(60, 12, 0), channels=channels)
    lead = () if channels is None else (channels,)
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 255, (*lead, *SHAPE)).astype(dtype))
    assert volume.unit == ("nm" if size_nm == (30, 6, 6) else "pm")
    check_opened_by_funlib(volume)
    check_array(volume.array, volume)


@pytest.mark.parametrize(
    ("unit", "nm", "ours"), [("nm", 1, "nm"), ("", 1, "nm"), ("um", 1000, "nm"), ("pm", 0.001, "pm")]
)
@pytest.mark.parametrize("axes", [3, 4])
def test_what_funlib_persistence_wrote_opens_at_its_place(tmp_path, unit, nm, ours, axes):
    from funlib.persistence import prepare_ds

    shape = (2, *SHAPE)[-axes:]
    theirs = prepare_ds(
        str(tmp_path / "v.zarr/a"),  # format 2 from its line for zarr 2, format 3 from that for zarr 3
        shape,
        offset=Coordinate(80, 8, 12),
        voxel_size=Coordinate(40, 4, 6),
        axis_names=AXES[axes],
        types=TYPES[axes],
        units=[unit] * 3,
        chunk_shape=shape,
        dtype=np.uint8,
    )
    data = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    theirs[theirs.roi] = data
    volume = Volume.open(tmp_path / "v.zarr/a", "r+")
    assert (volume.voxel_size_nm, volume.offset_nm) == ((40 * nm, 4 * nm, 6 * nm), (80 * nm, 8 * nm, 12 * nm))
    assert (volume.shape_vx, volume.channels, volume.unit) == (SHAPE, None if axes == 3 else 2, ours)
    assert (volume.read() == data).all()
    check_array(volume.array, volume)
    volume.write(volume.roi, 255 - data)
    assert (theirs.to_ndarray(theirs.roi) == 255 - data).all()
    if axes == 3:
        imported = import_volume(tmp_path / "v.zarr/a", tmp_path / "own.zarr")
        assert (imported.voxel_size_nm, imported.offset_nm) == (volume.voxel_size_nm, volume.offset_nm)


def test_funlib_persistence_without_a_place(tmp_path):
    from funlib.persistence import prepare_ds

    prepare_ds(str(tmp_path / "v.zarr/a"), SHAPE, dtype=np.uint8)
    volume = Volume.open(tmp_path / "v.zarr/a")
    assert (volume.voxel_size_nm, volume.offset_nm, volume.unit) == ((1, 1, 1), (0, 0, 0), "nm")


def make(path, **attributes) -> None:
    """Write an array with attributes of others."""
    Volume.create(path, SHAPE, (1, 1, 1), np.uint8)
    file = path / ".zattrs"
    file.write_text(json.dumps(json.loads(file.read_text()) | attributes))


def test_a_unit_for_each_axis(tmp_path):
    place = {"voxel_size": [1, 4000, 4600], "offset": [3, 8000, 0], "units": ["um", "pm", "pm"]}
    make(tmp_path / "v.zarr/a", **place)
    Volume.open(tmp_path / "v.zarr/a", "r+").data[:] = 7
    for volume in (Volume.open(tmp_path / "v.zarr/a"), import_volume(tmp_path / "v.zarr/a", tmp_path / "own.zarr")):
        assert (volume.voxel_size_nm, volume.offset_nm, volume.unit) == ((1000, 4, 4.6), (3000, 8, 0), "pm")
        assert volume.voxel_size == Coordinate(1_000_000, 4000, 4600)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"axis_names": ["x", "y", "z"]}, r"its axes are x, y, z; \(channels,\) z, y, x is expected; transpose it"),
        ({"units": ["nm", "nm", "parsec"]}, "its unit is 'parsec'; known: nm, "),
    ],
)
def test_other_axes_and_units_are_told(tmp_path, attributes, told):
    make(tmp_path / "v.zarr/a", **attributes)
    with pytest.raises(UserError, match=told):
        Volume.open(tmp_path / "v.zarr/a")
    with pytest.raises(UserError, match=told):
        import_volume(tmp_path / "v.zarr/a", tmp_path / "own.zarr")


@pytest.mark.parametrize(
    ("size", "offset", "units", "nm", "at"),
    [
        ([0.04, 4, 4], [0.4, 8, 8], ["um", "nm", "nm"], (40, 4, 4), (400, 8, 8)),
        ([0.04, 0.004, 0.004], [1, 2, 3], ["um"] * 3, (40, 4, 4), (1000, 2000, 3000)),
        ([0.04, 0.0046, 0.0046], [0, 0, 0], ["micrometer"] * 3, (40, 4.6, 4.6), (0, 0, 0)),
        ([40, 4.6, 4.6], [0.5, 0, 0], ["nm"] * 3, (40, 4.6, 4.6), (0.5, 0, 0)),
        ([float(np.float32(v)) for v in (0.04, 0.0046, 0.0046)], [0, 0, 0], ["um"] * 3, (40, 4.6, 4.6), (0, 0, 0)),
        ([0.00004, 0.000004, 0.000004], [0, 0.00001, 0], "mm", (40, 4, 4), (0, 10, 0)),
    ],
)
def test_both_doors_read_fractions_of_a_unit(tmp_path, size, offset, units, nm, at):
    make(tmp_path / "v.zarr/a", units=units, voxel_size=size, offset=offset)
    Volume.open(tmp_path / "v.zarr/a", "r+").data[:] = 7
    for volume in (Volume.open(tmp_path / "v.zarr/a"), import_volume(tmp_path / "v.zarr/a", tmp_path / "own.zarr")):
        assert (volume.voxel_size_nm, volume.offset_nm) == (nm, at)
        assert volume.unit == ("nm" if all(float(length).is_integer() for length in (*nm, *at)) else "pm")


def test_gunpowder_reads_the_funlib_array(tmp_path):
    gp = pytest.importorskip("gunpowder")
    volume = Volume.create(tmp_path / "v.zarr/a", (20, 24, 28), (40, 4, 4), np.uint8, offset_nm=(400, 40, 80))
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 255, (20, 24, 28)).astype(np.uint8))
    key, request = gp.ArrayKey("RAW"), gp.BatchRequest()
    request[key] = gp.ArraySpec(Roi((480, 60, 100), (400, 40, 44)))
    pipeline = gp.ArraySource(key, volume.array, interpolatable=True)
    with gp.build(pipeline):
        batch = pipeline.request_batch(request)
    assert (batch[key].data == volume.read(request[key].roi)).all()
    assert batch[key].spec.voxel_size == volume.voxel_size


def test_opening_a_volume_imports_no_dask(tmp_path):
    Volume.create(tmp_path / "v.zarr/a", SHAPE, (1, 1, 1), np.uint8)
    code = (
        "import sys; from neuroadda.volumes.arrays import Volume; Volume.open(sys.argv[1]).read()\n"
        "print(any(name in sys.modules for name in ('dask', 'funlib.persistence', 'tensorstore')))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "v.zarr/a")]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip() == "False"
