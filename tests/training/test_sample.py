"""What a sample serves, and what is refused as a sample."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gunpowder as gp
import numpy as np
import pytest
from scipy import ndimage

from neuroadda.config import dump_config, parse_config
from neuroadda.errors import UserError
from neuroadda.training.sample import LABELS, MASK, RAW, RandomSample, erode, open_sample
from neuroadda.training.sample_config import SampleConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.coverage.no_data_mask import write_no_data_mask

SHAPE = (14, 64, 64)


def serve(config: SampleConfig, output: tuple[int, int, int], context: int, seed: int) -> dict[str, np.ndarray]:
    source = RandomSample(open_sample(config, output), output)
    request = gp.BatchRequest(random_seed=seed)
    request.add(RAW, tuple(o + 2 * context for o in output))
    request.add(LABELS, output)
    request.add(MASK, output)
    with gp.build(source):
        batch = source.request_batch(request)
    return {str(key): batch[key].data for key in (RAW, LABELS, MASK)}


def sample_of(volumes: Path, **changes: Any) -> SampleConfig:
    return SampleConfig(**{"raw": str(volumes / "raw"), "labels": str(volumes / "labels"), **changes})


def test_places_lie_inside_and_raw_is_mirrored_outside(volumes: Path, cells: np.ndarray) -> None:
    grey = (40 + 5 * np.unique(cells, return_inverse=True)[1].reshape(SHAPE)).astype(np.uint8)
    mirrored = np.pad(grey, 5, mode="reflect")
    seen = set()
    for seed in range(12):
        got = serve(sample_of(volumes), (10, 24, 24), 5, seed)
        assert got["MASK"].all()
        raw = np.round(got["RAW"] * 255).astype(np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(mirrored, raw.shape)
        places = np.argwhere((windows[..., 0, 0, :] == raw[0, 0]).all(3))  # those whose first row it is
        places = places[[(windows[tuple(place)] == raw).all() for place in places]]
        assert len(places) >= 1
        z, y, x = places[0]
        truth = cells[z : z + 10, y : y + 24, x : x + 24]
        # renumbered, but the same partition
        assert len(np.unique(np.stack([truth.ravel(), got["LABELS"].ravel()]), axis=1).T) == len(np.unique(truth))
        assert len(np.unique(got["LABELS"])) == len(np.unique(truth))
        seen.add((z, y, x))
    assert len(seen) > 6


def test_black_teaches_nothing_and_is_not_seen(tmp_path: Path, write_volume: Callable[..., Path]) -> None:
    tissue = np.random.default_rng(0).integers(40, 250, (10, 96, 96), np.uint8)
    black = tissue.copy()
    black[:, :, 56:] = 0
    paths = {
        name: str(write_volume(tmp_path / "v.zarr" / name, voxels))
        for name, voxels in (("raw", black), ("all", tissue))
    }
    labels = str(
        write_volume(
            tmp_path / "v.zarr/labels", np.arange(96, dtype=np.uint64).repeat(960).reshape(10, 96, 96) // 9 + 1
        )
    )
    mask = write_no_data_mask(Volume.open(paths["raw"]), tmp_path / "m.zarr/mask")
    by_hand = serve(SampleConfig(raw=paths["raw"], labels=labels, no_data=str(mask.path)), (4, 40, 40), 4, 0)
    shares = set()
    for seed in range(12):
        got = serve(SampleConfig(raw=paths["raw"], labels=labels), (4, 40, 40), 4, seed)
        none = serve(SampleConfig(raw=paths["raw"], labels=labels, no_data="none"), (4, 40, 40), 4, seed)
        if seed == 0:
            assert all((got[key] == by_hand[key]).all() for key in got)
        assert (got["RAW"] > 0).all()
        shares.add(round(float(got["MASK"].mean()), 3))
        if got["MASK"].all() and (none["RAW"] > 0).all():
            assert (none["RAW"] == got["RAW"]).all()
        untouched = serve(SampleConfig(raw=paths["all"], labels=labels), (4, 40, 40), 4, seed)
        left_as_it_is = serve(SampleConfig(raw=paths["all"], labels=labels, no_data="none"), (4, 40, 40), 4, seed)
        assert all((untouched[key] == left_as_it_is[key]).all() for key in untouched)
    assert min(shares) > 0.1
    assert len(shares) > 2


def test_what_is_trained_is_the_same_training_as_before_the_setting() -> None:
    sample = SampleConfig(raw="raw", labels="labels")
    assert "no_data" not in dump_config(sample)
    assert dump_config(sample.model_copy(update={"no_data": "none"}))["no_data"] == "none"
    assert parse_config(SampleConfig, dump_config(sample), "test") == sample


def test_a_sample_serves_what_array_source_reads_there(volumes: Path) -> None:
    sample = open_sample(sample_of(volumes), (4, 24, 24))
    key, request = gp.ArrayKey("FUNLIB"), gp.BatchRequest()
    for seed in range(3):
        got = serve(sample.config, (4, 24, 24), 0, seed)
        np.random.seed(seed)  # noqa: NPY002 (as gunpowder does with the request's seed)
        first_vx = RandomSample(sample, (4, 24, 24)).place() - gp.Coordinate(2, 12, 12)
        voxel_size = sample.raw.voxel_size
        roi = gp.Roi(sample.raw.roi.begin + first_vx * voxel_size, voxel_size * gp.Coordinate(4, 24, 24))
        for volume, name in ((sample.raw, "RAW"), (sample.labels, "LABELS")):
            request[key] = gp.ArraySpec(roi)
            with gp.build(gp.ArraySource(key, volume.array, interpolatable=name == "RAW")) as source:
                read = source.request_batch(request)[key].data
            if name == "RAW":
                np.testing.assert_array_equal(got[name], read.astype(np.float32) / np.float32(255))
            else:  # renumbered, but the same partition
                pairs = np.unique(np.stack([got[name].ravel(), read.ravel().astype(np.int64)]), axis=1)
                assert pairs.shape[1] == len(np.unique(read)) == len(np.unique(got[name]))


def test_what_lies_outside_of_the_labels_is_masked(volumes: Path) -> None:
    roi = {"offset_nm": (480.0, 240.0, 240.0), "shape_nm": (400.0, 192.0, 192.0)}
    source = RandomSample(open_sample(sample_of(volumes, roi=roi), (10, 24, 24)), (10, 24, 24))
    request = gp.BatchRequest(random_seed=0)
    request.add(MASK, (12, 26, 26))
    with gp.build(source):
        mask = source.request_batch(request)[MASK].data
    assert mask[1:-1, 1:-1, 1:-1].all()
    assert mask.sum() == 10 * 24 * 24


def test_ignored_background_is_masked(volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray) -> None:
    partly = cells.copy()
    partly[:, :40] = 0
    write_volume(volumes / "partly", partly)
    found = 0
    for seed in range(6):
        got = serve(sample_of(volumes, labels=str(volumes / "partly"), background="ignore"), (4, 24, 24), 2, seed)
        np.testing.assert_array_equal(got["MASK"], got["LABELS"] > 0)
        assert got["MASK"].mean() > 0.1
        found += got["MASK"].mean() < 1
    assert found
    write_volume(volumes / "nothing", np.zeros_like(cells))
    empty = open_sample(sample_of(volumes, mask=str(volumes / "nothing")), (4, 24, 24))
    with pytest.raises(UserError, match="none has labels"):
        RandomSample(empty, (4, 24, 24)).place()


def test_who_is_to_blame_for_a_sample_without_places(
    tmp_path: Path, write_volume: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroadda.training.sample.TRIES", 20)
    tissue = np.random.default_rng(0).integers(40, 250, (10, 24, 24), np.uint8)
    black, white, stripe = tissue * 0, tissue * 0 + 255, tissue.copy()
    stripe[:, :, 1:] = 0
    labels = write_volume(tmp_path / "v.zarr/labels", np.full(tissue.shape, 3, np.uint64))
    for name, raw in (("black", black), ("white", white), ("stripe", stripe)):
        path = str(write_volume(tmp_path / "v.zarr" / name, raw))
        sample = open_sample(SampleConfig(raw=path, labels=str(labels)), (4, 16, 16))
        with pytest.raises(UserError, match="none has data in raw") as caught:
            RandomSample(sample, (4, 16, 16)).place()
        assert caught.value.where == path
    path = str(write_volume(tmp_path / "v.zarr/raw", tissue))
    mask = write_volume(tmp_path / "v.zarr/mask", np.zeros(tissue.shape, np.uint8))
    sample = open_sample(SampleConfig(raw=path, labels=str(labels), mask=str(mask)), (4, 16, 16))
    with pytest.raises(UserError, match="none has labels inside its mask") as caught:
        RandomSample(sample, (4, 16, 16)).place()
    assert caught.value.where == str(mask)


@pytest.mark.parametrize("only_yx", [True, False])
def test_erode_is_the_erosion_of_every_label(cells: np.ndarray, only_yx: bool) -> None:
    labels = np.unique(cells, return_inverse=True)[1].reshape(SHAPE).astype(np.uint32)
    cross = ndimage.generate_binary_structure(3, 1)
    if only_yx:
        cross[[0, 2]] = False
    for steps in (0, 1, 2):
        expected = np.zeros_like(labels)
        for label in range(1, labels.max() + 1):
            inside = labels == label
            if steps:
                inside = ndimage.binary_erosion(inside, cross, iterations=steps, border_value=1)
            expected[inside] = label
        np.testing.assert_array_equal(erode(labels, steps, np.ones_like(labels), only_yx), expected)


def test_labels_are_not_eroded_towards_the_unknown() -> None:
    labels = np.repeat([1, 1, 1, 0, 0, 2, 2, 2, 2], 9).reshape(9, 3, 3).astype(np.uint32)
    known = (labels > 0).astype(np.uint8)
    np.testing.assert_array_equal(erode(labels, 1, known, False), labels)
    np.testing.assert_array_equal(erode(labels, 1, np.ones_like(known), False)[:, 0, 0], [1, 1, 0, 0, 0, 0, 2, 2, 2])


def test_bad_samples_are_refused(volumes: Path, write_volume: Callable[..., Path], cells: np.ndarray) -> None:
    def refuse(match: str, **changes: Any) -> None:
        with pytest.raises(UserError, match=match):
            open_sample(sample_of(volumes, **changes), (4, 24, 24))

    write_volume(volumes / "float", cells.astype(np.float32))
    write_volume(volumes / "coarse", cells, voxel_size_nm=(40.0, 4.0, 4.0))
    write_volume(volumes / "shifted", cells[:, :-1], offset_nm=(400.0, 84.0, 80.0))
    write_volume(volumes / "larger", np.pad(cells, 1))
    write_volume(volumes / "small", cells[:3])
    refuse("no array here", raw=str(volumes / "nowhere"))
    refuse("raw is float32", raw=str(volumes / "float"))
    refuse("this is float32", labels=str(volumes / "float"))
    refuse("voxel size", labels=str(volumes / "coarse"))
    refuse("grid is shifted", labels=str(volumes / "shifted"))
    refuse("not inside raw", labels=str(volumes / "larger"))
    refuse("smaller than output_shape_vx", labels=str(volumes / "small"))
    refuse(r"labels: .* is outside the volume", roi={"offset_nm": (0.0, 80.0, 80.0), "shape_nm": (400.0, 400.0, 400.0)})
