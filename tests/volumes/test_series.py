"""Folders of sections: what is missing, doubled or beside them is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.readers.series import arrange

NM = (50, 4, 4)


def write(folder: Path, *names: str) -> Path:
    """Write sections, each of one grey value: its place in the list, from 1."""
    folder.mkdir()
    for n, name in enumerate(names, 1):
        Image.fromarray(np.full((6, 7), n, np.uint8)).save(folder / name)
    return folder


def order_of(volume: Volume) -> list[int]:
    return volume.read()[:, 0, 0].tolist()


def notes_of(volume: Volume) -> str:
    return " | ".join(volume.attrs["provenance"].get("notes", []))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("s000 s001 s003", "of the numbers 0 to 3 in the names of its sections, 2 is missing"),
        ("z7 z8 z12 z13", "of the numbers 7 to 13 in the names of its sections, 9 to 11 (3 in all) are missing"),
        ("0 2 4 8 10 14", "of the numbers 0 to 14 in the names of its sections, 6, 12 are missing"),
        ("em_4nm_s01_v2 em_4nm_s02_v2 em_4nm_s05_v2", "3 to 4 (2 in all) are missing"),
        ("s1_20200103 s2_20200104 s4_20200215", "of the numbers 1 to 4 in the names of its sections, 3 is missing"),
        ("w1_s0 w1_s1 w1_s3 w2_s0 w2_s1", "of the numbers 0 to 3 in the names of its sections, 2 is missing"),
    ],
)
def test_missing_numbers_are_asked_about(tmp_path: Path, names: str, told: str) -> None:
    source = write(tmp_path / "s", *(f"{name}.png" for name in names.split()))
    with pytest.raises(UserError) as caught:
        import_volume(source, tmp_path / "own.zarr/raw", voxel_size_nm=NM)
    assert told in str(caught.value)
    assert "--gaps blank" in str(caught.value)
    assert not (tmp_path / "own.zarr").exists()


def test_gaps_are_closed_or_blank(tmp_path: Path) -> None:
    source = write(tmp_path / "s", "s0.png", "s1.png", "s4.png")
    closed = import_volume(source, tmp_path / "own.zarr/closed", voxel_size_nm=NM, gaps="close")
    blank = import_volume(source, tmp_path / "own.zarr/blank", voxel_size_nm=NM, gaps="blank")
    assert (order_of(closed), order_of(blank)) == ([1, 2, 3], [1, 2, 0, 0, 3])
    assert "2 to 3 (2 in all) are missing: what follows moves up" in notes_of(closed)
    assert "2 to 3 (2 in all) are missing: they are blank (0)" in notes_of(blank)
    assert closed.fingerprint != blank.fingerprint
    far = write(tmp_path / "far", "s0.png", "s1.png", f"s{10**30}.png")
    with pytest.raises(UserError, match="too many for blank sections; give --gaps close"):
        import_volume(far, tmp_path / "own.zarr/far", voxel_size_nm=NM, gaps="blank")


@pytest.mark.parametrize("names", ["z5 z6 z7", "a10 a20 a30", "s0001", "one", "0 2 4 6", "scan3_s1 scan3_s2 scan3_s3"])
def test_whole_series_need_no_word(tmp_path: Path, names: str) -> None:
    files = [tmp_path / f"{name}.png" for name in names.split()]
    found = arrange(files[::-1], tmp_path, None)
    assert (found.sections, found.notes) == (tuple(files), ())


def test_two_files_of_one_number(tmp_path: Path) -> None:
    for names in (("s1.tif", "s01.tif"), ("s1.tif", "s1.tiff", "s2.tif"), ("s2.png", "s2.PNG")):
        with pytest.raises(UserError, match=r"have the same number; keep one file for each section"):
            arrange([tmp_path / name for name in names], tmp_path, None)


@pytest.mark.parametrize(
    ("names", "right", "told"),
    [
        ("s9 s10 s11", [1, 2, 3], "in the order of their numbers (s9.png before s10.png), not of their names"),
        ("b_1 b_2 a_1", [3, 1, 2], "named in 2 ways and are taken in this order: 1 like a_1.png, 2 like b_1.png"),
        ("r1_c1 r1_c2 r2_c1 r2_c2", [1, 2, 3, 4], "named in 2 ways"),
        ("top middle bottom", [3, 2, 1], "named in 3 ways"),
    ],
)
def test_names_out_of_step_are_told(tmp_path: Path, names: str, right: list[int], told: str) -> None:
    source = write(tmp_path / "s", *(f"{name}.png" for name in names.split()))
    volume = import_volume(source, tmp_path / "own.zarr/raw", voxel_size_nm=NM)
    assert order_of(volume) == right
    assert told in notes_of(volume)


def test_other_files_are_named_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path / "s", "s1.png", "s2.png", "s3.png")
    for name in ("Thumbs.db", "s4.jpg", ".DS_Store", "._s1.png"):
        (source / name).write_bytes(b"?")
    (source / "old").mkdir()
    volume = import_volume(source, tmp_path / "own.zarr/raw", voxel_size_nm=NM)
    assert order_of(volume) == [1, 2, 3]
    told = "other files in the folder are not read: Thumbs.db, old, s4.jpg"
    assert volume.attrs["provenance"]["notes"][0] == told
    assert f"{source}: {told}" in [record.getMessage() for record in caplog.records]


def test_mixed_suffixes_are_told(tmp_path: Path) -> None:
    source = write(tmp_path / "s", "s1.tif", "s2.tiff", "s3.tif")
    volume = import_volume(source, tmp_path / "own.zarr/raw", voxel_size_nm=NM)
    assert order_of(volume) == [1, 2, 3]
    assert "the names of its sections end in .tif and .tiff" in notes_of(volume)
