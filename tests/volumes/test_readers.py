"""One hierarchy of readers: `import` reads what labels come back in, and a format is added by a module and a line."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.volumes import readers
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.readers.source import Format, Source, Wanted
from neuroadda.volumes.storage.locations import Location
from tests.active.label_fixtures import make_truth, serving
from tests.active.test_labels_webknossos import pack, write_annotation, zarr3_members

SHAPE = (20, 48, 64)
NM = (40.0, 4.0, 4.0)


def write_precomputed(folder: Path, voxels: np.ndarray, encoding: str, kind: str = "image") -> None:
    """Write two scales with tensorstore: that of the voxels, and one of half their number along y and x."""
    tensorstore = pytest.importorskip("tensorstore")
    for scale in (1, 2):
        part = voxels[:, ::scale, ::scale]
        metadata = {
            "encoding": encoding,
            "chunk_size": [16, 16, 8],
            "resolution": [4 * scale, 4 * scale, 40],
            "size": list(part.shape[::-1]),
            "voxel_offset": [30 // scale, 20 // scale, 10],
        }
        if encoding == "compressed_segmentation":
            metadata["compressed_segmentation_block_size"] = [8, 8, 8]
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{folder}/"},
            "multiscale_metadata": {"type": kind, "data_type": str(voxels.dtype), "num_channels": 1},
            "scale_metadata": metadata,
            "create": True,
        }
        array = tensorstore.open(spec).result()
        array[..., 0].write(part.T).result()


def smooth() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    return (100 + 40 * np.sin(z / 5) + y / 2 + x / 3).astype(np.uint8)


@pytest.mark.parametrize(
    ("encoding", "dtype", "tolerance"),
    [("raw", np.uint8, 0), ("png", np.uint8, 0), ("jpeg", np.uint8, 12), ("compressed_segmentation", np.uint64, 0)],
)
def test_precomputed_is_imported_from_a_url_and_a_folder(
    tmp_path: Path, encoding: str, dtype: type, tolerance: int
) -> None:
    labels = dtype == np.uint64
    voxels = make_truth() if labels else smooth()
    write_precomputed(tmp_path / "served/em", voxels, encoding, "segmentation" if labels else "image")
    with serving(tmp_path / "served") as (url, _):
        there = import_volume(f"precomputed://{url}/em", tmp_path / "there.zarr")
        again = import_volume(f"{url}/", tmp_path / "again.zarr", dataset="em")
        coarse = import_volume(f"{url}/em", tmp_path / "coarse.zarr", voxel_size_nm=(40, 8, 8))
    here = import_volume(tmp_path / "served/em", tmp_path / "here.zarr")
    assert [volume.path.name for volume in (there, here)] == ["labels" if labels else "raw"] * 2
    for volume in (there, again, here):
        assert (volume.voxel_size_nm, volume.offset_nm) == (NM, (400, 80, 120))
        assert volume.shape_vx == SHAPE
        assert np.abs(volume.read().astype(float) - voxels).max() <= tolerance
    assert (coarse.voxel_size_nm, coarse.offset_nm) == ((40, 8, 8), (400, 80, 120))
    assert coarse.shape_vx == (20, 24, 32)
    assert there.attrs["provenance"]["source"] == f"{url}/em"
    assert there.fingerprint == again.fingerprint
    assert here.fingerprint == import_volume(tmp_path / "served/em", tmp_path / "b.zarr").fingerprint


def test_what_came_from_a_url_is_known_by_its_voxels(tmp_path: Path) -> None:
    prints = []
    with serving(tmp_path) as (url, _):
        for name, change in (("a", 0), ("b", 1), ("a", 0)):
            Volume.create(tmp_path / "s.zarr/raw", SHAPE, NM, np.uint8, chunk_vx=(8, 16, 16)).data[:] = (
                smooth() + change
            )
            volume = import_volume(f"{url}/s.zarr/raw", tmp_path / f"{name}.zarr", overwrite=True)
            assert np.array_equal(volume.read(), smooth() + change)
            prints.append(volume.fingerprint)
    assert prints[0] == prints[2] != prints[1]


def test_a_voxel_size_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_precomputed(tmp_path / "em", smooth(), "raw")
    with pytest.raises(
        UserError, match=r"no scale of the voxel size given, 30 x 4 x 4 nm \(zyx\); scales in it: 40 x 4"
    ):
        import_volume(tmp_path / "em", tmp_path / "out.zarr", voxel_size_nm=(30, 4, 4))
    assert not (tmp_path / "out.zarr").exists()


def test_precomputed_without_tensorstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_precomputed(tmp_path / "em", smooth(), "raw")
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(UserError, match=r"the package tensorstore is missing; pip install neuroadda\[precomputed\]"):
        import_volume(tmp_path / "em", tmp_path / "out.zarr")


def test_an_annotation_is_imported_as_labels(tmp_path: Path) -> None:
    truth = make_truth()
    truth[:, :, 32:] = 0  # no chunk of it is in the download
    source = write_annotation(tmp_path / "a.zip", pack(zarr3_members(truth)))
    volume = import_volume(source, tmp_path / "out.zarr", offset_nm=(400, 80, 120))
    assert volume.path.name == "labels"
    assert (volume.voxel_size_nm, volume.offset_nm) == (NM, (400, 80, 120))
    assert volume.shape_vx == (32, 48, 32)  # whole chunks that are there
    assert np.array_equal(volume.read()[:20], truth[:, :, :32])
    assert not volume.read()[20:].any()


def test_a_url_without_a_volume_is_told(tmp_path: Path, command) -> None:
    with serving(tmp_path) as (url, _):
        code, _, errors = command("import", url.replace("http://", "http://me:secret@"), tmp_path / "out.zarr")
    assert code == 2
    assert f"{url}: there is no volume here; give the URL of the folder that holds info, or .zarray" in errors
    assert "secret" not in errors


def test_a_format_is_added_by_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def open_bytes(place: Location, wanted: Wanted) -> Iterator[Source]:
        assert isinstance(place, Path)
        voxels = np.fromfile(place, np.uint8).reshape(2, 3, 4)
        yield Source(place, voxels.shape, voxels.dtype, voxels.__getitem__, files=(place,), voxel_size_nm=NM)

    mine = Format("bytes", lambda place, wanted: place.suffix == ".bytes", open_bytes)
    monkeypatch.setattr(readers, "FORMATS", (*readers.FORMATS, mine))
    (tmp_path / "a.bytes").write_bytes(bytes(range(24)))
    volume = import_volume(tmp_path / "a.bytes", tmp_path / "out.zarr")
    assert volume.read().ravel().tolist() == list(range(24))


def test_tensorstore_is_imported_for_precomputed_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", smooth())
    code = (
        "import sys; from neuroadda.volumes.importing import import_volume\n"
        "import_volume(sys.argv[1], sys.argv[2], voxel_size_nm=(40, 4, 4))\n"
        "print(any(name in sys.modules for name in ('tensorstore', 'dask', 'funlib.persistence')))"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "a.npy"), str(tmp_path / "out.zarr")]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip() == "False"
