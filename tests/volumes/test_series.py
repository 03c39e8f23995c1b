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
        ("s0 s1_more s3", "of the numbers 0 to 3 in the names of its sections, 2 is missing"),
        ("0 2 4 6", "the numbers 0 to 6 in the names of its sections are 2 apart; give --gaps close"),
        ("a10 a20 a30", "the numbers 10 to 30 in the names of its sections are 10 apart"),
        ("s000 s1000000", "the numbers 0 to 1000000 in the names of its sections are 1000000 apart"),
        ("img1_z0 img2_z2 img3_z4", "the numbers 0 to 4 in the names of its sections are 2 apart"),
        ("s1_t1 s2_t2 s4_t3", "of the numbers 1 to 4 in the names of its sections, 3 is missing"),
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
    for n, name in enumerate((f"s1 s{10**30}", "s1000000", "s2000000 s3000000")):
        far = write(tmp_path / f"far{n}", "s0.png", *(f"{one}.png" for one in name.split()))
        with pytest.raises(UserError, match="too many for blank sections; give --gaps close"):
            import_volume(far, tmp_path / "own.zarr/far", voxel_size_nm=NM, gaps="blank")


@pytest.mark.parametrize(
    ("names", "gaps", "right"),
    [
        ("s0 s2 s4", "close", "0 2 4"),
        ("s0 s2 s4", "step", "0 2 4"),
        ("s0 s2 s4", "blank", "0 - 2 - 4"),
        ("s0 s10 s30", "step", "0 10 - 30"),
        ("s0 s2 s6", "blank", "0 - 2 - - - 6"),
        ("s5 s6 s8", "step", "5 6 - 8"),
    ],
)
def test_every_answer_to_gaps_and_steps(tmp_path: Path, names: str, gaps: str, right: str) -> None:
    found = arrange([tmp_path / f"{name}.png" for name in names.split()], tmp_path, gaps)
    assert [file.stem[1:] if file else "-" for file in found.sections] == right.split()
    assert len(found.notes) == 1


@pytest.mark.parametrize(
    "names", ["z5 z6 z7", "s0001", "one", "1", "scan3_s1 scan3_s2 scan3_s3", "s1_x9000 s2_x120 s3_x4500"]
)
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
        ("a_1 b_2 b_3", [1, 2, 3], "named in 2 ways, such as a_1.png, b_2.png"),
        ("s1 s2_again s3", [1, 2, 3], "named in 2 ways, such as s1.png, s2_again.png"),
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


UNDECIDED = {
    "s1_r1 s1_r2 s2_r1 s2_r2 s2_r3": "2 numbers are in a name, as in s1_r1.png and s2_r3.png; none counts alone",
    "w1_s0 w1_s1 w1_s3 w2_s0 w2_s1": "none counts alone",
    "z0.5 z1.0 z1.5": "none counts alone",
    "s1_r3 s2_r1 s3_r2": "two numbers in the names count the sections, and in different orders (s1_r3.png, s2_r1.png)",
    "s-2 s-1 s0 s1": "some numbers in the names have a sign and some have none",
    "z-3 z-2 z0": "whether they are negative",
    "s1_z-1 s2_z0 s3_z1": "whether they are negative",
    "s08 s09 s0a s0b s10": "may be hexadecimal (s0a)",
    "s01 s02 s03 s0a": "may be hexadecimal",
    "1a 1b 2a": "may be hexadecimal",
    "s001 s002 s002_copy s003": "s002.png and s002_copy.png have the same number",
    "s001 s002 Copy_of_s002": "have the same number",
    "s001 s001(1) s002 s002(1)": "have the same number",
    "b_1 b_2 a_1": "have the same number",
    "b_1 b_2 a_3": "by the letters in their names a_3.png comes before b_1.png, by the numbers after it",
    "top middle bottom": "no number in the name bottom.png tells which section it is",
    "s1 s2 overview": "no number in the name overview.png tells which section it is",
}


@pytest.mark.parametrize("names", UNDECIDED)
def test_names_that_do_not_tell_the_order_are_refused(tmp_path: Path, names: str) -> None:
    source = write(tmp_path / "s", *(f"{name}.png" for name in names.split()))
    for gaps in (None, "close", "blank"):
        with pytest.raises(UserError) as caught:
            import_volume(source, tmp_path / "own.zarr/raw", voxel_size_nm=NM, gaps=gaps)
        assert UNDECIDED[names] in str(caught.value)
        assert "--order FILE" in str(caught.value)
    assert not (tmp_path / "own.zarr").exists()


@pytest.mark.parametrize(
    ("names", "order", "right"),
    [
        ("s1_r1 s1_r2 s2_r1 s10_r1", "numbers", "s1_r1 s1_r2 s2_r1 s10_r1"),
        ("s08 s09 s0a s0b s10", "letters", "s08 s09 s0a s0b s10"),
        ("b_1 b_2 a_1", "letters", "a_1 b_1 b_2"),
        ("b_1 b_2 a_3", "numbers", "b_1 b_2 a_3"),
        ("s1 s9 s10", "letters", "s1 s10 s9"),
        ("s-2 s-1 s0 s1", ["s-2", "s-1", "s0", "s1"], "s-2 s-1 s0 s1"),
        ("top middle bottom", ["top", "", "middle", "bottom"], "top middle bottom"),
        ("s1 s2 overview", ["s2", "s1"], "s2 s1"),
    ],
)
def test_what_is_said_of_the_order_counts(tmp_path: Path, names: str, order: str | list[str], right: str) -> None:
    source = write(tmp_path / "s", *(f"{name}.png" for name in names.split()))
    if isinstance(order, list):
        (tmp_path / "list.txt").write_text("\n".join(f"{name}.png" if name else "" for name in order))
        order = str(tmp_path / "list.txt")
    volume = import_volume(source, tmp_path / "own.zarr/raw", voxel_size_nm=NM, order=order)
    assert order_of(volume) == [names.split().index(name) + 1 for name in right.split()]
    assert "its sections are in the" in notes_of(volume)
    assert ("1 images that the list leaves out are not read: overview.png" in notes_of(volume)) == ("overview" in names)


@pytest.mark.parametrize(
    ("text", "told"),
    [("s1.png\ns3.png\n", "'s3.png', which is no image in"), ("s1.png\ns1.png\n", "twice"), ("\n", "no section")],
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, text: str, told: str) -> None:
    files = [tmp_path / "s1.png", tmp_path / "s2.png"]
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=told):
        arrange(files, tmp_path, None, str(tmp_path / "list.txt"))
    with pytest.raises(UserError, match=r"list of sections cannot be read: No such file"):
        arrange(files, tmp_path, None, str(tmp_path / "nowhere.txt"))
    for gaps in ("blank", "step"):
        with pytest.raises(UserError, match="give one of the two"):
            arrange(files, tmp_path, gaps, "letters")
    with pytest.raises(UserError, match="have the same numbers; give another --order"):
        arrange([tmp_path / "s1.png", tmp_path / "t1.png"], tmp_path, None, "numbers")


def test_answers_are_for_folders_of_sections(tmp_path: Path, command) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), np.uint8))
    given = ("import", tmp_path / "a.npy", tmp_path / "own.zarr/a", "--voxel-size", "50", "4", "4")
    for option in (("--gaps", "blank"), ("--order", "letters")):
        code, _, errors = command(*given, *option)
        assert (code, f"no folder of section files, of which {option[0]} says" in errors) == (2, True)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["z_-3", "z_-2", "z_-1"], "may be negative"),
        (["z=-90nm", "z=-60nm", "z=-30nm"], "may be negative"),
        (["-3", "-2", "-1"], "may be negative"),
        (["z0.1um", "z0.15um", "z0.2um"], "may be decimals"),
        (["z0.2", "z0.8", "z1"], "may be decimals"),
    ],
)
def test_signs_and_decimals_are_asked(tmp_path: Path, names: list[str], told: str) -> None:
    files = [tmp_path / f"{name}.png" for name in names]
    with pytest.raises(UserError, match=told):
        arrange(files, tmp_path, None)
    assert len(arrange(files, tmp_path, None, "letters").files) == 3


def test_hyphens_and_versions_are_none(tmp_path: Path) -> None:
    for names in (["z-1", "z-2"], ["run1.001", "run1.002"], ["a_b-1", "a_b-2"]):
        assert len(arrange([tmp_path / f"{name}.png" for name in names], tmp_path, None).files) == 2
