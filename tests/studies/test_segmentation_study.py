import numpy as np
import pytest

from neuroadda.segmentation.edges import collect_edges
from neuroadda.segmentation.rag import Rag, contract
from studies import rows as study_rows
from studies.segmentation import histogram_agglomeration as histograms
from studies.segmentation import study
from tests.segmentation import synthetic


def test_it_runs_on_a_phantom_and_reports(tmp_path):
    parts = tuple(
        study.Part(affs, labels, synthetic.VOXEL_SIZE_NM)
        for labels, affs in (synthetic.phantom_affs((6, 64, 64), seed) for seed in (0, 1))
    )
    table = tmp_path / "segmentation.csv"
    families = {"ours": ({}, {"boundary": 0.5}), "classic": study.CLASSIC[::2], "waterz": study.WATERZ[:1]}
    head = {"volume": "phantom_ss", "backbone": "phantom_ss"}
    for row in study.study_agglomerations(head, parts, 1):
        study_rows.append_row(table, row)
    for row in (*study.study_families(head, parts, 1, families), *study.study_mutex(head, parts, 1)):
        study_rows.append_row(table, row)
    written = study_rows.read_table(table, study.Row)
    assert {row.agglomeration for row in written} > set(study.AGGLOMERATIONS)
    ours = {row.agglomeration: row for row in written if row.fragments == "ours 2-D" and not row.parameters}
    assert abs(ours["mean"].best_voi - ours["mean (waterz)"].best_voi) < 0.05
    assert ours["GASP mean"].best_voi == pytest.approx(ours["mean"].best_voi, abs=0.01)
    assert all(row.best_voi <= row.voi for row in written)
    study.write_report(table)
    report = table.with_suffix(".md").read_text()
    assert all(f"| {name} |" in report for name in study.AGGLOMERATIONS)
    assert "nan" not in report


def test_agglomeration_of_histograms_by_their_mean_is_that_of_sums():
    affs = synthetic.noisy_affs((6, 40, 40))
    fragments = np.random.default_rng(0).integers(1, 4, (6, 8, 8)).repeat(5, 1).repeat(5, 2).astype(np.uint64)
    fragments += (np.arange(fragments.size).reshape(fragments.shape) // 800 * 4).astype(np.uint64)
    edges = collect_edges(affs, fragments)
    u, v, counts = histograms.count_histograms(affs, fragments)
    assert (u == edges.u).all()
    assert (v == edges.v).all()
    assert (counts.sum(axis=1) == edges.count).all()
    sizes = np.bincount(fragments.ravel().astype(np.int64))
    merges = histograms.merge_histograms(u, v, counts, sizes, histograms.MEAN, 0.95)
    expected = contract(Rag(edges.u, edges.v, edges.sum, edges.count, edges.u, edges.v), 0.95).merges
    # The histogram's mean is that of the middles of its bins.
    assert np.sort(merges.score) == pytest.approx(np.sort(1 - (1 - expected.score) * 255 / 256 - 1 / 512), abs=1e-6)
