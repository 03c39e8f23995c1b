"""Where a file does not say whether it holds raw or labels, its voxels decide, or the user is asked."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import neuroadda as na
from neuroadda.errors import UserError
from neuroadda.volumes.contents.kinds import describe_label_signs
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.readers import open_source

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
NM = (40.0, 4.0, 4.0)
NOISE = np.random.default_rng(0).integers(0, 256, (3, 200, 200), np.uint8)
PATCHES = np.kron(np.random.default_rng(1).integers(0, 60, (3, 20, 20), np.uint8), np.ones((1, 10, 10), np.uint8))
FEW = np.kron(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.ones((1, 100, 100), np.uint8))
DRIFT = np.repeat(NOISE, 3, axis=2)[:, :, :200] // 8  # a third of its neighbours differ


def write(path: Path, voxels: np.ndarray) -> Path:
    tifffile.imwrite(path, voxels, photometric="minisblack")
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("voxels", [PATCHES, FEW], ids=["patches", "few"])
def test_what_looks_like_labels_is_asked_for(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, voxels: np.ndarray, dtype: type
) -> None:
    source, target = write(tmp_path / "neurons.tif", voxels.astype(dtype)), tmp_path / "own.zarr"
    given = ("import", source, target, "--voxel-size", *NM)
    code, _, error = command(*given)
    assert (code, error.count("\n"), target.exists()) == (2, 1, False)
    assert "is it raw or labels?" in error
    assert "give --kind raw or --kind labels" in error
    assert [one for one in na.check(source)["doubtful"] if "--kind labels" in (one.mend or "")]
    assert command(*given, "--kind", "labels")[0] == 0
    assert np.array_equal(na.open_volume(target / "labels").read(), voxels)
    assert command(*given, "--kind", "raw")[0] == 0


def test_a_name_counts_where_voxels_do_not_decide(tmp_path: Path) -> None:
    for name, dataset in (("cell-7_seg.h5", "data"), ("v.h5", "exports/Instances"), ("neuron_labels.h5", "data")):
        with h5py.File(tmp_path / name, "w") as file:
            file[dataset] = DRIFT
        with pytest.raises(UserError, match=r"its name has '(seg|instances|labels)'.*--kind raw or --kind labels"):
            import_volume(tmp_path / name, tmp_path / "own.zarr/raw", voxel_size_nm=NM)
    for name, voxels in (("drift.tif", DRIFT), ("noise_seg.tif", NOISE), ("mask_seg.tif", FEW % 2)):
        import_volume(write(tmp_path / name, voxels), tmp_path / f"{name}.zarr/raw", voxel_size_nm=NM)


def test_no_raw_of_real_tissue_is_asked_for() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no real data: {DATA} is missing (set NEUROADDA_DATA)")
    for path in sorted(DATA.glob("*.hdf")):
        with open_source(path) as source:
            assert (source.dataset, describe_label_signs(source)) == ("volumes/raw", None), path.name


def test_real_labels_of_8_bits_are_asked_for(tmp_path: Path) -> None:
    for name in ("mouse_cortex_sssem_test", "fly_fibsem_test", "fly_larva_l1_sstem_test", "mouse_callosum_tem_2d"):
        if not (DATA / f"{name}.hdf").is_file():
            pytest.skip(f"no real data in {DATA} (set NEUROADDA_DATA)")
        with h5py.File(DATA / f"{name}.hdf") as file:
            ids = file["volumes/labels/neuron_ids"][:8]
        few = (np.unique(ids, return_inverse=True)[1].reshape(ids.shape) % 256).astype(np.uint8)
        with open_source(write(tmp_path / f"{name}.tif", few)) as source:
            assert "of neighbouring voxels are equal, as in labels" in (describe_label_signs(source) or ""), name
