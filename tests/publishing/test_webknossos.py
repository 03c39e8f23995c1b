"""Data sets of WEBKNOSSOS, read back: ids, places, scales, mappings, edits; killed and resumed."""

import json
from pathlib import Path

import numpy as np
import pytest

import neuroadda as na
from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.errors import UserError
from neuroadda.publishing import agglomerates, mapping_stage
from neuroadda.publishing.fragment_numbers import find_places
from neuroadda.publishing.mags import WriteMag, plan_mags
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.publishing.scale_stage import make_scale_tasks
from neuroadda.pyramids.downsampling import downsample
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.edges import read_edges
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, segment_volume
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.identity.derived import find_stale
from tests.publishing import datasets, shapes
from tests.publishing.killing import publish_until_killed
from tests.segmentation.synthetic import VOXEL_SIZE_NM, configure, write_inputs

pytest.importorskip("tensorstore", reason="tensorstore is not installed (pip install neuroadda[publish])")
SHAPE = (13, 70, 77)
SMALL = {"to": ("webknossos",), "chunk_vx": (4, 8, 8), "fit_vx": 16, "execution": shapes.SERIAL}
ROOT = Path(na.__file__).parents[1]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"), SHAPE)


def segment(inputs: Path, output: Path, **options) -> Plan:
    return segment_volume(configure(inputs, output, **({"block_vx": (5, 32, 40)} | options)))


@pytest.fixture(scope="module")
def plan(inputs):
    return segment(inputs, inputs / "run")


def publish(plan: Plan, folder: Path, overwrite=False, **options) -> Path:
    """Return the folder of the data set."""
    given = {"run": plan.config.output, "output": str(folder), **SMALL}
    return publish_run(PublishConfig(**(given | options)), overwrite=overwrite) / "webknossos"


def read(plan: Plan, stage: str) -> np.ndarray:
    return Volume.open(plan.output(stage)).read()


def apply_mapping(dataset: Path, name: str) -> np.ndarray:
    """Return the layer of fragments as the mapping has it."""
    return datasets.read_mapping(dataset, name)["segment_to_agglomerate"][datasets.read_finest(dataset, "fragments")]


def test_volumes_ids_and_places_are_those_of_the_run(plan, tmp_path):
    dataset = publish(plan, tmp_path / "out")
    told = json.loads((dataset / "datasource-properties.json").read_text())
    assert told["scale"] == {"factor": [6, 6, 30], "unit": "nanometer"}
    assert told["version"] == 1
    layers, fragments = datasets.read_layers(dataset), read(plan, "fragments")
    assert [(layer["category"], layer["elementClass"]) for layer in layers.values()] == [
        ("color", "uint8"),
        ("segmentation", "uint32"),
    ]
    for layer in layers.values():
        begin, shape = datasets.read_box(layer)
        assert (begin.tolist(), tuple(shape)) == ([2, 2, 0], SHAPE)
    assert np.array_equal(datasets.read_finest(dataset, "raw"), Volume.open(plan.config.raw).read())
    dense = datasets.read_finest(dataset, "fragments")
    pairs = np.unique(np.stack([dense[fragments > 0], fragments[fragments > 0]]), axis=1)
    assert not dense[fragments == 0].any()
    count = len(np.unique(fragments[fragments > 0]))
    assert pairs[0].tolist() == list(range(1, count + 1))  # dense, each for one fragment, in the order of their ids
    assert (np.diff(pairs[1].astype(np.int64)) > 0).all()
    assert layers["fragments"]["largestSegmentId"] == count
    assert apply_mapping(dataset, "threshold_0.15").tobytes() == read(plan, "relabel").tobytes()
    assert layers["fragments"]["defaultViewConfiguration"]["mapping"]["name"] == "threshold_0.15"
    assert not find_stale(plan.output("relabel"))


def test_every_threshold_is_a_mapping_and_the_segmentation_of_a_run_with_it(plan, inputs, tmp_path):
    dataset = publish(plan, tmp_path / "out", thresholds=(0.05, 0.15, 0.4))
    ids, begin = datasets.read_finest(dataset, "fragments"), np.array([2, 2, 0])
    for threshold in (0.05, 0.15, 0.4):
        other = segment(inputs, tmp_path / f"run{threshold}", components=Threshold(threshold=threshold))
        assert apply_mapping(dataset, f"threshold_{threshold}").tobytes() == read(other, "relabel").tobytes()
        datasets.check_mapping(datasets.read_mapping(dataset, f"threshold_{threshold}"), ids, begin)
    publish(plan, tmp_path / "out")
    assert [path.name for path in (dataset / "fragments/agglomerates").iterdir()] == ["threshold_0.15"]


def test_edges_are_those_of_the_graph_with_their_affinities(plan, tmp_path):
    dataset = publish(plan, tmp_path / "out")
    mapping = datasets.read_mapping(dataset, "threshold_0.15")
    dense, fragments = datasets.read_finest(dataset, "fragments"), read(plan, "fragments")
    number = dict(zip(fragments.ravel().tolist(), dense.ravel().tolist(), strict=True))
    to = mapping["segment_to_agglomerate"]
    expected = {}
    for block in range(len(plan.task("edges").grid)):
        edges = read_edges(plan.folder("edges"), block)
        for u, v, mean in zip(edges.u.tolist(), edges.v.tolist(), edges.mean.tolist(), strict=True):
            if to[number[u]] == to[number[v]] > 0:
                expected[tuple(sorted((number[u], number[v])))] = np.float32(mean)
    found = {}
    for one in range(1, len(mapping["agglomerate_to_edges_offsets"]) - 1):
        first, last = mapping["agglomerate_to_edges_offsets"][one : one + 2]
        members = mapping["agglomerate_to_segments"][mapping["agglomerate_to_segments_offsets"][one] :]
        for (a, b), affinity in zip(
            mapping["agglomerate_to_edges"][first:last], mapping["agglomerate_to_affinities"][first:last], strict=True
        ):
            found[int(members[a]), int(members[b])] = affinity
    assert len(expected) > 100
    assert found == expected


def test_small_parts_give_the_same_arrays(plan, tmp_path, monkeypatch):
    whole = publish(plan, tmp_path / "whole")
    for name, value in (("EDGES_AT_ONCE", 7), ("ROWS_AT_ONCE", 50), ("CHUNK_BYTES", 16), ("CHUNK_BYTES_OF_OFFSETS", 8)):
        monkeypatch.setattr(mapping_stage if hasattr(mapping_stage, name) else agglomerates, name, value)
    parts = publish(plan, tmp_path / "parts")
    assert len(list(parts.glob("fragments/agglomerates/*/segment_to_agglomerate/c/*"))) > 2
    one, other = (datasets.read_mapping(dataset, "threshold_0.15") for dataset in (whole, parts))
    for array in datasets.ARRAYS:
        assert np.array_equal(one[array], other[array]), array


@pytest.mark.parametrize("offset_vx", [(0, 0, 0), (3, 5, 2), (21, 33, 70)])
@pytest.mark.parametrize(
    ("dtype", "size"), [(np.uint8, (30, 4.6, 4.6)), (np.float32, (8, 8, 8)), (np.int16, (4, 9, 4))]
)
def test_every_magnification_is_in_its_place(tmp_path, offset_vx, dtype, size):
    values = (np.random.default_rng(0).random((19, 45, 37)) * 200).astype(dtype)
    volume = shapes.write_segmentation(tmp_path / "v.zarr/i", values, size, tuple(np.array(offset_vx) * size))
    mags = plan_mags("raw", str(volume.dtype), volume, volume, (4, 8, 8), 8)
    for task in make_scale_tasks(WriteMag, mags, {"source": (volume.path, volume.fingerprint)}, tmp_path / "raw"):
        run_task(task, f"sqlite:///{tmp_path}/ledger.db", Execution(launcher="serial"), tmp_path / "logs")
    finer, begin, before = values, np.array(offset_vx), np.ones(3, int)
    for mag in mags:
        (tmp_path / "raw" / mag.key / "zarr.json").write_text(json.dumps(mag.metadata))
        found = datasets.read_array(tmp_path / "raw" / mag.key)[0].T
        factor = np.array(mag.mag) // before
        first = begin // factor
        lead = [(b - f * s, 0) for b, f, s in zip(begin, first, factor, strict=True)]
        finer = downsample(np.pad(finer, lead, mode="edge"), tuple(factor), "mean")
        assert np.array_equal(found[tuple(slice(f, None) for f in first)], finer)
        outside = np.ones(found.shape, bool)
        outside[tuple(slice(f, None) for f in first)] = False
        assert not found[outside].any()
        begin, before = first, np.array(mag.mag)
    assert max(finer.shape) <= 8


def test_magnifications_of_ids_are_the_most_frequent_ones(plan, tmp_path):
    dataset = publish(plan, tmp_path / "out")
    layer = datasets.read_layers(dataset)["fragments"]
    assert [mag["mag"] for mag in layer["mags"]][:3] == [[1, 1, 1], [2, 2, 1], [4, 4, 1]]
    finer, _ = datasets.read_mag(dataset, layer)
    finer, begin = finer[2:, 2:], np.array([2, 2, 0])
    for index, mag in enumerate(layer["mags"][1:], start=1):
        factor = np.array(mag["mag"][::-1]) // layer["mags"][index - 1]["mag"][::-1]
        first = begin // factor
        lead = [(b - f * s, 0) for b, f, s in zip(begin, first, factor, strict=True)]
        finer = downsample(np.pad(finer, lead, mode="edge"), tuple(factor), "mode")
        found, _ = datasets.read_mag(dataset, layer, index)
        assert np.array_equal(found[tuple(slice(f, None) for f in first)], finer)
        begin = first


@pytest.mark.parametrize(
    ("shape", "size"), [((300, 9, 9), (40, 4, 4)), ((64, 64, 64), (1.42, 1.4, 1)), ((1, 90, 90), (5, 5, 5))]
)
def test_no_two_magnifications_that_are_named_have_the_same_largest_factor(tmp_path, shape, size):
    from neuroadda.publishing.webknossos import _describe_layer

    volume = shapes.write_segmentation(tmp_path / "v.zarr/i", np.zeros(shape, np.uint8), size)
    mags = plan_mags("raw", "uint8", volume, volume, (8, 8, 8), 4)
    named = [mag["mag"] for mag in _describe_layer(mags, "color")["mags"]]
    assert [max(mag) for mag in named] == [2**power for power in range(len(named))]


@pytest.mark.system
def test_corrections_are_a_mapping_and_the_volumes_stay(inputs, tmp_path):
    plan = segment(inputs, tmp_path / "run")
    before, ids = read(plan, "relabel"), read(plan, "fragments")
    dataset = publish(plan, tmp_path / "out", thresholds=(0.3,))
    times = {path: path.stat().st_mtime_ns for path in dataset.rglob("*") if "/c/" in path.as_posix()}
    known, index = np.unique(ids, return_index=True)
    segment_of = dict(zip(known.tolist(), before.ravel()[index].tolist(), strict=True))
    sizes = np.bincount(before[before > 0].astype(int))
    largest = int(np.argmax(sizes))
    inside = [f for f, s in segment_of.items() if s == largest]
    outside = [f for f, s in segment_of.items() if s not in (0, largest)]
    na.add_edit(tmp_path / "run", "split", inside[0], inside[-1], who="ann")
    na.add_edit(tmp_path / "run", "merge", outside[0], outside[-1], who="ann")  # that do not touch each other
    na.apply_edits(tmp_path / "run")
    corrected = read(plan, "relabel")
    assert not np.array_equal(corrected, before)
    publish(plan, tmp_path / "out", thresholds=(0.3,))
    assert apply_mapping(dataset, "corrected").tobytes() == corrected.tobytes()
    assert apply_mapping(dataset, "threshold_0.15").tobytes() == before.tobytes()
    assert {
        path: path.stat().st_mtime_ns for path in times
    } == times  # volumes and other mappings are not written again
    layer = datasets.read_layers(dataset)["fragments"]
    assert [one["name"] for one in layer["attachments"]["agglomerates"]] == [
        "corrected",
        "threshold_0.15",
        "threshold_0.3",
    ]
    assert layer["defaultViewConfiguration"]["mapping"]["name"] == "corrected"
    mapping = datasets.read_mapping(dataset, "corrected")
    datasets.check_mapping(mapping, datasets.read_finest(dataset, "fragments"), np.array([2, 2, 0]))
    assert mapping["agglomerate_to_affinities"].max() == 1
    na.undo_edit(tmp_path / "run", 1)
    na.apply_edits(tmp_path / "run")
    publish(plan, tmp_path / "out")  # other edits need no --overwrite
    assert apply_mapping(dataset, "corrected").tobytes() == read(plan, "relabel").tobytes()
    na.undo_edit(tmp_path / "run", 2)
    na.apply_edits(tmp_path / "run")
    publish(plan, tmp_path / "out")
    assert not (dataset / "fragments/agglomerates/corrected").exists()
    fresh = publish(plan, tmp_path / "fresh/out")
    assert shapes.list_files(dataset) == shapes.list_files(fresh)


def test_ids_are_for_formats_that_have_parts_of_single_segments(inputs, tmp_path):
    plan = segment(inputs, tmp_path / "run")
    with pytest.raises(UserError, match=r"no format that is asked for \(webknossos\) has parts of single segments"):
        publish(plan, tmp_path / "out", ids=(1,))
    assert not (tmp_path / "out").exists()


def test_other_fragments_are_refused_until_they_are_to_replace_what_is_there(inputs, tmp_path):
    first = segment(inputs, tmp_path / "run")
    dataset = publish(first, tmp_path / "out", thresholds=(0.3,))
    other = first.config.model_copy(update={"fragments": Fragments(seed_distance_vx=6, boundary=0.5)})
    again = segment_volume(other, overwrite=True)
    assert str(tmp_path / "out/webknossos") in find_stale(again.output("relabel"))
    with pytest.raises(UserError, match="made with other parameters or inputs"):
        publish(again, tmp_path / "out")
    publish(again, tmp_path / "out", overwrite=True)
    assert apply_mapping(dataset, "threshold_0.15").tobytes() == read(again, "relabel").tobytes()
    publish(again, tmp_path / "fresh/out")
    assert shapes.list_files(tmp_path / "out") == shapes.list_files(tmp_path / "fresh/out")


@pytest.mark.parametrize("name", ["min_voxels", "no_data", "mask"])
def test_what_is_in_no_segment_is_in_none_in_the_mapping(inputs, tmp_path, name):
    options = {}
    raw = Volume.open(inputs / "raw.zarr/raw")
    if name == "min_voxels":
        options["components"] = Threshold(threshold=0.15, min_voxels=150)
    else:
        seen = np.ones(SHAPE, np.uint8)
        seen[6] = 0
        seen[:, :32, :40] = 0
        place = tmp_path / "seen.zarr/seen"
        Volume.create(place, SHAPE, VOXEL_SIZE_NM, np.uint8, offset_nm=raw.offset_nm).write(raw.roi, seen)
        options[name] = str(place)
    plan = segment(inputs, tmp_path / "run", **options)
    dataset = publish(plan, tmp_path / "out", thresholds=(0.3,))
    segmentation = read(plan, "relabel")
    assert (segmentation == 0).any()
    assert apply_mapping(dataset, "threshold_0.15").tobytes() == segmentation.tobytes()
    ids = datasets.read_finest(dataset, "fragments")
    datasets.check_mapping(datasets.read_mapping(dataset, "threshold_0.15"), ids, np.array([2, 2, 0]))


@pytest.mark.parametrize("scoring", ["waterz:mean", "quantile_75"])
def test_agglomerates_of_other_scorings_hang_together(inputs, tmp_path, scoring):
    plan = segment(inputs, tmp_path / "run", agglomerate=Agglomerate(scoring=scoring))
    dataset = publish(plan, tmp_path / "out", thresholds=(0.3,))
    assert apply_mapping(dataset, "threshold_0.15").tobytes() == read(plan, "relabel").tobytes()
    for name in ("threshold_0.15", "threshold_0.3"):
        mapping, ids = datasets.read_mapping(dataset, name), datasets.read_finest(dataset, "fragments")
        datasets.check_mapping(mapping, ids, np.array([2, 2, 0]))


def test_a_run_that_found_nothing_is_a_data_set(inputs, tmp_path):
    plan = segment(inputs, tmp_path / "run", fragments=Fragments(method="seeds", min_affinity=0.99))
    assert not read(plan, "fragments").any()
    dataset = publish(plan, tmp_path / "out")
    assert not apply_mapping(dataset, "threshold_0.15").any()
    assert datasets.read_layers(dataset)["fragments"]["largestSegmentId"] == 0


def test_a_place_is_a_voxel_near_the_middle():
    numbers = np.zeros((3, 9, 9), np.int64)
    numbers[1, 1:8, 1:8] = 2
    numbers[1, 3:6, 3:6] = 0  # a ring: the middle is outside
    numbers[0, 0, 0] = 1
    numbers[2, :, 4] = 3
    hidden = np.zeros(numbers.shape, bool)
    hidden[0], hidden[2, 3:6] = True, True
    places = find_places(numbers, hidden, (1, 1, 1))
    assert places.tolist() == [[0, 0, 0], [1, 2, 4], [2, 2, 4]]
    assert find_places(numbers, ~hidden, (1, 1, 1))[2].tolist() == [2, 4, 4]
    assert find_places(np.zeros((2, 2, 2), np.int64), np.zeros((2, 2, 2), bool), (1, 1, 1)).shape == (0, 3)


@pytest.fixture(scope="module")
def expected(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    publish(plan, folder / "out", thresholds=(0.3,))
    return shapes.list_files(folder / "out")


@pytest.mark.system
@pytest.mark.parametrize(
    ("module", "function", "limit"),
    [
        ("fragment_numbers", "find_places", 3),
        ("fragment_numbers", "read_columns", 8),
        ("scale_stage", "downsample", 200),
        ("mags", "read_ids", 0),
        ("mapping_stage", "_write_offsets", 0),
        ("agglomerates", "read_edges", 30),
        ("mapping_stage", "_write_offsets", 3),
    ],
)
def test_a_killed_publication_goes_on_to_the_same_files(plan, expected, tmp_path, module, function, limit):
    config = PublishConfig(run=plan.config.output, output=str(tmp_path / "out"), thresholds=(0.3,), **SMALL)
    publish_until_killed(config, module, function, limit)
    assert not (tmp_path / "out/webknossos/datasource-properties.json").exists()  # nothing is taken for whole
    publish_run(config)
    found = shapes.list_files(tmp_path / "out")
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.system
def test_any_number_of_workers_gives_the_same_files_and_deleted_ones_are_written_again(plan, expected, tmp_path):
    options = {"thresholds": (0.3,), "execution": Execution(workers=3)}
    dataset = publish(plan, tmp_path / "out", **options)
    assert shapes.list_files(tmp_path / "out") == expected
    for name in ("raw/1/c/0/0/0/0", "fragments/2-2-1/zarr.json", "fragments/agglomerates/threshold_0.3/zarr.json"):
        (dataset / name).unlink()
    next(dataset.glob("fragments/agglomerates/threshold_0.15/agglomerate_to_edges/c/*/*")).unlink()
    publish(plan, tmp_path / "out", **options)
    assert shapes.list_files(tmp_path / "out") == expected


def test_what_cannot_be_written_is_refused_before_anything_is(plan, inputs, tmp_path, monkeypatch, command):
    ids = shapes.write_segmentation(tmp_path / "v.zarr/s", np.ones((16, 16, 16), np.uint64))
    run = plan.config.output
    for given, message in (
        ({"run": str(ids.path)}, "not the folder of one"),
        ({"thresholds": (0.2, 0.96)}, r"threshold 0.96 is above segment.agglomerate.limit, 0.95"),
        ({"thresholds": (0.2,), "to": ("parquet",)}, "mappings of webknossos"),
        ({"output": "s3://bucket/out", "work": str(tmp_path / "out")}, r"must be a folder of this machine.*copy it"),
        ({"output": "memory://out"}, "to a folder of this machine, or to s3://"),
    ):
        with pytest.raises(UserError, match=message):
            publish_run(PublishConfig(**({"run": run, "output": str(tmp_path / "out"), **SMALL} | given)))
        assert not (tmp_path / "out").exists()
    for arguments, message in (
        (("--thresholds", "0.2,x"), "no list of thresholds"),
        (("--thresholds", "1.5"), "no list of thresholds"),
    ):
        code, _, told = command("publish", run, tmp_path / "out", "--to", "webknossos", *arguments)
        assert (code, message in told) == (2, True), told
    before = Volume.create(tmp_path / "before.zarr/raw", SHAPE, VOXEL_SIZE_NM, np.uint8, offset_nm=(-30, 12, 0))
    before.write(before.roi, Volume.open(inputs / "raw.zarr/raw").read())
    negative = segment(inputs, tmp_path / "negative", raw=str(before.path))
    with pytest.raises(UserError, match="begins before voxel 0"):
        publish(negative, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_and_the_public_function(plan, tmp_path, command):
    arguments = ("--to", "webknossos", "--thresholds", "0.3,0.05")
    code, printed, told = command("publish", plan.config.output, tmp_path / "cli", *arguments)
    assert (code, printed.strip()) == (0, str(tmp_path / "cli")), told
    config = na.PublishConfig(run=plan.config.output, output="unused", thresholds=[0.3, 0.05])
    out = na.publish(plan.config.output, tmp_path / "api/cli", to=["webknossos"], config=config, workers=1)
    assert shapes.list_files(out) == shapes.list_files(tmp_path / "cli")
    names = [
        one["name"] for one in datasets.read_layers(out / "webknossos")["fragments"]["attachments"]["agglomerates"]
    ]
    assert names == ["threshold_0.15", "threshold_0.3", "threshold_0.05"]
