"""Everything a user can get wrong gives one clear line and exit code 2, and leaves nothing half-written."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr

from neuroadda.cli import main
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import write_backbone, write_raw


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with a good volume, good labels and a good backbone."""
    folder = tmp_path_factory.mktemp("good")
    raw = write_raw(folder / "v.zarr/raw", shape=(8, 40, 40))
    labels = Volume.create(folder / "v.zarr/labels", (8, 40, 40), raw.voxel_size_nm, np.uint64, offset_nm=raw.offset_nm)
    labels.write(labels.roi, np.ones((8, 40, 40), np.uint64))
    write_backbone(folder / "backbone")
    return folder


class Case:
    """What a user has at hand: a private copy of good inputs, a config, and a way to run the command."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        self.segment = {
            "raw": str(folder / "v.zarr/raw"),
            "backbone": str(folder / "backbone"),
            "output": str(folder / "run"),
            "block_vx": [4, 20, 20],
            "execution": {"launcher": "serial"},
        }
        sample = {"raw": str(folder / "v.zarr/raw"), "labels": str(folder / "v.zarr/labels")}
        self.train = {
            "name": "t",
            "domain": "t",
            "samples": [sample],
            "output": str(folder / "train"),
            "iterations": 1,
            "workers": 0,
            "output_shape_vx": [4, 8, 8],
            "network": {"features": [2, 4], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]},
        }

    def config(self, **sections) -> list[str]:
        path = self.folder / "config.json"
        path.write_text(json.dumps(sections))
        return ["-c", str(path)]

    def run_segment(self, *options: str, **changes) -> tuple[int, str]:
        return self("segment", *self.config(segment=self.segment | changes), *options)

    def run_train(self, **changes) -> tuple[int, str]:
        return self("train", *self.config(train=self.train | changes))

    def run_import(self, source: Path, *options: str) -> tuple[int, str]:
        return self("import", str(source), str(self.folder / "new.zarr/raw"), *options)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        self.monkeypatch.setattr(sys, "argv", ["neuroadda", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), self.capsys.readouterr().err


@pytest.fixture
def case(good, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "case"
    shutil.copytree(good, folder)
    return Case(folder, capsys, monkeypatch)


def missing_raw(case: Case):
    return case.run_segment(raw=str(case.folder / "v.zarr/row"))


def raw_is_a_file(case: Case):
    (case.folder / "stack.tif").write_bytes(b"II*\0")
    return case.run_segment(raw=str(case.folder / "stack.tif"))


def raw_is_a_group(case: Case):
    return case.run_segment(raw=str(case.folder / "v.zarr"))


def two_axes(case: Case):
    zarr.save_array(str(case.folder / "flat.zarr"), np.zeros((5, 5), np.uint8))
    return case.run_segment(raw=str(case.folder / "flat.zarr"))


def float_raw(case: Case):
    Volume.create(case.folder / "f.zarr/raw", (8, 40, 40), (30, 6, 6), np.float32)
    return case.run_segment(raw=str(case.folder / "f.zarr/raw"))


def float_raw_import(case: Case):
    np.save(case.folder / "f.npy", np.zeros((4, 5, 6), np.float32))
    return case.run_import(case.folder / "f.npy", "--voxel-size", "30", "6", "6")


def no_voxel_size(case: Case):
    zarr.save_array(str(case.folder / "bare.zarr"), np.zeros((8, 40, 40), np.uint8))
    return case.run_segment(raw=str(case.folder / "bare.zarr"))


def no_voxel_size_import(case: Case):
    np.save(case.folder / "f.npy", np.zeros((4, 5, 6), np.uint8))
    return case.run_import(case.folder / "f.npy")


def corrupt_hdf5(case: Case):
    with h5py.File(case.folder / "c.hdf", "w") as file:
        file["volumes/raw"] = np.random.default_rng(0).integers(0, 255, (20, 64, 64), np.uint8)
        file["volumes/raw"].attrs["resolution"] = (30, 6, 6)
    with open(case.folder / "c.hdf", "r+b") as file:
        file.truncate(50_000)
    return case.run_import(case.folder / "c.hdf")


def missing_dataset(case: Case):
    with h5py.File(case.folder / "c.hdf", "w") as file:
        file["volumes/raw"] = np.zeros((4, 4, 4), np.uint8)
    return case.run_import(case.folder / "c.hdf", "--dataset", "volumes/row")


def missing_source(case: Case):
    return case.run_import(case.folder / "nowhere.hdf")


def labels_of_another_shape(case: Case):
    Volume.create(case.folder / "v.zarr/labels", (8, 80, 40), (30, 6, 6), np.uint64, offset_nm=(60, 12, 0))
    return case.run_train()


def labels_of_another_voxel_size(case: Case):
    Volume.create(case.folder / "v.zarr/labels", (8, 20, 20), (30, 12, 12), np.uint64, offset_nm=(60, 12, 0))
    return case.run_train()


def sample_too_small(case: Case):
    return case.run_train(output_shape_vx=[4, 80, 80])


def truncated_weights(case: Case):
    path = case.folder / "backbone/weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    return case.run_segment()


def tampered_weights(case: Case):
    path = case.folder / "backbone/weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return case.run_segment()


def no_backbone(case: Case):
    return case.run_segment(backbone=str(case.folder / "elsewhere"))


def backbone_for_other_channels(case: Case):
    path = case.folder / "backbone/card.json"
    card = json.loads(path.read_text())
    card["architecture"]["in_channels"] = 2
    path.write_text(json.dumps(card))
    return case.run_segment()


def unknown_key(case: Case):
    return case.run_segment(fragments={"seed_distanse_vx": 3})


def wrong_type(case: Case):
    return case.run_segment("--set", "segment.components.threshold=high")


def malformed_override(case: Case):
    return case.run_segment("--set", "threshold")


def malformed_toml(case: Case):
    (case.folder / "bad.toml").write_text("[segment\n")
    return case("segment", "-c", str(case.folder / "bad.toml"))


def missing_config(case: Case):
    return case("segment", "-c", str(case.folder / "none.toml"))


def roi_outside(case: Case):
    return case.run_segment(roi={"offset_nm": [60, 12, 0], "shape_nm": [30, 6, 6000]})


def roi_off_the_grid(case: Case):
    return case.run_segment(roi={"offset_nm": [60, 13, 0], "shape_nm": [30, 6, 60]})


def block_not_chunk_aligned(case: Case):
    return case.run_segment(chunk_vx=[4, 15, 20])


def tile_not_possible(case: Case):
    return case.run_segment(predict={"tile_vx": [4, 21, 20]})


def unreachable_mongo(case: Case):
    return case.run_segment(ledger="mongodb://someone:secret@127.0.0.1:9/db?serverSelectionTimeoutMS=200")


def unknown_ledger(case: Case):
    return case.run_segment(ledger="postgres://someone:secret@host/db")


def output_of_another_run(case: Case):
    assert case.run_segment()[0] == 0
    return case.run_segment("--set", "segment.components.threshold=0.33")


def no_ledger(case: Case):
    return case("status", str(case.folder / "nothing"))


def labels_elsewhere(case: Case):
    Volume.create(case.folder / "far.zarr/labels", (8, 40, 40), (30, 6, 6), np.uint64, offset_nm=(6000, 0, 0))
    raw, labels = case.folder / "v.zarr/labels", case.folder / "far.zarr/labels"
    return case("evaluate", str(raw), str(labels))


def another_voxel_size(case: Case):
    Volume.create(case.folder / "v.zarr/raw", (8, 40, 40), (8, 8, 8), np.uint8)
    return case.run_segment()


def threshold_above_the_limit(case: Case):
    return case.run_segment(agglomerate={"limit": 0.4})


def validation_that_does_not_fit(case: Case):
    Volume.create(case.folder / "far.zarr/labels", (8, 40, 40), (30, 6, 6), np.uint64, offset_nm=(6000, 0, 0))
    validation = {"raw": str(case.folder / "v.zarr/raw"), "labels": str(case.folder / "far.zarr/labels")}
    return case("train", *case.config(train=case.train, validation=validation))


def evaluation_before_segmentation(case: Case):
    labels = {"labels": str(case.folder / "v.zarr/labels")}
    return case("evaluate", *case.config(segment=case.segment, evaluate=labels))


def no_cuda(case: Case):
    return case.run_segment(predict={"device": "cuda:7"})


def raw_without_chunks(case: Case):
    Volume.create(case.folder / "v.zarr/raw", (8, 40, 40), (30, 6, 6), np.uint8, offset_nm=(60, 12, 0))
    return case.run_segment()


def _rename_chunks(case: Case) -> None:
    """Have the metadata of raw say another separator than its chunks have."""
    path = case.folder / "v.zarr/raw/.zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dimension_separator": "."}))


def chunks_named_otherwise(case: Case):
    _rename_chunks(case)
    return case.run_train()


def chunks_named_otherwise_in_proposals(case: Case):
    _rename_chunks(case)
    output = str(case.folder / "proposals")
    return case("propose", case.segment["raw"], "--backbone", case.segment["backbone"], "--output", output)


def no_config(case: Case):
    return case("run")


def config_as_raw(case: Case):
    return case("segment", case.config(segment=case.segment)[1])


CASES: list[tuple[Callable[[Case], tuple[int, str]], str]] = [
    (no_config, "nothing was given to run; give CONFIG, or -c CONFIG"),
    (config_as_raw, "this is a config, not raw; give it by -c"),
    (missing_raw, "there is no array here; beside it: labels, raw"),
    (raw_is_a_file, "neuroadda import"),
    (raw_is_a_group, "arrays in it: labels, raw"),
    (two_axes, "2 axes"),
    (float_raw, "float32"),
    (float_raw_import, "float32"),
    (no_voxel_size, "--voxel-size"),
    (no_voxel_size_import, "--voxel-size"),
    (corrupt_hdf5, "c.hdf"),
    (missing_dataset, "volumes/raw"),
    (missing_source, "nowhere.hdf"),
    (labels_of_another_shape, "not inside raw"),
    (labels_of_another_voxel_size, "voxel size"),
    (sample_too_small, "smaller than output_shape_vx"),
    (truncated_weights, "damaged"),
    (tampered_weights, "damaged"),
    (no_backbone, "there is no such folder"),
    (backbone_for_other_channels, "takes 2 channels"),
    (unknown_key, "did you mean 'segment.fragments.seed_distance_vx'?"),
    (wrong_type, "segment.components.threshold should be"),
    (malformed_override, "--set key.subkey=value"),
    (malformed_toml, "malformed"),
    (missing_config, "none.toml"),
    (roi_outside, "outside the volume"),
    (roi_off_the_grid, "voxel grid"),
    (block_not_chunk_aligned, "not aligned to chunks"),
    (tile_not_possible, "the nearest is"),
    (unreachable_mongo, "no MongoDB server answers"),
    (unknown_ledger, "sqlite:///"),
    (output_of_another_run, "--overwrite"),
    (no_ledger, "there is no ledger here"),
    (labels_elsewhere, "do not overlap"),
    (another_voxel_size, "any_voxel_size"),
    (threshold_above_the_limit, "raise the limit"),
    (validation_that_does_not_fit, "do not overlap"),
    (evaluation_before_segmentation, "run `neuroadda segment`"),
    (no_cuda, "CUDA device"),
    (raw_without_chunks, "chunks is stored: the array is empty"),
    (chunks_named_otherwise, 'set "dimension_separator" to "/" in .zarray'),
    (chunks_named_otherwise_in_proposals, 'set "dimension_separator" to "/" in .zarray'),
]


@pytest.mark.parametrize(("wrong", "told"), CASES, ids=[wrong.__name__ for wrong, _ in CASES])
def test_one_clear_line_and_exit_code_2(case, wrong, told):
    before = set(case.folder.iterdir())
    code, err = wrong(case)
    lines = [line for line in err.splitlines() if line.startswith("neuroadda: ")]
    assert code == 2, err
    assert len(lines) == 1
    assert told in lines[0]
    assert "Traceback" not in err
    assert "secret" not in err
    assert not [path for path in case.folder.rglob("*") if path.suffix == ".partial"]
    assert not (case.folder / "new.zarr" / "raw").exists()
    assert before <= set(case.folder.iterdir())


def test_wrong_password(case, mongo_server, tmp_path):
    (tmp_path / "auth").mkdir()
    with mongo_server(tmp_path / "auth", "--auth") as address:
        code, err = case.run_segment(ledger=f"mongodb://nobody:secret@{address}")
    assert code == 2
    assert "refuses the login" in err
    assert "secret" not in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_no_disk_space_and_a_read_only_output(case, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        code, err = case.run_segment(output=str(small / "run"), ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
        assert code == 2, err
        assert "No space left on device" in err
        assert err.count("neuroadda: ") == 1
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        code, err = case.run_segment(output=str(small / "other"))
        assert code == 2, err
        assert "Read-only file system" in err
        assert err.count("neuroadda: ") == 1
    finally:
        subprocess.run(["umount", small], check=True)
