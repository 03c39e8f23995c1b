"""The comparison with peers, on a tiny phantom and without peers that need a virtual environment of their own."""

import numpy as np
import pytest

from benchmarks.peers.classic_segment import merge_scores
from benchmarks.peers.contestants import LOWEST, TUNED, Cost, choose_settings, measure, score_output, segmenters
from benchmarks.peers.inputs import Inputs, mirror_affs, mirror_voxels, tile_inputs
from benchmarks.peers.report import abiss_tables, size_tables, volume_tables, write_report
from benchmarks.peers.segmentation import Result, fit_lines
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import Phantom, PhantomConfig
from neuroadda.zoo.finding import builtin_folder

SHAPE, VOXEL_SIZE_NM = (8, 48, 64), (30, 6, 6)
BACKBONE = builtin_folder() / "mouse_cortex_sssem"


def exact_affs(labels):
    """Affinities of labels to the voxel below; at the lower border they are certain."""
    affs = np.full((3, *labels.shape), 255, np.uint8)
    for axis in range(3):
        same = np.diff(labels.astype(np.int64), axis=axis) == 0
        affs[(axis, *(slice(1, None) if a == axis else slice(None) for a in range(3)))] = same * 255
    return affs


@pytest.fixture
def inputs(tmp_path):
    _, labels = Phantom(PhantomConfig(shape_vx=SHAPE)).render((0, 0, 0), SHAPE)
    for name, data, channels in (("affs", exact_affs(labels), 3), ("labels", labels, None)):
        volume = Volume.create(
            tmp_path / f"p.zarr/{name}", SHAPE, VOXEL_SIZE_NM, data.dtype, channels=channels, chunk_vx=SHAPE
        )
        volume.write(volume.roi, data)
    return Inputs("p", tmp_path / "p.zarr/affs", tmp_path / "p.zarr/labels")


def test_mirrored_affinities_are_those_of_mirrored_labels(inputs):
    labels = Volume.open(inputs.labels).read()
    for mirrored in ((True, False, False), (False, True, True), (True, True, True)):
        np.testing.assert_array_equal(
            mirror_affs(exact_affs(labels), mirrored), exact_affs(mirror_voxels(labels, mirrored))
        )


def test_tiled_affinities_are_those_of_tiled_labels(inputs, tmp_path):
    tiled = tile_inputs(inputs, (2, 2, 1), tmp_path)
    assert tiled.shape_vx == (16, 96, 64)
    np.testing.assert_array_equal(Volume.open(tiled.affs).read(), exact_affs(Volume.open(tiled.labels).read()))


def test_edges_score_when_their_ends_become_one():
    history = [{"a": 1, "b": 2, "c": 1, "score": 0.2}, {"a": 3, "b": 1, "c": 3, "score": 0.1}]
    assert merge_scores(5, [(1, 2), (2, 3), (1, 3), (1, 4)], history) == [0.2, 0.2, 0.2, float("inf")]


@pytest.mark.system
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_contestant_is_measured_and_scored(inputs, tmp_path, monkeypatch, number):
    monkeypatch.setattr("benchmarks.peers.contestants.make_venv", lambda folder, *packages: folder / "bin/python")
    tool = [t for t in segmenters(tmp_path) if t.name != "volara"][number]
    settings = choose_settings(tool, inputs, BACKBONE, tmp_path / "chosen")
    cost = measure(tool, inputs, BACKBONE, settings, 1, tmp_path / "run")
    assert 0 < sum(cost.stages.values()) <= cost.cpu
    assert cost.peak_bytes > 2**20
    scores = score_output(cost.segmentation, inputs)
    assert scores.voxels == (Volume.open(inputs.labels).read() > 0).sum()
    results = [
        Result(tool.name, "p", voxels, 1, cost, settings, scores) for voxels in (inputs.voxels, 2 * inputs.voxels)
    ]
    assert len(fit_lines(results)) == 1
    page, half = tmp_path / "r.md", [("first note", volume_tables(results)), ("second note", size_tables(results))]
    page.write_text("# Old\n\n## Prediction\n\nas it was\n\n## Segmentation\n\nstale\n")
    write_report(page, "v", {"Segmentation": half})
    text = page.read_text()
    assert (
        text.index("## Prediction\n\nas it was\n\n## Segmentation")
        < text.index("first note")
        < text.index("second note")
    )
    assert f"| {tool.name} | 1 |" in text
    assert "stale" not in text


def test_two_choices_of_one_tuning_stand_beside_abiss(inputs, tmp_path):
    labels = Volume.open(inputs.labels).read()
    scores, cost = score(count_overlaps(labels, labels)), Cost(1.0, 1.0, 1, {}, inputs.labels)
    results = []
    for tool in (TUNED, LOWEST):
        settings = choose_settings(tool, inputs, BACKBONE, tmp_path)
        results.append(Result(tool.name, "fly_fibsem", inputs.voxels, 1, cost, settings, scores))
    [(_, [row])] = abiss_tables(results)
    assert row["abiss"] == "0.258"
    for result in results:
        assert row[result.contestant] == f"{scores.voi:.3f}"
        assert f"threshold {result.settings['components']['threshold']}" in row[f"settings of {result.contestant}"]
