"""Pyramids: every level right, wherever the blocks lie, however often the run is begun, and whoever reads it."""

import json
import os
import shutil
import subprocess
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import zarr

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import prepare_output
from neuroadda.errors import RunFailed, UserError, forget_warnings
from neuroadda.ledger.open import open_ledger
from neuroadda.pyramids import downsampling as stage_module
from neuroadda.pyramids.downsampling import downsample
from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.nodes import ZARR3
from tests.volumes.funlib_arrays import check_opened_by_funlib

SHAPE, VOXEL_NM, OFFSET_NM = (9, 50, 37), (40.0, 4.6, 4.6), (80.0, 46.0, 23.0)
SMALL = {"fit_vx": 8, "chunk_vx": (4, 8, 8), "execution": Execution(launcher="serial")}


def write(path: Path, dtype=np.uint8, channels=None, shape=SHAPE, voxel_nm=VOXEL_NM, offset_nm=OFFSET_NM) -> Volume:
    lead = () if channels is None else (channels,)
    values = np.random.default_rng(1).integers(0, 5 if dtype == np.uint64 else 256, (*lead, *shape)).astype(dtype)
    volume = Volume.create(path, shape, voxel_nm, dtype, offset_nm=offset_nm, channels=channels, chunk_vx=(4, 16, 16))
    volume.write(volume.roi, values)
    return volume


def build(volume: Volume, overwrite=False, **options) -> list[Volume]:
    return build_pyramid(PyramidConfig(volume=str(volume.path), **(SMALL | options)), overwrite=overwrite)


def content(group: Path) -> dict[str, bytes]:
    """Everything in the levels but the tags, which hold a random id."""
    files = {p.relative_to(group).as_posix(): p for p in group.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in files.items() if not n.startswith(".run") and not n.endswith(".zattrs")}


def attributes(group: Path) -> dict:
    return json.loads((group / ".zattrs").read_text())


@pytest.mark.parametrize(
    ("dtype", "channels", "method"), [(np.uint8, None, "mean"), (np.uint8, 3, "mean"), (np.uint64, None, "mode")]
)
def test_every_level_is_made_of_the_finer_one(tmp_path, dtype, channels, method):
    volume = write(tmp_path / "v.zarr/em", dtype, channels)
    levels = build(volume)
    assert [tuple(level.shape_vx) for level in levels] == [SHAPE, (9, 25, 19), (9, 13, 10), (9, 7, 5), (5, 4, 3)]
    assert [level.voxel_size_nm for level in levels[1:]] == [
        (40, 9.2, 9.2),
        (40, 18.4, 18.4),
        (40, 36.8, 36.8),
        (80, 73.6, 73.6),
    ]
    for finer, coarser in pairwise(levels):
        factor = tuple(round(c / f) for c, f in zip(coarser.voxel_size_nm, finer.voxel_size_nm, strict=True))
        assert np.array_equal(coarser.read(), downsample(finer.read(), factor, method))
        assert (coarser.dtype, coarser.channels, coarser.offset_nm) == (dtype, channels, OFFSET_NM)
        assert coarser.attrs["input_fingerprints"] == {"source": finer.fingerprint}
        check_opened_by_funlib(coarser)
    assert levels[0].path == tmp_path / "v.zarr/em.ome.zarr/0"
    check_opened_by_funlib(levels[0])
    assert np.array_equal(levels[0].read(), volume.read())


def test_the_metadata_puts_all_levels_at_one_corner(tmp_path):
    levels = build(write(tmp_path / "v.zarr/affs", channels=3))
    (image,) = attributes(tmp_path / "v.zarr/affs.ome.zarr")["multiscales"]
    assert (image["version"], image["name"], image["type"]) == ("0.4", "affs", "mean")
    assert [axis["name"] for axis in image["axes"]] == ["c", "z", "y", "x"]
    assert [axis.get("unit") for axis in image["axes"]] == [None, *["nanometer"] * 3]
    assert [dataset["path"] for dataset in image["datasets"]] == [str(k) for k in range(len(levels))]
    for dataset, level in zip(image["datasets"], levels, strict=True):
        scale, translation = (t[t["type"]] for t in dataset["coordinateTransformations"])
        assert (scale[0], translation[0]) == (1, 0)
        assert scale[1:] == list(level.voxel_size_nm)
        assert np.subtract(translation, np.divide(scale, 2))[1:] == pytest.approx(OFFSET_NM)


def test_the_world_unit_may_change_between_levels(tmp_path):
    volume = write(tmp_path / "v.zarr/raw", voxel_nm=(4.5, 4.5, 4.5), offset_nm=(9.0, 0.0, 4.0))
    levels = build(volume, block_vx=(4, 8, 16))
    assert [level.unit for level in levels[:2]] == ["pm", "nm"]
    assert levels[1].voxel_size_nm == (9, 9, 9)
    assert {level.offset_nm for level in levels} == {(9, 0, 4)}
    assert np.array_equal(levels[1].read(), downsample(volume.read(), (2, 2, 2), "mean"))
    assert np.array_equal(levels[2].read(), downsample(levels[1].read(), (2, 2, 2), "mean"))


@pytest.mark.parametrize("options", [{"block_vx": (4, 8, 8)}, {"block_vx": (12, 24, 40)}, {"block_vx": (8, 16, 8)}])
def test_the_block_size_does_not_change_a_byte(tmp_path, options):
    volume = write(tmp_path / "v.zarr/segmentation", np.uint64)
    build(volume, output=str(tmp_path / "a.zarr"))
    build(volume, output=str(tmp_path / "b.zarr"), **options)
    assert content(tmp_path / "a.zarr") == content(tmp_path / "b.zarr")


def test_worker_processes_write_the_same_bytes(tmp_path):
    volume = write(tmp_path / "v.zarr/raw")
    build(volume, output=str(tmp_path / "a.zarr"))
    # blocks longer than the volume along z, and several along the others
    local = {"block_vx": (16, 16, 16), "execution": Execution(launcher="local", workers=2), "fit_vx": 25}
    levels = build(volume, output=str(tmp_path / "b.zarr"), **local)
    assert len(levels) == 2
    there = {name: data for name, data in content(tmp_path / "a.zarr").items() if name.split("/")[0] in ("0", "1")}
    assert there == {name: data for name, data in content(tmp_path / "b.zarr").items() if "/" in name}


def test_no_two_blocks_share_a_chunk(tmp_path):
    with pytest.raises(UserError, match="not aligned to chunks"):
        build(write(tmp_path / "v.zarr/raw"), block_vx=(4, 12, 8))
    assert not (tmp_path / "v.zarr/raw.ome.zarr").exists()


def test_a_run_that_dies_goes_on_and_is_no_image_before(tmp_path, monkeypatch):
    volume, group = write(tmp_path / "v.zarr/raw"), tmp_path / "v.zarr/raw.ome.zarr"
    build(volume, output=str(tmp_path / "whole.zarr"))
    done = []

    def fail_in_the_second_level(voxels, factor, method):
        done.append(voxels.shape)
        if len(done) > 27:
            raise RuntimeError("power cut")
        return downsample(voxels, factor, method)

    monkeypatch.setattr(stage_module, "downsample", fail_in_the_second_level)
    with pytest.raises(RunFailed, match="power cut"):
        build(volume, block_vx=(4, 8, 8), execution=Execution(launcher="serial", retries=0))
    assert (group / "1").exists()
    assert not (group / ".zattrs").exists()

    again = []
    monkeypatch.setattr(stage_module, "downsample", lambda *args: again.append(1) or downsample(*args))
    build(volume, block_vx=(4, 8, 8))
    assert content(group) == content(tmp_path / "whole.zarr")
    before = len(again)
    assert before < 36 + 12 + 3 + 2  # not those that were done
    build(volume, block_vx=(4, 8, 8))
    assert len(again) == before
    assert attributes(group)["multiscales"]


def test_a_changed_volume_is_refused_then_replaced(tmp_path):
    volume, group = write(tmp_path / "v.zarr/raw"), tmp_path / "v.zarr/raw.ome.zarr"
    build(volume)
    volume.data.attrs["fingerprint"] = "another"
    volume.write(volume.roi, 255 - volume.read())
    old = content(group)
    with pytest.raises(UserError, match="other parameters or inputs"):
        build(Volume.open(volume.path))
    assert content(group) == old
    levels = build(Volume.open(volume.path), overwrite=True)
    assert np.array_equal(levels[1].read(), downsample(volume.read(), (1, 2, 2), "mean"))


def test_level_0_is_linked_or_copied_and_both_can_move(tmp_path):
    volume, group = write(tmp_path / "run/v.zarr/raw"), tmp_path / "run/v.zarr/raw.ome.zarr"
    build(volume)
    assert os.readlink(group / "0") == "../raw"
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    volume, group = Volume.open(tmp_path / "elsewhere/v.zarr/raw"), tmp_path / "elsewhere/v.zarr/raw.ome.zarr"
    assert np.array_equal(Volume.open(group / "0").read(), volume.read())

    second = write(tmp_path / "w.zarr/raw")
    copied = build(second, copy_finest=True)
    assert not copied[0].path.is_symlink()
    assert np.array_equal(copied[0].read(), second.read())
    assert build(second, copy_finest=True)[0].attrs == copied[0].attrs
    with pytest.raises(UserError, match="--copy"):
        build(second)
    assert build(second, overwrite=True)[0].path.is_symlink()
    assert not build(second, copy_finest=True)[0].path.is_symlink()
    assert np.array_equal(Volume.open(second.path).read(), volume.read())  # the volume itself is never touched


def test_a_small_volume_is_one_level(tmp_path):
    levels = build(write(tmp_path / "v.zarr/raw"), fit_vx=64)
    assert len(levels) == 1
    assert len(attributes(tmp_path / "v.zarr/raw.ome.zarr")["multiscales"][0]["datasets"]) == 1


@pytest.mark.skipif(ZARR3, reason="zarr 3 has no N5")
@pytest.mark.filterwarnings("ignore:The N5Store:FutureWarning")
def test_n5_is_copied(tmp_path):
    values = np.random.default_rng(2).integers(0, 256, (9, 20, 20), np.uint8)
    array = zarr.open(zarr.N5Store(str(tmp_path / "v.n5")), path="raw", mode="w", shape=values.shape, dtype="u1")
    array[:] = values
    array.attrs.update(voxel_size=[40, 4, 4], offset=[0, 0, 0])
    volume = Volume.open(tmp_path / "v.n5/raw")
    with pytest.raises(UserError, match="--copy"):
        build(volume, output=str(tmp_path / "p.zarr"))
    levels = build(volume, output=str(tmp_path / "p.zarr"), copy_finest=True)
    assert np.array_equal(levels[0].read(), values)
    assert np.array_equal(levels[1].read(), downsample(values, (1, 2, 2), "mean"))


def test_memory_follows_the_block(tmp_path):
    build(write(tmp_path / "v.zarr/raw"))  # what is loaded once for all

    def peak(depth: int) -> int:
        volume = Volume.create(tmp_path / f"{depth}.zarr/ids", (depth, 64, 64), (8, 8, 8), np.uint64)
        volume.data[::7] = 3
        tracemalloc.start()
        try:
            build(volume, fit_vx=depth // 2, chunk_vx=(16, 32, 32), block_vx=(16, 32, 32))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(64), peak(512)
    assert large < 1.5 * small  # zarr 3 reads and writes in threads: now and then one more of them holds a chunk
    assert large < 512 * 64 * 64 * 8


def test_what_is_wrong_is_said_and_leaves_nothing(tmp_path):
    volume = write(tmp_path / "v.zarr/raw")
    floats = Volume.create(tmp_path / "v.zarr/f", SHAPE, VOXEL_NM, np.float32)
    wrong = [
        ({"output": str(tmp_path / "v")}, "ends in .zarr"),
        ({"output": str(volume.path / "p.zarr")}, "inside its volume"),
        ({"output": str(tmp_path / "v.zarr")}, "no pyramid"),
        ({"volume": floats, "kind": "labels"}, "labels are integers"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for options, message in wrong:
        with pytest.raises(UserError, match=message):
            build(**({"volume": volume} | options))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unfinished_volume_is_refused(tmp_path):
    source = write(tmp_path / "run/volumes.zarr/raw")
    ledger = open_ledger(f"sqlite:///{tmp_path / 'run/ledger.db'}")
    task = stage_module.make_downsample_task(
        source,
        tmp_path / "run/volumes.zarr/affs",
        stage_module.Downsample(method="mean", factor=(1, 1, 1)),
        source.fingerprint,
        (4, 16, 16),
        (4, 16, 16),
    )
    prepare_output(task, ledger, False)
    ledger.close()
    with pytest.raises(UserError, match="not finished \\(0 of 36 blocks\\)"):
        build(Volume.open(task.output))
    levels = build(source)  # another array of the same run is
    assert not (levels[0].path.parent / ".run/ledger.db").exists()


def test_the_verb(command, tmp_path):
    volume = write(tmp_path / "v.zarr/raw", shape=(4, 70, 130))
    code, out, err = command("pyramid", volume.path, "--workers", 1, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["output"] == str(tmp_path / "v.zarr/raw.ome.zarr")
    assert [row["shape"] for row in told["levels"]] == [[4, 70, 130], [4, 35, 65], [4, 18, 33]]
    assert command("pyramid", volume.path, "--kind", "grey")[0] == 2
    code, _, err = command("pyramid", volume.path, "--set", "execution.launcher=pbs")
    assert (code, "execution.launcher should be 'local', 'serial', 'slurm' or 'lsf', not 'pbs'" in err) == (2, True)
    assert command("pyramid", volume.path, "--set", "execution.launcher=serial", "--set", "fit_vx=64")[0] == 0
    assert command("pyramid", volume.path, "--kind", "labels")[0] == 2  # made otherwise before


def test_ome_zarr_reads_it(tmp_path):
    python = os.environ.get("NEUROADDA_OME_ZARR_PYTHON")
    if python is None:
        pytest.skip("NEUROADDA_OME_ZARR_PYTHON is not set; see tools/export_venvs.sh")
    program = """
import json, sys
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import open_ome_zarr
found = []
for path in sys.argv[1:]:
    kind = type(open_ome_zarr(path, version="0.4")).__name__
    (node,) = [n for n in Reader(parse_url(path))() if n.data]
    sums = [int(level.astype("u8").sum().compute()) for level in node.data]
    found.append([kind, [list(level.shape) for level in node.data], sums, node.metadata["coordinateTransformations"]])
print(json.dumps(found))
"""
    volumes = [
        write(tmp_path / "v.zarr/raw"),
        write(tmp_path / "v.zarr/affs", channels=3),
        write(tmp_path / "v.zarr/segmentation", np.uint64),
    ]
    built = [build(volume) for volume in volumes]
    groups = [str(levels[0].path.parent) for levels in built]
    done = subprocess.run([python, "-c", program, *groups], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    assert [kind for kind, *_ in read] == ["Image", "Image", "ImageLabel"]
    for levels, (_, shapes, sums, transformations) in zip(built, read, strict=True):
        assert shapes == [list(level.data.shape) for level in levels]
        assert sums == [int(level.read().astype(np.uint64).sum()) for level in levels]
        scales = [transformation[0]["scale"][-3:] for transformation in transformations]
        assert scales == [list(level.voxel_size_nm) for level in levels]


@pytest.mark.parametrize("copy", [False, True])
def test_an_edited_volume_gets_its_levels_anew(tmp_path, caplog, copy):
    volume, group = write(tmp_path / "v.zarr/raw"), tmp_path / "v.zarr/raw.ome.zarr"
    volume.data.attrs["fingerprint"] = "of the file that it was imported from"
    build(volume, copy_finest=copy)
    volume.write(volume.roi, volume.read())  # the same again
    build(volume, copy_finest=copy)
    assert not caplog.records
    volume.data[4, 20, 20] ^= 255
    levels = build(volume, copy_finest=copy)
    assert "volume changed (1 of " in caplog.text
    for finer, coarser in pairwise(levels):
        factor = tuple(f // c for f, c in zip(coarser.voxel_size, finer.voxel_size, strict=True))
        assert np.array_equal(coarser.read(), downsample(finer.read(), factor, "mean"))
    assert np.array_equal(levels[0].read(), volume.read())
    assert attributes(group)["multiscales"]
    old = content(group)
    volume.data[4, 20, 20] ^= 255
    build(volume, copy_finest=copy, trust_inputs=True)
    assert {n: b for n, b in content(group).items() if n[0] != "0"} == {n: b for n, b in old.items() if n[0] != "0"}


IDS = [2**64 - 1, 2**64 - 3, 2**32 - 2]


@pytest.mark.parametrize("copy", [False, True], ids=["linked", "copied"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64])
def test_a_level_that_was_edited_is_told_and_made_again(tmp_path, caplog, command, dtype, copy):
    volume = write(tmp_path / "v.zarr/array", dtype)
    levels = build(volume, copy_finest=copy)
    group = tmp_path / "v.zarr/array.ome.zarr"
    before = [level.read() for level in levels]
    instances = [level.attrs.get("instance") for level in levels]
    build(volume, copy_finest=copy)
    assert not caplog.records
    edited = levels[0 if copy else 1]
    Volume.open(edited.path, "r+").data[2, 3, 4] ^= 1
    assert f"level_{edited.path.name} changed (1 of " in command("status", group / ".run")[2]
    forget_warnings()
    caplog.clear()
    build(volume, copy_finest=copy, trust_inputs=True)
    assert not caplog.records
    again = build(volume, copy_finest=copy)
    assert f"{edited.path}: level_{edited.path.name} changed (1 of " in caplog.text
    assert all(np.array_equal(level.read(), was) for level, was in zip(again, before, strict=True))
    made = [level.attrs.get("instance") != was for level, was in zip(again, instances, strict=True)]
    assert made == [level.path == edited.path for level in levels]  # the others are made of the same
    caplog.clear()
    build(volume, copy_finest=copy)
    assert not caplog.records


@pytest.mark.parametrize("reserved", IDS)
def test_a_copy_of_labels_has_no_ids_that_are_no_neurons_at_any_scale(tmp_path, caplog, reserved):
    volume = write(tmp_path / "v.zarr/labels", np.uint64)
    volume.data[2:6, 8:40, 8:30] = reserved
    levels = build(volume, output=str(tmp_path / "copy.zarr"), copy_finest=True)
    ids = volume.read()
    np.testing.assert_array_equal(levels[0].read(), np.where(ids == reserved, 0, ids))
    for level in levels:
        assert level.read().max() < 5
    assert levels[0].attrs["unlabelled_voxels"] == 4 * 32 * 22
    assert f"{4 * 32 * 22} voxels became 0" in caplog.text
    assert build(volume, output=str(tmp_path / "copy.zarr"), copy_finest=True)[0].attrs == levels[0].attrs


def test_a_copy_of_labels_in_place_of_a_link_is_made_anew_as_a_whole(tmp_path):
    volume = write(tmp_path / "v.zarr/labels", np.uint64)
    volume.data[:2] = IDS[0]
    linked = build(volume)
    with pytest.raises(UserError, match="--overwrite"):
        build(volume, copy_finest=True)
    assert linked[0].path.is_symlink()
    assert all(level.read().max() < 5 for level in build(volume, overwrite=True, copy_finest=True))


def test_a_copy_of_an_import_still_says_that_some_was_not_labelled(tmp_path):
    volume = write(tmp_path / "v.zarr/labels", np.uint64)
    volume.data.attrs["unlabelled_voxels"] = 7
    assert build(volume, output=str(tmp_path / "copy.zarr"), copy_finest=True)[0].attrs["unlabelled_voxels"] == 7


def test_level_0_that_is_the_volume_itself_is_not_changed_and_its_ids_are_told(tmp_path, caplog):
    volume = write(tmp_path / "v.zarr/labels", np.uint32)
    volume.data[:2] = 2**32 - 1
    build(volume)
    assert "have id 4294967295 (transparent): shown like a neuron" in caplog.text
    assert volume.read().max() == 2**32 - 1


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
@pytest.mark.parametrize("copy", [False, True])
def test_negative_ids_are_refused_and_nothing_is_written(tmp_path, dtype, copy):
    volume = write(tmp_path / "v.zarr/labels", dtype)
    volume.data[:] = 3
    volume.data[8, 49, 36] = -1
    with pytest.raises(UserError, match=r"there are negative ids \(-1\)"):
        build(volume, kind="labels", copy_finest=copy)
    assert not (tmp_path / "v.zarr/labels.ome.zarr").exists()
