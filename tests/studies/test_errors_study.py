"""The oracle of the study of errors: its VOI is that of the evaluation, and decisions change what they say."""

import numpy as np
import pytest

from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.proofreading.candidates import find_candidates
from neuroadda.proofreading.regions import gather_regions
from neuroadda.segmentation.components import Numbering
from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.whole import Agglomerate, agglomerate_array
from studies.errors.fitting import fit_likelihood
from studies.errors.oracle import Truth
from studies.errors.subjects import Subject
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs

study = pytest.importorskip("studies.errors.study")
answer = study.answer


@pytest.fixture(scope="module")
def subject() -> Subject:
    labels, affs = phantom_affs((10, 90, 90))
    agglomerated = agglomerate_array(affs, VOXEL_SIZE_NM, Fragments(seed_distance_vx=4), Agglomerate())
    fragments, lut = agglomerated.fragments, agglomerated.lut(0.3)
    count = len(lut) - 1
    regions = gather_regions(
        Numbering(np.array([0, count]), count),
        lut[1:],
        np.bincount(fragments.ravel().astype(np.int64), minlength=count + 1)[1:],
        np.zeros(count, bool),
        [vars(agglomerated.merges)],
        iter([collect_edges(affs, fragments)]),
        0.3,
    )
    region = np.r_[0, regions.region]
    made = Subject("phantom", regions, Truth.of(fragments, region, labels), region)
    segments = lut[fragments]
    assert made.start().voi() == pytest.approx(score(count_overlaps(segments, labels)).voi)
    return made


def test_voi_falls_by_what_was_said(subject):
    found, state, seen = subject.find(), subject.start(), set()
    for index in range(len(found.a)):
        sides = state.look(found, index)
        if sides is None:
            continue
        before, fall = state.voi(), state.truth.fall(*sides, bool(found.is_merge[index]))
        if state.is_error(found, index, sides):
            seen.add(bool(found.is_merge[index]))
            state.correct(found, index)
            assert before - state.voi() == pytest.approx(fall, abs=1e-9)
            assert state.look(found, index) is None
    assert seen
    assert subject.truth.best_voi() <= state.voi() + 1e-9


def test_looking_changes_nothing(subject):
    found, state = subject.find(), subject.start()
    before = state.voi()
    for index in range(len(found.a)):
        state.look(found, index)
    assert state.voi() == before


def test_a_queue_is_answered_in_its_order_and_does_not_ask_twice(subject):
    found = find_candidates(subject.regions, 10**6)
    answered = answer(subject, found, np.arange(len(found.a)))
    assert len(answered.voi) == len(answered.corrected) + 1 <= len(found.a) + 1
    changed = np.diff(answered.voi) != 0
    assert not changed[~np.array(answered.corrected)].any()


def test_the_all_knowing_order_only_gains_and_no_further_than_contacts_allow(subject):
    found = find_candidates(subject.regions, 10**6)
    answered, chosen = study.answer_greedily(subject, found)
    assert (np.diff(answered.voi) < 0).all()
    assert len(set(chosen.tolist())) == len(chosen) == len(answered.corrected)
    assert subject.truth.best_voi() <= subject.reachable_voi() + 1e-9 <= answered.voi[0]


def test_as_many_errors_are_expected_as_there_are_in_what_was_fitted(subject):
    found = find_candidates(subject.regions, 10**6)
    errors = subject.judge(found)
    likelihood = fit_likelihood([(found, errors, subject.regions.threshold)])
    likely = likelihood.of(found.is_merge, found.describe(subject.regions.threshold))
    for kind in (found.is_merge, ~found.is_merge):
        assert likely[kind].mean() == pytest.approx(errors[kind].mean(), abs=0.01)
