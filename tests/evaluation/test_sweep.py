import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.evaluation.baselines import score_classic_recipe, score_raw_watershed
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.evaluation.sweep import evaluate_volume, overlap_volumes, sweep_contingency
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import agglomerate_array
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import Phantom, PhantomConfig
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs

THRESHOLDS = (0.7, 0.2, 0.45)


def test_a_sweep_scores_each_threshold_as_if_it_were_segmented():
    labels, affs = phantom_affs((10, 96, 96))
    whole = agglomerate_array(affs, VOXEL_SIZE_NM, Fragments(method="seeds"), Agglomerate())
    overlaps = count_overlaps(whole.fragments, labels)
    sweep = sweep_contingency(overlaps, lambda t: lambda ids: whole.lut(t)[ids.astype(np.int64)], THRESHOLDS)
    assert sweep.thresholds == (0.2, 0.45, 0.7)
    for threshold, scores in zip(sweep.thresholds, sweep.scores, strict=True):
        assert scores == score(count_overlaps(whole.segment(threshold), labels))
    assert sweep.scores[sweep.best].voi == min(scores.voi for scores in sweep.scores)
    assert sweep.scores[0].voi_split > sweep.scores[-1].voi_split


def test_volumes_are_compared_where_both_are(tmp_path):
    rng = np.random.default_rng(0)
    first = Volume.create(tmp_path / "v.zarr/a", (20, 9, 9), (30, 6, 6), np.uint64, chunk_vx=(4, 9, 9))
    second = Volume.create(tmp_path / "v.zarr/b", (20, 9, 9), (30, 6, 6), np.uint64, offset_nm=(90, 12, 0))
    for volume in (first, second):
        volume.write(volume.roi, rng.integers(0, 5, (20, 9, 9)).astype(np.uint64))
    right = count_overlaps(first.read()[3:, 2:], second.read()[:17, :7])
    found = overlap_volumes(first, second)
    assert all((getattr(found, name) == getattr(right, name)).all() for name in ("segments", "labels", "counts"))
    assert evaluate_volume(first.path, second.path) == score(right)


def test_other_voxel_sizes_are_refused(tmp_path):
    first = Volume.create(tmp_path / "v.zarr/a", (4, 4, 4), (30, 6, 6), np.uint64)
    second = Volume.create(tmp_path / "v.zarr/b", (4, 4, 4), (30, 8, 8), np.uint64)
    with pytest.raises(UserError, match="voxel size"):
        overlap_volumes(first, second)


def test_the_classic_recipe_beats_a_watershed_of_raw_given_fair_affinities():
    labels, affs = phantom_affs((10, 128, 128))
    raw, same = Phantom(PhantomConfig(shape_vx=(10, 128, 128))).render((0, 0, 0), (10, 128, 128))
    assert (same == labels).all()
    classic = score_classic_recipe(affs, labels, VOXEL_SIZE_NM, (0.2, 0.5))
    watershed = score_raw_watershed(raw, labels, VOXEL_SIZE_NM, (2.0, 4.0))
    assert classic.voi < 0.5 < watershed.voi
