import os
from pathlib import Path

import numpy as np
import pytest
from funlib.geometry import Coordinate, Roi

from neuroadda.active.scores import BINS, FULL, binary_entropy, reduce_to_cells, score_ambiguity, score_entropy
from neuroadda.active.uncertainty import Uncertainty, make_uncertainty_task
from neuroadda.backbones.card import NEAREST
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.errors import UserError
from neuroadda.ledger.open import open_ledger
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.fragments import Fragments, find_fragments
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.finding import open_zoo
from tests.active.networks import SHAPE_VX, VOXEL_SIZE_NM, write_even_backbone, write_random_backbone, write_raw

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
CELL_VX = (2, 8, 8)
BLOCK_VX = (4, 16, 24)
CPU = Predict(device="cpu", precision="float32")
SERIAL = Execution(launcher="serial")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_raw(folder / "raw.zarr/raw")
    write_even_backbone(folder / "even")
    write_random_backbone(folder / "random")
    write_random_backbone(folder / "other", seed=1)
    write_random_backbone(folder / "sections", offsets=NEAREST[1:])
    return folder


@pytest.fixture(scope="module")
def raw(inputs) -> Volume:
    return Volume.open(inputs / "raw.zarr/raw")


def bind(inputs: Path, output: Path, *names: str, block_vx=BLOCK_VX, roi=None, mask=None, **stage):
    stage = Uncertainty(**{"cell_vx": CELL_VX, "predict": CPU} | stage)
    folders = [inputs / name for name in names]
    raw = Volume.open(inputs / "raw.zarr/raw")
    return make_uncertainty_task(raw, folders, stage, output / "grid", block_vx=block_vx, roi=roi, mask=mask)


def measure(inputs: Path, output: Path, *names: str, execution=SERIAL, **options) -> Volume:
    task = bind(inputs, output, *names, **options)
    run_task(task, f"sqlite:///{output / 'ledger.db'}", execution, output / "logs")
    return Volume.open(task.output)


def predict_whole(inputs: Path, raw: Volume, name: str) -> np.ndarray:
    backbone = load_backbone(inputs / name)
    return Predictor(backbone, CPU.resolve(backbone.card.architecture, SHAPE_VX))(raw, raw.roi)[0]


def everywhere() -> np.ndarray:
    return np.ones(SHAPE_VX, bool)


def test_the_grid_is_the_entropy_of_the_whole_prediction(inputs, raw, tmp_path):
    """Cells at the volume's end are cut; block size, order and processes change nothing."""
    affs = predict_whole(inputs, raw, "even")
    assert 0.05 < binary_entropy(affs / 255).mean() < 0.95
    expected = reduce_to_cells(score_entropy(affs), everywhere(), CELL_VX, histogram=True)
    for i, block_vx in enumerate((BLOCK_VX, (6, 24, 40), (20, 80, 80))):
        grid = measure(inputs, tmp_path / f"{i}", "even", block_vx=block_vx, histogram=True)
        assert (grid.read() == expected).all()
    assert grid.data.shape == (2 + BINS, 5, 7, 8)
    assert grid.voxel_size_nm == (60, 48, 48)
    assert grid.offset_nm == (60, 12, 0)
    assert grid.attrs["cell_vx"] == list(CELL_VX)
    assert grid.attrs["bins"] == BINS
    assert grid.attrs["stage"] == "uncertainty"
    last = grid.read()[1, -1, -1, -1]
    assert last == FULL * (1 * 2 * 5) // (2 * 8 * 8)  # 9 x 50 x 61 voxels
    assert (grid.read()[2:].sum(axis=0, dtype=int) == FULL).all()
    processes = measure(inputs, tmp_path / "processes", "even", histogram=True, execution=Execution(workers=2))
    assert (processes.read() == expected).all()

    task = bind(inputs, tmp_path / "shuffled", "even", histogram=True)
    task.bound.create_output(task)
    function = task.bound.open(task)
    for index in np.random.default_rng(0).permutation(len(task.grid)):
        function(task.grid[int(index)])
    assert (Volume.open(task.output).read() == expected).all()


@pytest.mark.parametrize("score", ["entropy", "augmented"])
def test_any_network_gives_nearly_the_same_grid_for_every_block_size(inputs, tmp_path, score):
    first, second = (
        measure(inputs, tmp_path / f"{block_vx}", "random", block_vx=block_vx, score=score).read().astype(int)
        for block_vx in (BLOCK_VX, (10, 56, 64))
    )
    assert np.ptp(first[0]) > FULL / 50
    assert np.abs(first - second).max() <= FULL / 1000  # a sum in another order may round differently


def test_a_part_of_the_volume_is_scored_as_in_the_whole(inputs, raw, tmp_path):
    part = RoiConfig(offset_nm=(120, 108, 96), shape_nm=(150, 150, 180)).to_roi(
        raw
    )  # 5 x 25 x 30 voxels from 2, 16, 16
    grid = measure(inputs, tmp_path, "even", roi=part)
    assert grid.offset_nm == (120, 108, 96)
    begin = (part.begin - raw.roi.begin) / raw.voxel_size
    inside = Roi(begin, part.shape / raw.voxel_size).to_slices()
    score = score_entropy(predict_whole(inputs, raw, "even"))[inside]
    assert (grid.read() == reduce_to_cells(score, np.ones(score.shape, bool), CELL_VX)).all()


def test_of_a_network_of_sections_only_what_it_predicts_counts(inputs, raw, tmp_path):
    affs = predict_whole(inputs, raw, "sections")
    expected = reduce_to_cells(score_entropy(affs[1:]), everywhere(), CELL_VX)
    assert np.abs(measure(inputs, tmp_path / "a", "sections").read().astype(int) - expected).max() <= FULL / 1000
    assert measure(inputs, tmp_path / "b", "sections", score="augmented").read()[0].any()
    pair = measure(inputs, tmp_path / "c", "sections", "random", score="committee").read()[0]
    assert np.median(pair) > 0


def test_what_is_the_same_to_all_sides_has_no_variance(inputs, tmp_path):
    assert not measure(inputs, tmp_path / "even", "even", score="augmented").read()[0].any()
    assert measure(inputs, tmp_path / "random", "random", score="augmented").read()[0].all()


def test_a_committee_of_one_mind_is_sure(inputs, raw, tmp_path):
    assert not measure(inputs, tmp_path / "same", "random", "random", score="committee").read()[0].any()
    found = measure(inputs, tmp_path / "two", "random", "other", score="committee").read()[0]
    members = np.stack([predict_whole(inputs, raw, name) / 255 for name in ("random", "other")])
    expected = np.rint(4 * members.var(axis=0).mean(axis=0) * FULL).astype(np.uint16)
    assert np.abs(found.astype(int) - reduce_to_cells(expected, everywhere(), CELL_VX)[0]).max() <= FULL / 1000


def test_ambiguity_is_that_of_the_fragments(inputs, raw, tmp_path):
    fragments = Fragments(seed_distance_vx=3, boundary=0.5)
    grid = measure(inputs, tmp_path / "one", "even", block_vx=(10, 56, 64), score="ambiguity", fragments=fragments)
    affs = predict_whole(inputs, raw, "even")
    found = find_fragments(affs, VOXEL_SIZE_NM, fragments)
    expected = reduce_to_cells(score_ambiguity(affs, found), everywhere(), CELL_VX)
    assert (grid.read() == expected).all()
    assert expected[0].any()
    blocks = measure(inputs, tmp_path / "many", "even", score="ambiguity", fragments=fragments).read()
    assert np.corrcoef(blocks[0].ravel(), expected[0].ravel())[0, 1] > 0.8
    sections = bind(inputs, tmp_path, "sections", score="ambiguity").bound
    assert sections.fragments.sections is True
    with pytest.raises(UserError, match="knows single sections only"):
        bind(inputs, tmp_path, "sections", score="ambiguity", fragments=Fragments(sections=False))


@pytest.mark.parametrize("score", ["entropy", "ambiguity"])
def test_only_tissue_counts_and_without_it_no_network_runs(inputs, raw, tmp_path, monkeypatch, score):
    inside = np.zeros(SHAPE_VX, bool)
    inside[:5, 3:30, :20] = True
    mask = Volume.create(tmp_path / "mask.zarr/mask", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, offset_nm=raw.offset_nm)
    mask.write(mask.roi, inside.astype(np.uint8))
    seen = []
    plain = Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", lambda self, raw, roi: seen.append(roi) or plain(self, raw, roi))
    grid = measure(inputs, tmp_path / "run", "even", mask=mask.path, score=score, histogram=True).read()
    assert len(seen) == 2 * 2 * 1  # of 3 x 4 x 3 blocks
    empty = grid[1] == 0
    counted = reduce_to_cells(np.zeros(SHAPE_VX, np.uint16), inside, CELL_VX)[1]
    assert (grid[1] == counted).all()
    assert not grid[:, empty].any()
    assert (grid[2:, ~empty].sum(axis=0, dtype=int) == FULL).all()
    if score == "entropy":
        expected = reduce_to_cells(score_entropy(predict_whole(inputs, raw, "even")), inside, CELL_VX)
        assert (grid[:2] == expected).all()


def test_a_run_goes_on_where_it_was_killed(inputs, tmp_path, monkeypatch):
    """And runs nothing again."""
    expected = measure(inputs, tmp_path / "whole", "even").read()
    plain, seen = Predictor.__call__, []

    def die_at_the_fifth(self, raw, roi):
        seen.append(roi)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return plain(self, raw, roi)

    monkeypatch.setattr(Predictor, "__call__", die_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        measure(inputs, tmp_path / "run", "even")
    grid = measure(inputs, tmp_path / "run", "even")
    assert (grid.read() == expected).all()
    assert len(seen) == 36 + 1
    measure(inputs, tmp_path / "run", "even")
    assert len(seen) == 36 + 1
    ledger = open_ledger(f"sqlite:///{tmp_path / 'run/ledger.db'}")
    assert [summary.blocks for summary in ledger.tasks()] == [36]
    ledger.close()


def test_whatever_changes_the_result_changes_the_fingerprint(inputs, tmp_path):
    variants = [
        bind(inputs, tmp_path, "random"),
        bind(inputs, tmp_path, "other"),
        bind(inputs, tmp_path, "random", histogram=True),
        bind(inputs, tmp_path, "random", cell_vx=(1, 8, 8)),
        bind(inputs, tmp_path, "random", score="augmented"),
        bind(inputs, tmp_path, "random", "other", score="committee"),
        bind(inputs, tmp_path, "random", "random", score="committee"),
    ]
    assert len({task.fingerprint for task in variants}) == len(variants)


def test_what_does_not_fit_is_refused_in_a_line(inputs, raw, tmp_path):
    with pytest.raises(UserError, match="not made of cells"):
        bind(inputs, tmp_path, "random", block_vx=(4, 16, 20))
    with pytest.raises(UserError, match="not made of cells"):
        bind(inputs, tmp_path, "random", cell_vx=(0, 8, 8))
    with pytest.raises(UserError, match="given 2 backbones"):
        bind(inputs, tmp_path, "random", "other")
    with pytest.raises(UserError, match="given 1 backbones"):
        bind(inputs, tmp_path, "random", score="committee")
    with pytest.raises(UserError, match="no such folder"):
        bind(inputs, tmp_path, "nowhere")
    with pytest.raises(UserError, match="outside the volume"):
        bind(inputs, tmp_path, "random", roi=raw.roi.shift(raw.voxel_size))
    coarse = Volume.create(tmp_path / "mask.zarr/mask", (9, 33, 40), (30, 9, 9), np.uint8, offset_nm=raw.offset_nm)
    with pytest.raises(UserError, match="mask is not on the voxel grid"):
        bind(inputs, tmp_path, "random", mask=coarse.path)
    other = write_raw(tmp_path / "raw.zarr/raw", voxel_size_nm=(30, 12, 12))
    stage = Uncertainty(cell_vx=CELL_VX, predict=CPU)
    options = {"output": tmp_path / "grid", "block_vx": BLOCK_VX}
    with pytest.raises(UserError, match="far from that of the backbone"):
        make_uncertainty_task(other, [inputs / "random"], stage, **options)
    assert make_uncertainty_task(other, [inputs / "random"], stage, **options, any_voxel_size=True)
    assert not (tmp_path / "grid").exists()


def test_cells_of_fractional_voxels_keep_their_place(inputs, tmp_path):
    fine = write_raw(tmp_path / "raw.zarr/raw", voxel_size_nm=(30, 4.6, 4.6))
    stage = Uncertainty(cell_vx=(2, 5, 5), predict=CPU)
    task = make_uncertainty_task(fine, [inputs / "even"], stage, tmp_path / "grid", block_vx=(10, 60, 65))
    run_task(task, f"sqlite:///{tmp_path / 'ledger.db'}", SERIAL, tmp_path / "logs")
    grid = Volume.open(task.output)
    assert grid.voxel_size_nm == (60, 23, 23)
    assert grid.offset_nm == (60, 12, 0)
    affs = predict_whole(inputs, fine, "even")
    assert (grid.read() == reduce_to_cells(score_entropy(affs), everywhere(), (2, 5, 5))).all()


def test_a_real_network_is_unsure_at_the_boundaries(tmp_path):
    source, zoo = DATA / "fly_larva_l1_sstem_test.hdf", open_zoo()
    if not source.exists() or "fly_larva_l1_sstem" not in zoo.names():
        pytest.skip(f"no real data in {DATA} (set NEUROADDA_DATA), or no such network in the zoo")
    raw = import_volume(source, tmp_path / "v.zarr/raw", dataset="volumes/raw")
    labels = import_volume(source, tmp_path / "v.zarr/labels", dataset="volumes/labels/neuron_ids")
    roi = Roi(raw.roi.begin, raw.voxel_size * Coordinate(3, 128, 128))
    folder = zoo.folder("fly_larva_l1_sstem")
    stage = Uncertainty(cell_vx=(1, 4, 4), predict=CPU)
    task = make_uncertainty_task(raw, [folder], stage, tmp_path / "grid", block_vx=(3, 128, 128), roi=roi)
    run_task(task, f"sqlite:///{tmp_path / 'ledger.db'}", SERIAL, tmp_path / "logs")
    score = Volume.open(task.output).read()[0] / FULL
    ids = labels.read(roi).reshape(3, 32, 4, 32, 4)
    boundary = ids.max(axis=(2, 4)) != ids.min(axis=(2, 4))
    assert 0.05 < boundary.mean() < 0.95
    assert score[boundary].mean() > 1.5 * score[~boundary].mean()
