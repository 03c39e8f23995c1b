"""Edits of whole runs: what they do to the voxels, and that nothing but the edits in force decides."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neuroadda as na
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import bind_output
from neuroadda.errors import UserError, collect_warnings, forget_warnings
from neuroadda.evaluation.measure import EvaluateConfig, measure_plan
from neuroadda.ledger.open import open_ledger
from neuroadda.proofreading.applying import apply
from neuroadda.proofreading.decisions import Decision
from neuroadda.proofreading.edits import add, check, undo
from neuroadda.proofreading.likely_errors import find_likely_errors
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
from neuroadda.pyramids.pyramid import PyramidConfig, build_pyramid
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.edit_journal import JOURNAL, Journal, append
from neuroadda.segmentation.edits import Undo
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.segmentation.recovery import read_run
from neuroadda.segmentation.settings import Threshold
from neuroadda.segmentation.taken_edits import TAKEN, count_edits, keep_taken, read_edits
from neuroadda.volumes.arrays import Volume
from tests.holding import hold_writes
from tests.segmentation import synthetic
from tests.segmentation.synthetic import write_inputs
from tests.waiting import Gate, wait_until

pytestmark = pytest.mark.system

SHAPE = (12, 60, 64)
LAYOUTS = ((12, 60, 64), (4, 20, 32), (5, 17, 64))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"), SHAPE)


def configure(inputs: Path, output: Path, **options) -> SegmentConfig:
    return synthetic.configure(inputs, output, **({"block_vx": (4, 20, 32)} | options))


class Run:
    """A finished run with its voxels."""

    def __init__(self, config: SegmentConfig) -> None:
        self.folder = Path(config.output)
        self.config, self.plan = config, segment_volume(config)
        self.fragments = Volume.open(self.plan.output("fragments"))
        self.ids = self.fragments.read()

    @property
    def segmentation(self) -> np.ndarray:
        return Volume.open(self.plan.output("relabel")).read()

    def point(self, fragment: int) -> tuple[float, float, float]:
        """A place (nm) in the middle of a fragment's first voxel."""
        place = np.argwhere(self.ids == fragment)[0] + 0.5
        z, y, x = (place * self.fragments.voxel_size_nm + self.fragments.offset_nm).tolist()
        return z, y, x

    def segment_of(self, fragment: int) -> int:
        (found,) = np.unique(self.segmentation[self.ids == fragment])
        return int(found)

    def pair(self, together: bool, other: int = 0) -> tuple[int, int]:
        """Two fragments that are of one segment, or of two: of the largest, or others."""
        fragments = np.unique(self.ids[self.ids > 0])
        segment = {int(f): self.segment_of(int(f)) for f in fragments}
        sizes = np.bincount(self.segmentation.ravel())
        sizes[0] = 0
        first, second = np.argsort(-sizes)[:2]
        ones = [f for f, s in segment.items() if s == first]
        others = ones if together else [f for f, s in segment.items() if s == second]
        return ones[0], others[-1 - other]


@pytest.fixture
def run(inputs, tmp_path):
    return Run(configure(inputs, tmp_path / "run"))


def content(plan: Plan) -> dict[str, bytes]:
    files = {name: (plan.folder("components") / name).read_bytes() for name in ("lut.npy", "first.npy")}
    return files | {"segmentation": Volume.open(plan.output("relabel")).read().tobytes()}


def records(plan: Plan) -> dict[str, list[tuple[int, float]]]:
    ledger = open_ledger(plan.config.ledger_url)
    found = {t.name: [(r["tries"], r["finished"]) for r in ledger.blocks(bind_output(t).key)] for t in plan.tasks}
    ledger.close()
    return found


def test_a_merge_joins_and_a_split_separates_on_the_voxels(run):
    a, b = run.pair(together=False)
    c, d = run.pair(together=True)
    assert run.segment_of(a) != run.segment_of(b)
    assert run.segment_of(c) == run.segment_of(d)
    before = run.segmentation
    first = na.add_edit(run.folder, "merge", run.point(a), run.point(b), who="ann")
    second = na.add_edit(str(run.folder), "split", c, d, who="bob")
    assert (first.id, first.fragments, second.fragments) == (1, (a, b), (c, d))
    assert (run.segmentation == before).all()
    na.apply_edits(run.folder)
    assert run.segment_of(a) == run.segment_of(b)
    assert run.segment_of(c) != run.segment_of(d)
    of_either = np.isin(before, [before[run.ids == f][0] for f in (a, b, c, d)])
    outside = np.unique(np.stack([before[~of_either], run.segmentation[~of_either]]), axis=1)
    assert outside.shape[1] == len(np.unique(outside[0])) == len(np.unique(outside[1]))
    na.undo_edit(run.folder, 1)
    na.undo_edit(run.folder, 2)
    na.apply_edits(run.folder)
    assert (run.segmentation == before).all()
    assert na.list_edits(run.folder) == []


def test_only_components_and_relabelling_run_again_and_without_edits_all_is_as_before(run):
    before, plain = records(run.plan), content(run.plan)
    a, b = run.pair(together=False)
    na.add_edit(run.folder, "merge", a, b)
    edited = apply(run.folder)
    after = records(edited)
    assert {name for name in before if before[name] != after[name]} == {"components", "relabel"}
    assert content(edited) != plain
    assert records(apply(run.folder)) == after  # nothing to do
    na.undo_edit(run.folder, 1)
    undone = apply(run.folder)
    assert content(undone) == plain
    assert [t.fingerprint for t in undone.tasks] == [t.fingerprint for t in run.plan.tasks]
    assert not (run.folder / TAKEN).exists()


def test_the_same_command_takes_the_edits_and_other_parameters_still_need_overwrite(run):
    a, b = run.pair(together=False)
    na.add_edit(run.folder, "merge", a, b)
    assert make_plan(run.config).task("relabel") == run.plan.task("relabel")  # not taken yet: what is there is measured
    assert measure_plan(read_run(run.folder), None).stages
    segment_volume(run.config)
    assert run.segment_of(a) == run.segment_of(b)
    assert measure_plan(read_run(run.folder), None).stages
    other = run.config.model_copy(update={"components": Threshold(threshold=0.2)})
    with pytest.raises(UserError, match="components was made with other parameters"):
        segment_volume(other)
    segment_volume(other, overwrite=True)
    assert run.segment_of(a) == run.segment_of(b)


def test_other_runs_in_the_folder_do_not_take_the_edits_of_what_is_not_reached(run):
    a, b = run.pair(together=False)
    na.add_edit(run.folder, "merge", a, b)
    segment_volume(run.config, upto="fragments")
    assert not (run.folder / TAKEN).exists()


@pytest.mark.parametrize("block_vx", [*LAYOUTS[:2], pytest.param(LAYOUTS[2], marks=pytest.mark.slow)])
def test_a_thousand_edits_with_undo_give_the_bytes_of_those_in_force_alone(inputs, tmp_path, block_vx):
    rng = np.random.default_rng(7)
    runs = [Run(configure(inputs, tmp_path / name, block_vx=block_vx)) for name in ("steps", "once")]
    ids = runs[0].ids
    places = np.argwhere(ids > 0)
    fragments, firsts = np.unique(ids[ids > 0], return_index=True)
    middle = np.array(runs[0].fragments.voxel_size_nm)
    chosen = places[rng.integers(0, len(places), (1000, 2))]
    # A truth that fragments agree with: edits that agree with it do not contradict each other.
    neuron = dict(zip(fragments.tolist(), (places[firsts] // (12, 8, 8) @ (0, 9, 1)).tolist(), strict=True))
    wanted, held = [], []
    for pair in chosen:
        a, b = (int(ids[tuple(place)]) for place in pair)
        if a == b:
            continue
        first, second = (tuple(((p + 0.5) * middle + runs[0].fragments.offset_nm).tolist()) for p in pair)
        kind = "merge" if neuron[a] == neuron[b] else "split"
        wanted.append(Decision(kind, (first, second), str(rng.integers(3))))
        held.append((kind, frozenset((a, b))))
    assert {kind for kind, _ in held} == {"merge", "split"}
    for part in np.array_split(np.arange(len(wanted)), 3):
        add(runs[0].folder, [wanted[i] for i in part])
        in_force = [edit.id for edit in Journal.read(runs[0].folder).in_force]
        *others, last = rng.choice(in_force, len(in_force) // 4, replace=False).tolist()
        append(runs[0].folder, lambda journal, ids=others: [Undo(undo=id, who="x", when="y") for id in ids])
        undo(runs[0].folder, last)
        apply(runs[0].folder)
    left = {(edit.kind, frozenset(edit.fragments)) for edit in Journal.read(runs[0].folder).in_force}
    assert 100 < len(left) < len(set(held))
    once = {row: want for row, want in zip(held, wanted, strict=True) if row in left}
    add(runs[1].folder, [once[row] for row in sorted(once, key=repr)])
    segment_volume(runs[1].config.model_copy(update={"execution": Execution(workers=2)}))
    assert content(runs[0].plan) == content(runs[1].plan)
    segmentation = runs[0].segmentation
    segment_of = dict(zip(fragments.tolist(), segmentation[ids > 0][firsts].tolist(), strict=True))
    for kind, pair in left:
        assert (len({segment_of[f] for f in pair}) == 1) == (kind == "merge")


def test_decisions_that_contradict_each_other_are_named_and_nothing_is_applied(run, capfd):
    before, tags = content(run.plan), (run.folder / "lut/task.json").read_bytes()
    a, b = run.pair(together=False)
    _, c = run.pair(together=False, other=1)
    forget_warnings()
    na.add_edit(run.folder, "merge", a, b, who="ann")
    na.add_edit(run.folder, "merge", b, c, who="bob")
    na.add_edit(run.folder, "split", a, c, who="eve")
    told = r"split 3 \(eve, .*Z\) contradicts merge 1 \(ann, .*Z\), merge 2 \(bob, .*Z\)"
    for work in (lambda: na.apply_edits(run.folder), lambda: segment_volume(run.config)):
        with pytest.raises(UserError, match=told):
            work()
    assert (content(run.plan), (run.folder / "lut/task.json").read_bytes()) == (before, tags)
    assert not (run.folder / TAKEN).exists()
    (conflict,) = check(run.folder).conflicts
    assert [conflict.split.id, *(edit.id for edit in conflict.merges)] == [3, 1, 2]
    assert measure_plan(read_run(run.folder), None).stages  # the run can still be looked at
    na.undo_edit(run.folder, 2)
    na.apply_edits(run.folder)
    assert run.segment_of(a) == run.segment_of(b)


def test_what_is_wrong_with_an_edit_is_one_line_and_nothing_is_written(run, tmp_path):
    a, b = run.pair(together=True)
    empty = Volume.open(run.plan.output("fragments"), "r+")
    ids = run.ids.copy()
    ids[0, 0, 0] = 0
    empty.write(empty.roi, ids)
    inside, offset = run.point(a), run.fragments.offset_nm
    wrong = {
        r"--merge: the point 60,12,0 is in the background": ((*offset,), inside),
        r"is outside": ((0.0, 0.0, 0.0), inside),
        r"the point nan,1,1 is no place": ((float("nan"), 1.0, 1.0), inside),
        r"both ends are fragment": (inside, inside),
        r"there is no fragment 0": (0, a),
        r"there is no fragment 9223372036854775808": (a, 2**63),
        rf"there is no fragment {ids.max() + 1000}": (a, int(ids.max()) + 1000),
    }
    for what, ends in wrong.items():
        with pytest.raises(UserError, match=what):
            add(run.folder, [Decision("merge", (a, b)), Decision("merge", ends, where="--merge")])
    with pytest.raises(UserError, match=r"both points are in fragment .*not fragments"):
        na.add_edit(run.folder, "split", inside, inside)
    with pytest.raises(UserError, match="give two points, or two ids"):
        na.add_edit(run.folder, "split", a, inside)
    with pytest.raises(UserError, match="'cut' is no kind of edit"):
        na.add_edit(run.folder, "cut", a, b)
    assert not (run.folder / JOURNAL).exists()
    with pytest.raises(UserError, match="there is no run here"):
        na.add_edit(tmp_path / "nowhere", "merge", a, b)
    for look in (na.list_edits, lambda folder: na.undo_edit(folder, 1)):
        with pytest.raises(UserError, match="there is no run here"):
            look(tmp_path)
    for who in ("x\ty", "e\033[31mred"):
        with pytest.raises(UserError, match="holds control characters"):
            na.add_edit(run.folder, "merge", a, b, who=who)
    with pytest.raises(UserError, match="there is no edit 1"):
        na.undo_edit(run.folder, 1)
    na.add_edit(run.folder, "merge", a, b, who="ann")
    assert na.add_edit(run.folder, "merge", b, a, who="bob").who == "ann"  # the same is not added twice
    assert len(Journal.read(run.folder).edits) == 1
    na.undo_edit(run.folder, 1, who="bob")
    with pytest.raises(UserError, match=r"edit 1 is undone already \(bob"):
        na.undo_edit(run.folder, 1)


def test_fragments_that_are_not_finished_take_no_edits(inputs, tmp_path):
    config = configure(inputs, tmp_path / "run")
    segment_volume(config, upto="predict")
    with pytest.raises(UserError, match=r"fragments is not finished \(0 of 18 blocks\)"):
        na.add_edit(config.output, "merge", 1, 2)
    plan = segment_volume(config, upto="edges")
    ids = Volume.open(plan.output("fragments")).read()
    na.add_edit(config.output, "merge", int(ids.min()), int(ids.max()))  # before there is a segmentation
    with pytest.raises(UserError, match="agglomerate-0 is not finished"):
        apply(config.output)
    plan = segment_volume(config)
    segmentation = Volume.open(plan.output("relabel")).read()
    assert segmentation[ids == ids.min()][0] == segmentation[ids == ids.max()][0]


def test_fragments_that_are_made_anew_are_looked_up_at_the_points(run):
    a, b = run.pair(together=False)
    points = run.point(a), run.point(b)
    na.add_edit(run.folder, "merge", *points, who="ann")
    other = run.config.model_copy(update={"fragments": Fragments(seed_distance_vx=6, boundary=0.5)})
    forget_warnings()
    plan = segment_volume(other, overwrite=True)
    fragments, segmentation = (Volume.open(plan.output(name)).read() for name in ("fragments", "relabel"))
    vx = [tuple(((np.array(p) - run.fragments.offset_nm) / run.fragments.voxel_size_nm).astype(int)) for p in points]
    assert fragments[vx[0]] != fragments[vx[1]]
    assert segmentation[vx[0]] == segmentation[vx[1]] > 0
    found = check(run.folder)
    assert ([edit.id for edit in found.stale], found.lost, found.conflicts) == ([1], [], [])
    assert count_edits(run.folder).applied
    again = na.add_edit(run.folder, "merge", *points)
    assert again.made_of == plan.task("fragments").fingerprint
    assert content(apply(run.folder))["segmentation"] == segmentation.tobytes()


def test_fragments_that_are_gone_are_refused_by_name(run):
    a, b = run.pair(together=False)
    na.add_edit(run.folder, "merge", a, b, who="ann")
    other = run.config.model_copy(update={"fragments": Fragments(seed_distance_vx=6, boundary=0.5)})
    before = content(run.plan)
    with pytest.raises(UserError, match=r"merge 1 \(ann, .*\) is stale: its fragments .* were made again.*no points"):
        segment_volume(other, overwrite=True)
    assert content(run.plan) == before  # nothing was written
    na.undo_edit(run.folder, 1)
    c, d = run.pair(together=True)
    na.add_edit(run.folder, "split", run.point(c), run.point(d), who="bob")
    segment_volume(run.config)
    assert content(run.plan) != before
    # Both points are in one fragment of those that are made now.
    journal = (run.folder / JOURNAL).read_text()
    (run.folder / JOURNAL).write_text(journal.replace(json.dumps(list(run.point(d))), json.dumps(list(run.point(c)))))
    with pytest.raises(UserError, match=r"split 2 \(bob, .*\), which is stale: both points are in fragment"):
        segment_volume(other, overwrite=True)
    assert [edit.id for edit, _ in check(run.folder).lost] == [2]


def test_an_apply_that_is_killed_goes_on_to_the_same_bytes(inputs, run, tmp_path):
    a, b = run.pair(together=False)
    c, d = run.pair(together=True)
    other = Run(configure(inputs, tmp_path / "other"))
    for folder in (run.folder, other.folder):
        add(folder, [Decision("merge", (a, b)), Decision("split", (c, d))])
    apply(other.folder)
    build_pyramid(PyramidConfig(volume=str(run.plan.output("relabel")), fit_vx=16))
    pyramid = run.folder / "volumes.zarr/segmentation.ome.zarr"
    gate = Gate(tmp_path / "gate")
    gate.allow(3)
    command = [sys.executable, "-m", "neuroadda.cli", "edits", "apply", str(run.folder)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, env=hold_writes(run.folder / "volumes.zarr/segmentation", gate)
    )
    wait_until(lambda: gate.passed == 3 and gate.held, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    gate.allow()
    assert not pyramid.exists()
    assert not count_edits(run.folder).applied or content(run.plan) != content(other.plan)
    apply(run.folder)
    assert content(run.plan) == content(other.plan)
    level = Volume.open(pyramid / "1").read()
    assert set(np.unique(level)) <= set(np.unique(run.segmentation))
    assert (Volume.open(pyramid / "0").read() == run.segmentation).all()


def test_what_a_killed_apply_left_is_neither_searched_nor_published(run, tmp_path):
    a, b = run.pair(together=False)
    na.add_edit(run.folder, "merge", a, b, who="ann")
    keep_taken(run.folder, read_edits(run.folder))  # all that an apply has done that is killed right then
    config = PublishConfig(run=str(run.folder), output=str(tmp_path / "out"), to=("swc",))
    for work in (lambda: find_likely_errors(read_run(run.folder), 5), lambda: publish_run(config)):
        with pytest.raises(UserError, match=r"components is not finished \(0 of 1 blocks\)") as refused:
            work()
        assert f"`neuroadda edits apply {run.folder}`" in str(refused.value.right)
    assert not (tmp_path / "out").exists()
    apply(run.folder)
    find_likely_errors(read_run(run.folder), 5)


def test_edits_that_are_not_applied_are_told_by_publish(run, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install neuroadda[publish])")
    a, b = run.pair(together=False)
    na.add_edit(run.folder, "merge", a, b, who="ann")
    config = PublishConfig(
        run=str(run.folder), output=str(tmp_path / "out"), to=("parquet",), execution=Execution(launcher="serial")
    )
    with collect_warnings() as warnings:
        publish_run(config)
    assert ["1 edit, 0 undone, not applied yet" in what for what, _ in warnings] == [True]
    apply(run.folder)
    with collect_warnings() as warnings:
        publish_run(config, overwrite=True)
    assert not warnings


def test_what_was_published_before_edits_is_named_with_the_command_that_updates_it(run, tmp_path, command):
    a, b = run.pair(together=False)
    options = {"run": str(run.folder), "output": str(tmp_path / "out 1"), "to": ("precomputed",), "min_size": 10}
    config = PublishConfig(**options, execution=Execution(launcher="serial"))
    publish_run(config)
    array = tmp_path / "out 1/precomputed/raw"
    raw = {path: path.stat().st_mtime_ns for path in array.rglob("*") if path.is_file() and path.name != "info"}
    na.add_edit(run.folder, "merge", a, b)
    with collect_warnings() as warnings:
        na.apply_edits(run.folder)
    again = f"neuroadda publish {run.folder} '{tmp_path / 'out 1'}' --to precomputed --min-size 10 --overwrite"
    told = [(where, f"`{again}` makes it again" in what) for what, where in warnings]
    assert told == [(str(Path(config.output) / "precomputed"), True)]
    code, told, _ = command("status", run.folder)
    assert (code, again in told) == (0, True)
    assert command(*shlex.split(again)[1:])[0] == 0
    assert "stale" not in command("status", run.folder)[1]
    assert {path: path.stat().st_mtime_ns for path in array.rglob("*") if path.is_file() and path.name != "info"} == raw


def test_pyramids_are_made_again_of_what_was_edited(run):
    a, b = run.pair(together=False)
    build_pyramid(PyramidConfig(volume=str(run.plan.output("relabel")), fit_vx=32))
    pyramid = run.folder / "volumes.zarr/segmentation.ome.zarr"
    levels = sorted(path.name for path in pyramid.glob("[0-9]*"))
    before = Volume.open(pyramid / "1").read()
    na.add_edit(run.folder, "merge", a, b)
    with collect_warnings() as warnings:
        na.apply_edits(run.folder)
    assert warnings == []
    assert sorted(path.name for path in pyramid.glob("[0-9]*")) == levels
    assert (Volume.open(pyramid / "1").read() != before).any()


def test_labels_score_an_edited_segmentation(run, tmp_path):
    labels = tmp_path / "labels.zarr/labels"
    truth = Volume.create(labels, SHAPE, run.fragments.voxel_size_nm, np.uint64, offset_nm=run.fragments.offset_nm)
    a, b = run.pair(together=False)
    segment = run.segmentation
    truth.write(truth.roi, np.where(segment == run.segment_of(b), run.segment_of(a), segment))
    config = EvaluateConfig(labels=str(labels))
    before = measure_plan(read_run(run.folder), config).scores.voi
    sweep = measure_plan(read_run(run.folder), config).sweep
    na.add_edit(run.folder, "merge", a, b)
    na.apply_edits(run.folder)
    measured = measure_plan(read_run(run.folder), config)
    after = measured.scores.voi
    assert (measured.edits, measured.sweep) == (1, sweep)  # thresholds are compared without edits
    assert before > 0.01
    assert after == pytest.approx(0, abs=1e-9)
