import numpy as np
import pytest

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import bind_output
from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.measure import measure_plan
from neuroadda.evaluation.metrics import score
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from tests.segmentation.synthetic import VOXEL_SIZE_NM, configure, phantom_affs, write_backbone, write_inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def content(plan: Plan) -> dict[str, bytes]:
    """Return the voxels of every array and the columns of every block file."""
    arrays = {name: Volume.open(plan.output(name)).read().tobytes() for name in ("predict", "fragments", "relabel")}
    folders = [plan.output(name) for name in ("edges", "agglomerate-0", "agglomerate-1", "agglomerate-2", "components")]
    files = {str(f.relative_to(plan.config.output)): f.read_bytes() for d in folders for f in sorted(d.rglob("*.np*"))}
    return arrays | files


@pytest.fixture(scope="module")
def serial(inputs, tmp_path_factory):
    return segment_volume(configure(inputs, tmp_path_factory.mktemp("serial")))


def test_there_is_something_to_compare(serial):
    segmentation = Volume.open(serial.output("relabel")).read()
    fragments = Volume.open(serial.output("fragments")).read()
    assert 10 < len(np.unique(segmentation)) < len(np.unique(fragments))
    assert segmentation.max() == len(np.unique(segmentation[segmentation > 0]))


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_and_the_serial_engine_give_the_same_bytes(inputs, tmp_path, serial, workers):
    plan = segment_volume(configure(inputs, tmp_path, execution=Execution(workers=workers)))
    assert content(plan) == content(serial)


def run_by_hand(plan: Plan, affs: np.ndarray | None = None, seed: int = 0) -> None:
    """Do every block in a random order, without ledger; with `affs` given, nothing is predicted."""
    for task in plan.tasks:
        task.bound.create_output(task)
        if task.name == "predict" and affs is not None:
            Volume.open(task.output, "r+").write(task.grid.roi, affs)
            continue
        function = task.bound.open(task)
        for index in np.random.default_rng(seed).permutation(len(task.grid)):
            function(task.grid[int(index)])


def test_the_order_of_blocks_does_not_matter(inputs, tmp_path, serial):
    plan = make_plan(configure(inputs, tmp_path))
    run_by_hand(plan, seed=1)
    assert content(plan) == content(serial)


def test_nor_does_it_for_fragments_by_ascent(inputs, tmp_path):
    plans = []
    for seed in (1, 2):
        fragments = Fragments(method="ascent", min_size_vx=60)
        plans.append(make_plan(configure(inputs, tmp_path / str(seed), fragments=fragments)))
        run_by_hand(plans[-1], seed=seed)
    assert content(plans[0]) == content(plans[1])
    found = Volume.open(plans[0].output("fragments")).read()
    assert 10 < len(np.unique(Volume.open(plans[0].output("relabel")).read())) < len(np.unique(found))


def test_affinities_do_not_depend_on_the_block_size_or_on_what_part_is_predicted(inputs, tmp_path, serial):
    whole = Volume.open(serial.output("predict"))
    other = segment_volume(configure(inputs, tmp_path / "a", block_vx=(13, 90, 41)), upto="predict")
    different = whole.read().astype(int) - Volume.open(other.output("predict")).read()
    assert np.abs(different).max() <= 1  # a sum in another order may round differently
    part = RoiConfig(offset_nm=(150, 90, 60), shape_nm=(330, 300, 198))
    some = Volume.open(segment_volume(configure(inputs, tmp_path / "b", roi=part), upto="predict").output("predict"))
    assert some.offset_nm == (150, 90, 60)
    assert np.abs(whole.read(some.roi).astype(int) - some.read()).max() <= 1


@pytest.mark.parametrize("fragments", [Fragments(method="seeds"), Fragments(method="ascent", min_size_vx=400)])
def test_the_segmentation_hardly_depends_on_the_block_size(inputs, tmp_path, fragments):
    labels, affs = phantom_affs((24, 160, 160))
    Volume.create(tmp_path / "raw.zarr/raw", labels.shape, VOXEL_SIZE_NM, np.uint8)
    segmentations = []
    for block_vx in ((24, 160, 160), (16, 80, 80), (24, 100, 70), (12, 60, 90)):
        options = {"block_vx": block_vx, "components": Threshold(threshold=0.5), "fragments": fragments}
        output = tmp_path / f"{block_vx}"
        plan = make_plan(configure(inputs, output, raw=str(tmp_path / "raw.zarr/raw"), **options))
        run_by_hand(plan, affs)
        segmentations.append(Volume.open(plan.output("relabel")).read())
    assert score(count_overlaps(segmentations[0], labels)).voi < 0.2
    for other in segmentations[1:]:
        assert score(count_overlaps(segmentations[0], other)).voi < 0.05


def test_a_rerun_runs_nothing_and_a_threshold_only_what_depends_on_it(inputs, tmp_path):
    config = configure(inputs, tmp_path)
    before = tries(segment_volume(config), config)
    assert tries(segment_volume(config), config) == before
    other = config.model_copy(update={"components": Threshold(threshold=0.2)})
    with pytest.raises(UserError, match="components was made with other parameters"):
        segment_volume(other)
    again = segment_volume(other, overwrite=True)
    changed = {
        t.name for t, o in zip(again.tasks, make_plan(config).tasks, strict=True) if t.fingerprint != o.fingerprint
    }
    assert changed == {"components", "relabel"}
    after = tries(again, config)
    kept = before.keys() - changed
    assert kept == {"predict", "fragments", "edges", "agglomerate-0", "agglomerate-1", "agglomerate-2"}
    assert {stage: after[stage] for stage in kept} == {stage: before[stage] for stage in kept}
    assert segment_volume(config, overwrite=True).config == make_plan(config).config


def tries(plan: Plan, config: SegmentConfig) -> dict[str, list[tuple[int, float]]]:
    ledger = open_ledger(config.ledger_url)
    return {t.name: [(row["tries"], row["finished"]) for row in ledger.blocks(bind_output(t).key)] for t in plan.tasks}


def test_another_checkpoint_changes_everything_after_it(inputs, tmp_path):
    config = configure(inputs, tmp_path)
    other = config.model_copy(update={"backbone": str(write_backbone(tmp_path / "other", seed=1))})
    for first, second in zip(make_plan(config).tasks, make_plan(other).tasks, strict=True):
        assert first.fingerprint != second.fingerprint


def test_outside_the_mask_nothing_is_predicted_or_segmented(inputs, tmp_path, serial):
    raw = Volume.open(inputs / "raw.zarr/raw")
    shape_vx = tuple(raw.shape_vx)
    mask = Volume.create(tmp_path / "mask.zarr/mask", shape_vx, raw.voxel_size_nm, np.uint8, offset_nm=raw.offset_nm)
    inside = np.zeros(shape_vx, np.uint8)
    inside[:, :40, :50] = 1
    mask.write(mask.roi, inside)
    plan = segment_volume(configure(inputs, tmp_path / "run", mask=str(mask.path)))
    affs = Volume.open(plan.output("predict")).read()
    assert (affs == Volume.open(serial.output("predict")).read() * inside).all()
    assert ((Volume.open(plan.output("relabel")).read() > 0) == (inside > 0)).all()


def test_what_was_decided_once_stays_decided(inputs, tmp_path):
    config = configure(inputs, tmp_path)
    segment_volume(config, upto="predict")
    path = tmp_path / "config.json"
    record = path.read_text()
    assert '"tile_vx": [' in record
    native = make_plan(config).config.predict.precision
    other = "float32" if native == "bfloat16" else "bfloat16"
    path.write_text(record.replace(f'"precision": "{native}"', f'"precision": "{other}"'))
    assert make_plan(config).config.predict.precision == other
    other_block = config.model_copy(update={"block_vx": (8, 64, 64)})
    assert make_plan(other_block).config.predict.precision == native
    path.write_text("{}")
    assert make_plan(config).config.predict.precision == native


def test_a_refused_run_changes_nothing(inputs, tmp_path):
    config = configure(inputs, tmp_path)
    segment_volume(config, upto="fragments")
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(UserError, match="fragments was made with other parameters"):
        segment_volume(config.model_copy(update={"fragments": Fragments(seed_distance_vx=5)}))
    assert (tmp_path / "config.json").read_bytes() == before


def test_only_what_is_finished_is_measured(inputs, tmp_path):
    config = configure(inputs, tmp_path)
    with pytest.raises(UserError, match="predict is not finished"):
        measure_plan(make_plan(config), None)
    segment_volume(config)
    stages = measure_plan(make_plan(config), None).stages
    assert [stage.summary.done for stage in stages] == [36, 36, 36, 36, 8, 1, 1, 36]
    assert all(10**7 < stage.peak_bytes < 10**11 for stage in stages)
    other = config.model_copy(update={"components": Threshold(threshold=0.2)})
    with pytest.raises(UserError, match="components is not finished with these parameters"):
        measure_plan(make_plan(other), None)


def test_two_runs_do_not_share_a_folder(inputs, tmp_path):
    from neuroadda.locks import lock_folder

    with lock_folder(tmp_path), pytest.raises(UserError, match="another run is at work"):
        segment_volume(configure(inputs, tmp_path))
