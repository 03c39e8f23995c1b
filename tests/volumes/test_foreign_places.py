"""Whatever a format's own library writes comes in with the same voxels at the same place, or is refused with one clear line."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroadda.config import ZyxFloat
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.axes import looks_like_xyz
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.storage.nodes import ZARR3
from tests.volumes.writers import (
    ARRAYS,
    DOUBTFUL,
    N5,
    UNITS,
    WITHOUT_OFFSET,
    WRITERS,
    Written,
    imagej_tiff,
    precomputed,
)

PM = 1e-3
sizes = st.tuples(*[st.integers(500, 200_000)] * 3)  # pm
offsets = st.one_of(st.just((0, 0, 0)), st.tuples(*[st.integers(-(10**7), 10**7)] * 3))


def whole_voxels(size: ZyxFloat, offset: ZyxFloat) -> ZyxFloat:
    z, y, x = (round(o / s) * s for o, s in zip(offset, size, strict=True))
    return z, y, x


def check_refused(told: str, size_nm: ZyxFloat) -> None:
    """One line that names the way out, and only where the order is in doubt."""
    assert "\n" not in told
    assert looks_like_xyz(size_nm)
    assert "--axes" in told
    assert "--voxel-size" in told


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    size=sizes,
    offset=offsets,
    unit=st.sampled_from(sorted(UNITS)),
    seed=st.integers(0, 99),
)
def test_what_others_write_comes_in_at_its_place(
    write: Callable[[Written], Path],
    shape: tuple[int, int, int],
    size: tuple[int, int, int],
    offset: tuple[int, int, int],
    unit: str,
    seed: int,
) -> None:
    if write in N5 and ZARR3:
        pytest.skip("zarr 3 has no N5")
    voxels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    size_nm: ZyxFloat = tuple(s * PM for s in size)  # type: ignore[assignment]
    offset_nm: ZyxFloat = tuple(o * PM for o in offset)  # type: ignore[assignment]
    if write in WITHOUT_OFFSET:
        offset_nm = (0.0, 0.0, 0.0)
    if write is precomputed:
        offset_nm = whole_voxels(size_nm, offset_nm)
    # ImageJ's pixel size is a rational that its writer rounds: some four digits of a size that is large in its unit.
    tolerance = 0.0011 + (max(size_nm) * 1e-4 + max(map(abs, offset_nm)) * 1e-4 if write is imagej_tiff else 0)
    with tempfile.TemporaryDirectory() as name:
        source = write(Written(Path(name), voxels, size_nm, offset_nm, unit))
        doors: list[Callable[[], Volume]] = [lambda: import_volume(source, Path(name) / "own.zarr/raw", kind="raw")]
        if write in ARRAYS:
            doors.append(lambda: Volume.open(source))
        for door in doors:
            try:
                volume = door()
            except UserError as error:
                check_refused(str(error), size_nm)
                continue
            assert np.array_equal(volume.read(), voxels)
            assert volume.voxel_size_nm == pytest.approx(size_nm, abs=tolerance)
            assert volume.offset_nm == pytest.approx(offset_nm, abs=tolerance)


@pytest.mark.parametrize("write", DOUBTFUL, ids=lambda write: write.__name__)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shape=st.tuples(*[st.integers(2, 6)] * 3), size=sizes, offset=offsets, unit=st.sampled_from(sorted(UNITS)))
def test_what_can_be_read_in_two_ways_is_asked_for(
    write: Callable[[Written], Path],
    shape: tuple[int, int, int],
    size: tuple[int, int, int],
    offset: tuple[int, int, int],
    unit: str,
) -> None:
    """One line that names the file and the options; with these, the volume comes in where it was written."""
    size_nm: ZyxFloat = tuple(s * PM for s in size)  # type: ignore[assignment]
    offset_nm: ZyxFloat = tuple(o * PM for o in offset)  # type: ignore[assignment]
    voxels = np.random.default_rng(0).integers(0, 254, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        source, target = write(Written(Path(name), voxels, size_nm, offset_nm, unit)), Path(name) / "own.zarr/raw"
        with pytest.raises(UserError) as caught:
            import_volume(source, target, kind="raw")
        told = str(caught.value)
        assert "\n" not in told
        assert str(source) in told
        assert any(f"--{option.replace('_', '-')}" in told for option in DOUBTFUL[write])
        assert not target.exists()
        answers = {"dataset": "levels/s0", "voxel_size": size_nm, "offset": offset_nm}
        keys = {"dataset": "dataset", "voxel_size": "voxel_size_nm", "offset": "offset_nm"}
        volume = import_volume(source, target, kind="raw", **{keys[o]: answers[o] for o in DOUBTFUL[write]})
        assert np.array_equal(volume.read(), voxels)
        assert volume.voxel_size_nm == pytest.approx(size_nm, abs=0.0011)
        assert volume.offset_nm == pytest.approx(offset_nm, abs=0.0011)
