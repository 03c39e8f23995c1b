"""Precomputed volumes, read back by tensorstore and cloud-volume: ids, places, scales, properties."""

import json

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.publishing.precomputed_scales import WritePrecomputed, describe_scales, plan_scales
from neuroadda.publishing.scale_stage import make_scale_tasks
from neuroadda.pyramids.downsampling import downsample
from neuroadda.volumes.arrays import Volume
from tests.publishing import shapes

tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed (pip install neuroadda[publish])")
SMALL = {"chunk_vx": (8, 8, 8), "fit_vx": 16, "meshes": False}


def make_ids(shape=(19, 45, 37), seed=0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 9, [-(-s // 4) for s in shape]).astype(np.uint64)
    ids = small.repeat(4, 0).repeat(4, 1).repeat(4, 2)[: shape[0], : shape[1], : shape[2]]
    return np.where(ids > 6, ids + np.uint64(2**60), ids)


def open_scale(folder, index=0):
    spec = {"driver": "neuroglancer_precomputed", "kvstore": {"driver": "file", "path": f"{folder}/"}}
    return tensorstore.open(spec | {"scale_index": index}, open=True, read=True).result()


def read_scale(folder, index=0):
    """Return [c,] zyx voxels and where they begin."""
    array = open_scale(folder, index)
    return np.asarray(array.read().result()).T, array.domain.inclusive_min[:3][::-1]


@pytest.mark.parametrize("shard_above", [10**6, 20])
@pytest.mark.parametrize("offset_vx", [(0, 0, 0), (3, 5, 2)])
def test_every_scale_is_in_its_place(tmp_path, shard_above, offset_vx):
    ids, size = make_ids(), np.array([30.0, 4.6, 4.6])
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", ids, tuple(size), tuple(offset_vx * size))
    out = shapes.publish(volume, tmp_path / "out", shard_above=shard_above, **SMALL)
    folder = out / "precomputed/segmentation"
    info = json.loads((folder / "info").read_text())
    assert (info["type"], info["data_type"], info["@type"]) == (
        "segmentation",
        "uint64",
        "neuroglancer_multiscale_volume",
    )
    assert any("sharding" in scale for scale in info["scales"]) == (shard_above == 20)
    finer, begin = read_scale(folder)
    assert tuple(begin) == offset_vx
    assert np.array_equal(finer[0], ids)
    finer = finer[0]
    assert [scale["resolution"] for scale in info["scales"][:2]] == [[4.6, 4.6, 30], [9.2, 9.2, 30]]
    for index in range(1, len(info["scales"])):
        coarser, first = read_scale(folder, index)
        sizes = [np.array(info["scales"][i]["resolution"])[::-1] for i in (index - 1, index)]
        factor = np.rint(sizes[1] / sizes[0]).astype(int)
        assert tuple(first) == tuple(np.array(begin) // factor)
        lead = [(b - f * s, 0) for b, f, s in zip(begin, first, factor, strict=True)]
        expected = downsample(np.pad(finer, lead, mode="edge"), tuple(factor), "mode")
        assert np.array_equal(coarser[0], expected)
        finer, begin = coarser[0], first
    assert max(finer.shape) <= 16


def test_shards_are_the_same_volume_in_few_files(tmp_path):
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", make_ids((40, 70, 66)))
    single = shapes.publish(volume, tmp_path / "single", **SMALL) / "precomputed/segmentation"
    shards = shapes.publish(volume, tmp_path / "shards", shard_above=20, **SMALL) / "precomputed/segmentation"
    assert np.array_equal(read_scale(single)[0], read_scale(shards)[0])
    files = [len(list(folder.glob("8_8_8/*"))) - 1 for folder in (single, shards)]
    assert files[0] == 5 * 9 * 9
    assert files[1] <= 2 * 3 * 3


def test_cloud_volume_reads_ids_meshes_and_skeletons_in_their_places(tmp_path):
    cloudvolume = pytest.importorskip("cloudvolume", reason="cloud-volume is not installed")
    pytest.importorskip("zmesh", reason="zmesh is not installed (pip install neuroadda[publish])")
    mask = shapes.make_ball()
    ids, offset = np.where(mask, shapes.BALL, 0).astype(np.uint64), np.array([40, 16, 24])
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", ids, (10, 8, 8), tuple(offset))
    for name, above in (("single", 10**6), ("shards", 20)):
        options = {"chunk_vx": (16, 16, 16), "fit_vx": 32, "skeletons": True, "shard_above": above}
        out = shapes.publish(volume, tmp_path / name, **options)
        # A shard has no chunks of zeros, which cloud-volume is to be told.
        read = cloudvolume.CloudVolume(
            f"precomputed://file://{out}/precomputed/segmentation", progress=False, fill_missing=True
        )
        assert np.array_equal(np.asarray(read[:])[..., 0].T, ids)
        assert read.bounds.minpt.tolist() == [3, 2, 4]
        mesh = read.mesh.get(shapes.BALL)
        mesh = mesh[shapes.BALL] if isinstance(mesh, dict) else mesh
        inside = np.argwhere(mask)
        assert np.allclose(mesh.vertices.min(axis=0)[::-1], offset + inside.min(axis=0) * [10, 8, 8], atol=10)
        skeleton = read.skeleton.get(shapes.BALL)
        assert len(skeleton.radius) == len(skeleton.vertices) > 0
        middle = skeleton.vertices[np.argmax(skeleton.radius)]
        assert np.allclose(middle[::-1], offset + (inside.mean(axis=0) + 0.5) * [10, 8, 8], atol=15)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint8, None), (np.float32, 3), (np.uint16, None)])
def test_images_keep_voxels_channels_and_types(tmp_path, dtype, channels):
    lead = () if channels is None else (channels,)
    values = (np.random.default_rng(0).random((*lead, 13, 30, 21)) * 255).astype(dtype)
    volume = Volume.create(
        tmp_path / "v.zarr/i", (13, 30, 21), (8, 8, 8), dtype, channels=channels, offset_nm=(8, 0, 16)
    )
    volume.write(volume.roi, values)
    scales = plan_scales("affs" if channels else "raw", volume, volume, (8, 8, 8), 16, 8)
    write_scales(volume, scales, tmp_path / "out")
    found, begin = read_scale(tmp_path / "out")
    assert tuple(begin) == (1, 0, 2)
    assert np.array_equal(found if channels else found[0], values)
    assert open_scale(tmp_path / "out").dtype.numpy_dtype == dtype


def write_scales(volume, scales, folder):
    from neuroadda.blockwise.engine import run_task

    for task in make_scale_tasks(WritePrecomputed, scales, {"source": (volume.path, volume.fingerprint)}, folder):
        run_task(task, f"sqlite:///{folder}/ledger.db", shapes.SERIAL, folder / "logs")
    (folder / "info").write_text(json.dumps(describe_scales(scales)))


def test_properties_say_size_and_box(tmp_path):
    ids = np.zeros((20, 24, 28), np.uint64)
    ids[2:19, 3:20, 4:9] = 5
    ids[10:12, 21:23, 20:27] = 2**50
    ids[0, 0, 0] = 1
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", ids, (30, 4, 4), (60, 0, 8))
    out = shapes.publish(volume, tmp_path / "out", min_size=5, meshes=False)
    told = json.loads((out / "precomputed/segmentation/segment_properties/info").read_text())
    assert told["@type"] == "neuroglancer_segment_properties"
    assert told["inline"]["ids"] == ["5", str(2**50)]
    values = {p["id"]: p["values"] for p in told["inline"]["properties"]}
    assert values["voxels"] == [17 * 17 * 5, 2 * 2 * 7]
    assert values["size_nm3"] == [17 * 17 * 5 * 480, 28 * 480]
    assert (values["x_begin_nm"], values["x_end_nm"]) == ([24, 88], [44, 116])
    assert (values["z_begin_nm"], values["z_end_nm"]) == ([120, 360], [630, 420])


def test_ids_that_say_nothing_is_labelled_are_background(tmp_path):
    ids = np.ones((16, 16, 16), np.uint64)
    ids[4:] = 2**64 - 3
    volume = shapes.write_segmentation(tmp_path / "v.zarr/s", ids)
    found, _ = read_scale(shapes.publish(volume, tmp_path / "out", **SMALL) / "precomputed/segmentation")
    assert np.array_equal(found[0], np.where(ids == 1, 1, 0))


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path):
    ids = np.ones((16, 16, 16), np.uint64)
    between = shapes.write_segmentation(tmp_path / "v.zarr/between", ids, (8, 8, 8), (3, 0, 0))
    image = shapes.write_segmentation(tmp_path / "v.zarr/image", ids.astype(np.uint8))
    fine = shapes.write_segmentation(tmp_path / "v.zarr/fine", ids)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("mine")
    for volume, options, message in (
        (between, {}, "not a whole number of voxels"),
        (image, {}, "no segmentation: uint8"),
        (fine, {"to": ("pre",)}, "'pre' is no format"),
        (fine, {"to": ("parquet",)}, "not the folder of one"),
        (fine, {"affs": True}, "not the folder of one"),
        (fine, {"output": str(tmp_path / "full")}, "something lies here already"),
    ):
        with pytest.raises(UserError, match=message):
            shapes.publish(volume, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
