"""The boxes study: what is left, how long it takes, that it goes on, and what it decides on made-up rows."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from studies.boxes import judgement, plan, study
from studies.boxes.plan import ARMS, Row, Run
from studies.rows import append_rows
from studies.transfer import study as transfer


def row_of(run: Run, voi: float = 1.0, digest: str = "here", minutes: float = 1.0) -> Row:
    return Row(**vars(run), source="", digest=digest, labelled_px=1, voi=voi, voi_split=0.0, voi_merge=voi, threshold=0.5,
               best_voi=voi, best_threshold=0.5, cpu_minutes=minutes)  # fmt: skip


def test_every_target_has_a_source_of_another_domain() -> None:
    for name, target in plan.TARGETS.items():
        assert target.domain != plan.TARGETS[target.source].domain, name


def test_what_is_left_of_a_case_depends_on_the_source_here() -> None:
    runs = plan.plan(["fly_fibsem"], ARMS, 2)
    assert len(runs) == 2 * 3 * len(ARMS)
    first = runs[: len(ARMS)]
    elsewhere = [row_of(run, digest="elsewhere") for run in first]
    here = lambda target, draw: "here"  # noqa: E731
    assert plan.find_missing(runs, [], here) == runs
    assert plan.find_missing(runs, elsewhere, here) == runs[len(ARMS) :]  # complete, wherever
    assert (
        plan.find_missing(runs, elsewhere[1:], here) == runs
    )  # one is missing, so the others are not compared with it
    assert plan.find_missing(runs, elsewhere[1:], lambda target, draw: "elsewhere") == [runs[0], *runs[len(ARMS) :]]
    assert plan.find_missing(runs, elsewhere[1:], lambda target, draw: None) == runs


def test_fewer_boxes_where_no_more_fit() -> None:
    assert {run.n for run in plan.plan(["fly_brain_sstem"], ARMS, 1)} == {1, 4}


def test_minutes_are_those_of_runs_alike() -> None:
    runs = plan.plan(["fly_fibsem", "mouse_cortex_ac3"], ("random",), 1)
    fibsem_4, fibsem_1, _, ac3_4, ac3_1, ac3_16 = runs
    done = [row_of(fibsem_4, minutes=1.0), row_of(ac3_4, minutes=3.0), row_of(fibsem_1, minutes=8.0)]
    assert plan.estimate_minutes([replace(fibsem_4, draw=1)], done, 0) == 1.0
    assert plan.estimate_minutes([ac3_1], done, 0) == 8.0
    assert plan.estimate_minutes([ac3_16], done, 2) == 4.0 + 2 * plan.SOURCE_MINUTES
    assert plan.estimate_minutes(runs, [], 0) == pytest.approx(6 * plan.RUN_MINUTES)


class Inline(Executor):
    """Does at once what it is given, so that a test can change constants."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, function: Callable[..., object], /, *args: object, **kwargs: object) -> Future:
        future: Future[object] = Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The study of one target with one box, on made-up volumes and with short trainings: call it with options."""
    rng = np.random.default_rng(0)
    for name in ("fly_fibsem_train", "fly_fibsem_test", "fly_larva_l1_sstem_train", "fly_larva_l1_sstem_test"):
        cells = rng.integers(1, 200, (10, 8, 9), np.uint32).repeat(32, 1).repeat(32, 2)
        cells[:, ::32] = cells[:, :, ::32] = 0
        with h5py.File(tmp_path / f"{name}.hdf", "w") as file:
            file.attrs.update(licence="none", citation="made up")
            file["volumes/raw"] = np.where(cells, 150, 50).astype(np.uint8) + rng.integers(0, 50, cells.shape, np.uint8)
            file["volumes/labels/neuron_ids"] = cells
            for array in ("raw", "labels/neuron_ids"):
                file[f"volumes/{array}"].attrs["resolution"] = (40, 8, 8)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROADDA_DATA", str(tmp_path))
    monkeypatch.setattr(study, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(plan, "COUNTS", (1,))
    monkeypatch.setattr(
        transfer, "NETWORK", {"features": [2, 2], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]]] * 2}
    )
    monkeypatch.setitem(transfer.PRETRAIN, "iterations", 2)
    monkeypatch.setitem(transfer.FINE_TUNE, "iterations", 1)
    plan.ROWS.parent.mkdir(parents=True)

    return lambda *options: study.main(["--targets", "fly_fibsem", "--draws", "1", "--workers", "1", *options])


def test_it_says_what_is_left_and_goes_on(tiny: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    tiny("--dry-run")
    assert "0 of 4 runs are done; 4 are left, and 1 trainings of sources: about " in capsys.readouterr().out
    assert not Path("runs").exists()
    tiny("--strategies", "random", "TypiClust")
    first = plan.read_rows()
    assert [row.strategy for row in first] == ["random", "TypiClust"]
    tiny("--dry-run")
    assert "2 of 4 runs are done; 2 are left, and 0 trainings of sources: about " in capsys.readouterr().out
    tiny()
    rows = plan.read_rows()
    assert rows[:2] == first
    assert [row.strategy for row in rows[2:]] == ["median+diverse", "coverage"]
    assert len({row.digest for row in rows}) == 1
    assert all(row.digest == plan.read_digest("fly_fibsem", 0) and row.voi >= row.best_voi > 0 for row in rows)
    assert len(judgement.pair_rows(rows, "voi")) == 3
    tiny()
    assert plan.read_rows() == rows


def rows_where(voi: Callable[[Run], float]) -> list[Row]:
    return [row_of(run, voi(run)) for run in plan.plan(list(plan.TARGETS), ARMS, 2)]


def test_only_rows_of_one_source_are_compared() -> None:
    rows = [row_of(run) for run in plan.plan(["fly_fibsem"], ARMS, 1)]
    assert len(judgement.pair_rows(rows, "voi")) == 9
    other = [
        replace(row, digest="elsewhere", voi=99.0) if row.strategy == "random" and row.n == 4 else row for row in rows
    ]
    assert {one.n for one in judgement.pair_rows(other, "voi")} == {1, 16}


def test_what_wins_everywhere_becomes_the_default() -> None:
    rows = rows_where(lambda run: {"coverage": 0.8, "random": 1.0}.get(run.strategy, 1.1))
    effects = judgement.mean_effects(judgement.pair_rows(rows, "voi"))
    assert set(effects["coverage"]) == {target.domain for target in plan.TARGETS.values()}
    assert {chosen for chosen, _ in judgement.leave_one_out(effects).values()} == {"coverage"}
    assert effects["coverage"]["mouse_cortex"] == pytest.approx(np.log(0.8))
    tables = judgement.tabulate(rows)
    assert tables[-1] == "the default is coverage: it wins on domains that it was not chosen on"
    assert any(line.startswith("| coverage | -20.0 (-20.0 to -20.0) |") for line in tables)


def test_what_wins_on_one_domain_alone_does_not() -> None:
    def voi(run: Run) -> float:
        return 0.2 if run.strategy == "TypiClust" and run.target == "fly_fibsem" else 1.0

    effects = judgement.mean_effects(judgement.pair_rows(rows_where(voi), "voi"))
    left_out = judgement.leave_one_out(effects)
    assert left_out["fly_fibsem"][1] == 0.0
    assert judgement.decide(effects, effects).startswith("the default stays median+diverse")


def test_a_default_that_is_worse_than_random_boxes_is_given_up() -> None:
    rows = rows_where(lambda run: 1.0 if run.strategy == "random" else 1.2)
    assert judgement.tabulate(rows)[-1].startswith("the default becomes random")


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = rows_where(lambda run: 1.0)[:3]
    append_rows(tmp_path / "rows.csv", rows)
    assert plan.read_rows(tmp_path / "rows.csv") == rows


def test_the_noise_that_is_written_down_is_that_of_the_first_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(transfer.ROOT)
    for value, expected in (("voi", (0.26, 0.16, 0.32)), ("best_voi", (0.17, 0.11, 0.17))):
        assert [round(one, 2) for one in judgement.measure_noise(value).values()] == list(expected)
