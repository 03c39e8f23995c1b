"""Labels in files come back exactly, and whatever is wrong is one line and leaves nothing behind."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

from neuroadda.active.exports.crops import export_crops
from neuroadda.active.labels import import_labels, read_oracle
from neuroadda.active.proposals import Proposals
from neuroadda.adaptation.oracle import ask_oracle, open_oracle
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.contents.label_ids import count_unlabelled
from neuroadda.volumes.importing import import_volume
from tests.active.label_fixtures import (
    BOX,
    FIRST,
    NM,
    OFFSET,
    SHAPE,
    check,
    cut,
    make_proposals,
    make_truth,
    nothing_in,
    place_nm,
)


@pytest.fixture
def proposals(tmp_path: Path) -> Proposals:
    return make_proposals(tmp_path)


@pytest.fixture
def truth() -> np.ndarray:
    return make_truth()


def write_zarr(path: Path, labels: np.ndarray, offset_nm: Any = OFFSET, voxel_size_nm: Any = NM) -> Path:
    Volume.create(path, labels.shape, voxel_size_nm, labels.dtype, offset_nm=offset_nm).data[:] = labels
    return path


def test_whole_volume_is_cropped_to_every_box(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    source = write_zarr(tmp_path / "own.zarr" / "labels", truth)
    found = import_labels(proposals, source, tmp_path / "out")
    check(found, truth)
    outside = np.count_nonzero(truth) - sum(np.count_nonzero(cut(truth, r)) for r in FIRST)
    assert found[0].notes == (f"{outside} labelled voxels outside the boxes were left out",)
    assert not [note for note in found[1].notes if "outside" in note]  # it is told once
    assert found[0].path == tmp_path / "out" / "roi_1.zarr" / "labels"


def test_raw_is_not_taken_for_labels(tmp_path: Path, proposals: Proposals) -> None:
    raw = Volume.open(proposals.volume, "r+")
    raw.data[:] = np.random.default_rng(0).integers(1, 190, SHAPE)
    np.save(tmp_path / "roi_1.npy", raw.data[tuple(slice(f, f + n) for f, n in zip(FIRST[1], BOX, strict=True))])
    for source in (raw.path, tmp_path / "roi_1.npy"):
        with pytest.raises(UserError, match="this is raw itself"):
            import_labels(proposals, source, tmp_path / "out")
    assert nothing_in(tmp_path / "out")


def test_a_crop_that_touches_a_second_box_needs_its_rank(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray
) -> None:
    crop = write_zarr(tmp_path / "crop.zarr", truth[2:13, 5:40, 15:50], place_nm((2, 5, 15)))
    with pytest.raises(UserError, match=r"covers only a part of roi_2.* if it is for one box alone, give its rank"):
        import_labels(proposals, crop, tmp_path / "out")
    check(import_labels(proposals, crop, tmp_path / "out", rank=1), truth, (1,))


def test_boxes_without_labels_are_left_out(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    truth[:10] = 0
    check(import_labels(proposals, write_zarr(tmp_path / "own.zarr" / "labels", truth), tmp_path / "out"), truth, (2,))
    assert not (tmp_path / "out" / "roi_1.zarr").exists()


@pytest.mark.parametrize(("empty", "told"), [(1, False), (4, True)])
def test_a_box_that_is_labelled_in_part_is_noted(tmp_path: Path, proposals: Proposals, empty: int, told: bool) -> None:
    labels = np.arange(1, np.prod(BOX) + 1, dtype=np.uint32).reshape(BOX)
    labels[:empty] = 0
    np.save(tmp_path / "roi_1.npy", labels)
    notes = " ".join(import_labels(proposals, tmp_path / "roi_1.npy", tmp_path / "out")[0].notes)
    assert ("only 33 % is labelled" in notes and 'adapt.labels.background = "ignore"' in notes) is told


def test_labels_remember_the_oracle_they_came_from(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    source = write_zarr(tmp_path / "own.zarr" / "labels", truth)
    (theirs, _), (own, _) = (
        import_labels(proposals, source, tmp_path / name, oracle=oracle)
        for name, oracle in (("theirs", "abc"), ("own", None))
    )
    assert (read_oracle(theirs.path), read_oracle(own.path)) == ("abc", None)


def test_crops_labelled_in_place(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    crops = tmp_path / "crops"
    for rank in FIRST:
        write_zarr(crops / f"roi_{rank}.zarr" / "labels" / "neurons" / "0", cut(truth, rank), place_nm(FIRST[rank]))
    found = import_labels(proposals, crops, tmp_path / "out")
    check(found, truth)
    assert found[0].notes == ()
    check(import_labels(proposals, crops, tmp_path / "one", rank=2), truth, (2,))
    check(import_labels(proposals, crops / "roi_1.zarr", tmp_path / "first"), truth, (1,))


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".h5"])
def test_crop_in_a_file_is_known_by_its_name_or_rank(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, suffix: str
) -> None:
    truth = np.minimum(truth, 1000)
    for name, rank in (("roi_2", None), ("mine", 2)):
        path, labels = tmp_path / f"{name}{suffix}", cut(truth, 2).astype(np.uint16)
        if suffix == ".npy":
            np.save(path, labels)
        elif suffix == ".tif":
            tifffile.imwrite(path, labels)
        else:
            with h5py.File(path, "w") as file:
                file["labels"] = labels
        found = import_labels(proposals, path, tmp_path / name, rank=rank)
        check(found, truth, (2,))
        assert len(found[0].notes) == 2  # neither voxel size nor place is told
    with pytest.raises(UserError, match=r"not known which box this is; give its rank"):
        import_labels(proposals, path, tmp_path / "out")
    assert nothing_in(tmp_path / "out")


def test_cremi_file_with_a_place(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    with h5py.File(tmp_path / "sample.h5", "w") as file:
        for name, data in (("raw", np.zeros(SHAPE, np.uint8)), ("labels/neuron_ids", truth)):
            node = file.create_dataset(f"volumes/{name}", data=data)
            node.attrs["resolution"], node.attrs["offset"] = NM, OFFSET
    check(import_labels(proposals, tmp_path / "sample.h5", tmp_path / "out"), truth)


def test_crop_with_context_is_cut_to_its_box(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    wide = truth[1:11, 5:30, 15:50]
    found = import_labels(proposals, write_zarr(tmp_path / "roi_1.zarr", wide, place_nm((1, 5, 15))), tmp_path / "out")
    check(found, truth, (1,))
    outside = np.count_nonzero(wide) - np.count_nonzero(cut(truth, 1))
    assert found[0].notes == (f"{outside} labelled voxels outside the boxes were left out",)


def test_offset_of_zero_is_none_for_a_box_that_is_named(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray
) -> None:
    source = write_zarr(tmp_path / "roi_1.zarr", cut(truth, 1), (0, 0, 0))
    found = import_labels(proposals, source, tmp_path / "out")
    check(found, truth, (1,))
    assert "taken for exactly the box" in found[0].notes[0]


def test_only_one_id_is_told(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    source = write_zarr(tmp_path / "roi_1.zarr", (cut(truth, 1) > 0).astype(np.uint8), place_nm(FIRST[1]))
    [found] = import_labels(proposals, source, tmp_path / "out")
    assert found.ids == 1
    assert found.notes == ("there is only one id, so no boundary between two neurons",)


def test_overwrite_is_asked_for(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    source = write_zarr(tmp_path / "own.zarr" / "labels", truth)
    first = import_labels(proposals, source, tmp_path / "out")
    with pytest.raises(UserError, match="it exists already"):
        import_labels(proposals, source, tmp_path / "out")
    fingerprint = Volume.open(first[0].path).fingerprint
    truth[truth == 1] = 7
    again = import_labels(proposals, write_zarr(source, truth), tmp_path / "out", overwrite=True)
    check(again, truth)
    assert Volume.open(again[0].path).fingerprint != fingerprint


def test_one_bad_box_of_two_leaves_nothing(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    crops = tmp_path / "crops"
    np.save(write(crops / "roi_1.npy"), cut(truth, 1))
    np.save(write(crops / "roi_2.npy"), cut(truth, 2)[1:])
    with pytest.raises(UserError, match=r"roi_2\.npy: its shape is \(5, 16, 24\); roi_2 has \(6, 16, 24\) voxels"):
        import_labels(proposals, crops, tmp_path / "out")
    assert nothing_in(tmp_path / "out")


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def at(first: tuple[int, ...]) -> dict[str, Any]:
    return {"offset_nm": place_nm(first)}


BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "shape": (np.ones((5, 16, 24), np.uint8), at(FIRST[1]), r"covers only a part of roi_1; \(6, 16, 24\) voxels"),
    "voxel size": (
        np.ones(BOX, np.uint8),
        {"offset_nm": (0, 0, 0), "voxel_size_nm": (30.0, 4.0, 4.0)},
        r"its voxel size is 30 x 4 x 4 nm \(zyx\); raw's is 40 x 4 x 4 nm",
    ),
    "float": (np.ones(BOX, np.float32), at(FIRST[1]), "its data type is float32; one whole number a neuron"),
    "mask": (np.ones(BOX, bool), at(FIRST[1]), "its data type is bool"),
    "negative": (np.full(BOX, -3, np.int32), at(FIRST[1]), r"there are negative ids \(-3\)"),
    "large": (np.full(BOX, 2**64 - 4, np.uint64), at(FIRST[1]), "too large .18446744073709551612.; ids are below"),
    "empty": (np.zeros(BOX, np.uint8), at(FIRST[1]), "nothing is labelled: there is nothing but 0"),
    "elsewhere": (np.ones(BOX, np.uint8), {"offset_nm": (8000, 0, 0)}, "it overlaps none of the boxes"),
    "off grid": (np.ones(SHAPE, np.uint8), {"offset_nm": (400, 81, 120)}, "do not lie on raw's voxels"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(tmp_path: Path, proposals: Proposals, case: str) -> None:
    labels, place, message = BAD[case]
    source = write_zarr(tmp_path / "mine.zarr" / "labels", labels, **place)
    with pytest.raises(UserError, match=message) as caught:
        import_labels(proposals, source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert nothing_in(tmp_path / "out")


def test_wrong_rank(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    source = write_zarr(tmp_path / "mine.zarr", cut(truth, 1), place_nm(FIRST[1]))
    with pytest.raises(UserError, match="there is no roi_7; proposed were 1 to 2"):
        import_labels(proposals, source, tmp_path / "out", rank=7)
    with pytest.raises(UserError, match="it does not overlap roi_2"):
        import_labels(proposals, source, tmp_path / "out", rank=2)
    with pytest.raises(UserError, match="there is no such file or folder"):
        import_labels(proposals, tmp_path / "none.h5", tmp_path / "out")
    np.save(write(tmp_path / "crops" / "roi_1.npy"), cut(truth, 1))
    write_zarr(tmp_path / "crops" / "roi_1.zarr", cut(truth, 1))
    with pytest.raises(UserError, match=r"there are two for roi_1: .*roi_1\.npy and roi_1\.zarr"):
        import_labels(proposals, tmp_path / "crops", tmp_path / "out")
    assert nothing_in(tmp_path / "out")


def test_exported_crops_come_back_once_they_are_drawn_in(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray
) -> None:
    crops = export_crops(proposals, tmp_path / "crops", context_nm=(80.0, 40.0, 40.0))
    with pytest.raises(UserError, match="nothing is labelled: there is nothing but 0 in any box"):
        import_labels(proposals, crops, tmp_path / "out")
    Volume.open(crops / "roi_2.zarr" / "labels" / "neurons" / "0", "r+").data[:] = cut(truth, 2)
    check(import_labels(proposals, crops, tmp_path / "out"), truth, (2,))


def test_what_is_not_labelled_is_noted_and_remembered(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    for dtype, reserved in (
        (np.uint64, 2**64 - 1),
        (np.uint64, 2**64 - 2),
        (np.uint32, 2**32 - 1),
        (np.uint64, 2**32 - 3),
    ):
        box = np.minimum(cut(truth, 1), 9).astype(dtype)
        box[2:5] = reserved
        np.save(tmp_path / "roi_1.npy", box)
        (found,) = import_labels(proposals, tmp_path / "roi_1.npy", tmp_path / "out", overwrite=True)
        volume = Volume.open(found.path)
        np.testing.assert_array_equal(volume.read(), np.where(box == reserved, 0, box))
        assert any(note.startswith(f"{(box == reserved).sum()} voxels with id {reserved} (") for note in found.notes)
        assert not [note for note in found.notes if "trained on as membrane" in note]  # it is not: 0 is left out
        assert count_unlabelled(volume.attrs) == (box == reserved).sum()
        assert found.ids == len(np.unique(box[(box > 0) & (box != reserved)]))


def test_boxes_of_labels_that_were_imported_so_are_remembered_too(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray
) -> None:
    truth[:, :, 40:] = 2**64 - 1
    write_zarr(tmp_path / "other.zarr" / "labels", truth)
    own = import_volume(tmp_path / "other.zarr/labels", tmp_path / "own.zarr/labels", kind="labels")
    for source in (own.path, tmp_path / "other.zarr/labels"):
        found = import_labels(proposals, source, tmp_path / source.parent.stem)
        assert [count_unlabelled(Volume.open(one.path).attrs) > 0 for one in found] == [True, True]


def test_a_box_with_nothing_but_reserved_ids_is_not_labelled(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray
) -> None:
    truth[:10] = 2**64 - 3
    labels = write_zarr(tmp_path / "own.zarr" / "labels", truth)
    assert [one.rank for one in import_labels(proposals, labels, tmp_path / "out")] == [2]
    np.save(tmp_path / "roi_1.npy", np.full(BOX, 2**64 - 1, np.uint64))
    with pytest.raises(UserError, match="nothing is labelled"):
        import_labels(proposals, tmp_path / "roi_1.npy", tmp_path / "other")
    oracle = Volume.open(labels)
    ask_oracle(proposals, oracle, tmp_path / "asked")
    assert [path.name for path in (tmp_path / "asked").iterdir()] == ["roi_2.zarr"]


def test_grey_values_are_no_labels_of_a_box(tmp_path: Path, proposals: Proposals) -> None:
    grey = np.random.default_rng(0).integers(1, 200, BOX, dtype=np.uint8)  # of another volume, or of another machine
    np.save(tmp_path / "roi_1.npy", grey)
    with pytest.raises(UserError, match=r"roi_1\.npy: these are grey values, no labels"):
        import_labels(proposals, tmp_path / "roi_1.npy", tmp_path / "out")
    assert nothing_in(tmp_path / "out")


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (np.full(SHAPE, -1, np.int32), "negative ids"),
        (np.random.default_rng(0).integers(0, 250, SHAPE, dtype=np.uint8), "these are grey values"),
    ],
)
def test_an_oracle_must_be_labels(tmp_path: Path, proposals: Proposals, ids: np.ndarray, told: str) -> None:
    path = write_zarr(tmp_path / "o.zarr/labels", ids)
    with pytest.raises(UserError, match=rf"o\.zarr/labels: .*{told}"):
        open_oracle(path, proposals.open_volume())
