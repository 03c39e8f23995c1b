"""Scorings in runs: what depends on them is done again, and nothing else; waterz by blocks."""

from pathlib import Path

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.sweep import sweep_plan
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.segmentation.recovery import read_run
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs, write_backbone, write_raw
from tests.segmentation.test_pipeline import configure, run_by_hand, tries

LEVELS = {"agglomerate-0", "agglomerate-1", "agglomerate-2"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_raw(folder / "raw.zarr/raw", (16, 60, 60))
    write_backbone(folder / "backbone")
    return folder


def by(scoring: str) -> Agglomerate:
    return Agglomerate(scoring=scoring)


def find_changed(plan: Plan, other: Plan) -> set[str]:
    known = {task.name: task.fingerprint for task in other.tasks}
    return {task.name for task in plan.tasks if known.get(task.name) != task.fingerprint}


def test_a_scoring_decides_from_the_edges_on_and_one_of_waterz_from_the_merges_on(inputs, tmp_path):
    options = {"block_vx": (8, 20, 20)}
    plans = {
        scoring: make_plan(configure(inputs, tmp_path, agglomerate=by(scoring), **options))
        for scoring in (
            "mean",
            "contraharmonic",
            "quantile_75",
            "quantile_75_root",
            "waterz:mean",
            "waterz:hist_quant_75",
        )
    }
    mean, waterz = plans["mean"], plans["waterz:mean"]
    for scoring in ("contraharmonic", "quantile_75", "quantile_75_root"):
        assert find_changed(plans[scoring], mean) == {"edges", *LEVELS, "components", "relabel"}
    assert [task.name for task in waterz.tasks] == [
        "predict", "fragments", "edges", "agglomerate-0", "components", "relabel",
    ]  # fmt: skip
    for other in (mean, plans["waterz:hist_quant_75"]):
        assert find_changed(waterz, other) == {"agglomerate-0", "components", "relabel"}
    assert len({plan.task("relabel").fingerprint for plan in plans.values()}) == len(plans)


def test_a_threshold_that_was_chosen_for_another_scoring_is_told(inputs, tmp_path, caplog):
    for scoring, threshold, told in (("mean", None, 0), ("quantile_75", 0.3, 0), ("quantile_75", None, 1)):
        make_plan(configure(inputs, tmp_path, agglomerate=by(scoring), components=Threshold(threshold=threshold)))
        found = [record for record in caplog.records if "validated with scoring 'quantile_75'" in record.getMessage()]
        assert len(found) == told


def test_a_run_goes_on_with_another_scoring_from_its_fragments(inputs, tmp_path):
    before = configure(inputs, tmp_path / "a")
    done = tries(segment_volume(before), before)
    for scoring in ("contraharmonic", "waterz:hist_quant_50", "quantile_90_root"):
        config = before.model_copy(update={"agglomerate": by(scoring)})
        with pytest.raises(UserError, match=r"(edges|agglomerate-0) was made with other parameters"):
            segment_volume(config)
        plan = segment_volume(config, overwrite=True)
        after = tries(plan, config)
        assert {name: after[name] for name in ("predict", "fragments")} == {
            name: done[name] for name in ("predict", "fragments")
        }
        assert read_run(tmp_path / "a").config.agglomerate == by(scoring)
        fresh = segment_volume(configure(inputs, tmp_path / scoring.replace(":", "_"), agglomerate=by(scoring)))
        for name in ("fragments", "relabel"):
            assert np.array_equal(Volume.open(plan.output(name)).read(), Volume.open(fresh.output(name)).read())
        assert tries(segment_volume(config), config) == after


def test_waterz_by_blocks_is_nearly_waterz_on_the_whole(inputs, tmp_path):
    labels, affs = phantom_affs((16, 120, 120))
    raw = Volume.create(tmp_path / "raw.zarr/raw", labels.shape, VOXEL_SIZE_NM, np.uint8)
    truth = Volume.create(tmp_path / "raw.zarr/labels", labels.shape, VOXEL_SIZE_NM, np.uint64)
    truth.write(truth.roi, labels.astype(np.uint64))
    segmentations = []
    for block_vx in ((16, 120, 120), (16, 60, 60), (8, 40, 60)):
        options = {"components": Threshold(threshold=0.5), "agglomerate": by("waterz:hist_quant_50")}
        plan = make_plan(configure(inputs, tmp_path / f"{block_vx}", raw=str(raw.path), block_vx=block_vx, **options))
        run_by_hand(plan, affs)
        segmentations.append(Volume.open(plan.output("relabel")).read())
        found = score(count_overlaps(segmentations[-1], labels))
        assert found.voi < 0.2
        assert sweep_plan(plan, truth, (0.4, 0.5)).at(0.5).voi == pytest.approx(found.voi)
    for other in segmentations[1:]:
        assert score(count_overlaps(segmentations[0], other)).voi < 0.05
