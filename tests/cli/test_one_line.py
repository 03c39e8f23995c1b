"""Verbs without a config, the options that override one, and the ledger that every verb finds in the same way."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroadda.backbones.card import load_card
from neuroadda.ledger.url import ledger_url
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom

Run = Callable[..., tuple[int, str, str]]
BACKBONE = "mouse_cortex_sssem"
SERIAL = ("--set", "segment.execution.launcher=serial")


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "p.zarr"
    write_phantom(PhantomConfig(shape_vx=(10, 96, 96), seed=3), folder)
    return folder


def test_a_volume_is_segmented_and_scored_without_a_config(command: Run, volume: Path, tmp_path: Path) -> None:
    raw, labels, run = volume / "raw", volume / "labels", tmp_path / "run"
    given = (raw, "--backbone", BACKBONE, "-o", run, *SERIAL)
    assert command("predict", *given)[:2] == (0, f"{run}/volumes.zarr/affs\n")
    code, told, _ = command("segment", *given, "--json")
    assert code == 0
    segmentation = json.loads(told)["output"]
    resolved = json.loads((run / "config.json").read_text())
    assert resolved["requested"]["backbone"] == BACKBONE
    assert load_card(resolved["resolved"]["backbone"]).name == BACKBONE
    of_run = json.loads(command("evaluate", run, labels, "--json")[1])
    assert of_run["scores"] == json.loads(command("evaluate", segmentation, labels, "--json")[1])
    assert command("evaluate", run, labels)[1].startswith("threshold\tvoi_split\tvoi_merge\tvoi\tadapted_rand_error\n")
    told = command("evaluate", run, labels, "--set", "evaluate.thresholds=[0.25]", "--json")[1]
    assert json.loads(told)["sweep"]["thresholds"] == [0.25]
    code, _, error = command("evaluate", run, labels, "--set", "segment.ledger=sqlite:///x.db")
    assert (code, error) == (
        2,
        "neuroadda: --set: segment.ledger is not used to evaluate; set keys of [evaluate] only\n",
    )


def test_a_backbone_is_trained_without_a_config(command: Run, volume: Path, tmp_path: Path) -> None:
    settings = ("--set", "train.output_shape_vx=[4,16,16]", "--set", "train.workers=0")
    given = (
        volume / "raw",
        volume / "labels",
        "-o",
        tmp_path / "mine",
        "--from",
        BACKBONE,
        "--iterations",
        1,
        *settings,
    )
    code, told, _ = command("train", *given, "--json")
    assert code == 0
    card = json.loads(told)
    assert (card["name"], card["domain"], card["iterations"]) == ("mine", "mine", 1)
    assert card["architecture"] == load_card(tmp_path / "mine/backbone").model_dump(mode="json")["architecture"]


def test_options_override_a_config_and_a_zoo_name_is_a_backbone_in_it(
    command: Run, volume: Path, tmp_path: Path
) -> None:
    config = {"raw": str(volume / "raw"), "backbone": BACKBONE, "output": str(tmp_path / "first")}
    (tmp_path / "c.json").write_text(json.dumps({"segment": config}))
    code, told, _ = command("segment", "-c", tmp_path / "c.json", "-o", tmp_path / "other", "--dry-run", "--json")
    assert code == 0
    assert json.loads(told)[0]["output"] == str(tmp_path / "other/volumes.zarr/affs")


@pytest.mark.parametrize("verb", ["segment", "run"])
def test_a_dry_run_names_all_that_is_wrong(command: Run, volume: Path, tmp_path: Path, verb: str) -> None:
    segment = {
        "raw": str(volume / "raw"),
        "backbone": "mouse",
        "output": str(tmp_path / "run"),
        "block_vx": [4, 64, 64],
        "chunk_vx": [3, 64, 64],
        "components": {"threshold": 0.99},
    }
    (tmp_path / "c.json").write_text(json.dumps({"segment": segment, "evaluate": {"labels": str(volume / "none")}}))
    code, told, error = command(verb, "-c", tmp_path / "c.json", "--dry-run")
    assert (code, told, error.count("\n")) == (2, "", 1)
    for what in ("'mouse' is no entry of the zoo", "threshold 0.99 is above agglomerate.limit 0.95", "chunk_vx"):
        assert what in error
    assert (str(volume / "none") in error) == (verb == "run")  # `segment` takes nothing of [evaluate]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        (("segment",), "nothing was given to work on; give RAW --backbone NAME --output OUT, or --config FILE"),
        (("train",), "nothing was given to work on; give RAW LABELS --output OUT, or --config FILE"),
        (("evaluate",), "nothing to evaluate; give SEGMENTATION LABELS, or --config"),
        (("segment", "raw", "-o", "out"), "key 'segment.backbone' is missing; give RAW --backbone NAME --output OUT"),
        (
            ("segment", "RAW", "--backbone", "mouse_cortex", "-o", "out"),
            "no folder; did you mean 'mouse_cortex_sssem'?",
        ),
        (("segment", "RAW", "--backbone", "fly_medulla_fibsem", "-o", "out"), "(option --any-voxel-size)"),
        (("train", "RAW", "-o", "out"), "train.samples.0.labels"),
    ],
)
def test_what_is_missing_is_one_line(command: Run, volume: Path, tmp_path: Path, monkeypatch, verb, what) -> None:
    monkeypatch.chdir(tmp_path)
    code, told, error = command(*(volume / "raw" if part == "RAW" else part for part in verb))
    assert (code, told) == (2, "")
    assert what in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_every_verb_finds_the_ledger_in_the_same_way(
    command: Run, volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, elsewhere = tmp_path / "run", f"sqlite:///{tmp_path}/elsewhere/of_all.db"
    given = (volume / "raw", "--backbone", BACKBONE, "-o", run, *SERIAL)
    monkeypatch.setenv("NEUROADDA_LEDGER", elsewhere)
    assert command("predict", *given)[0] == 0
    assert not (run / "ledger.db").exists()
    assert json.loads(command("status", run, "--json")[1])[0]["done"] == 1
    assert command("retry", run, "--stage", "predict", *SERIAL)[0] == 0
    monkeypatch.delenv("NEUROADDA_LEDGER")
    code, _, error = command("status", run)
    assert code == 2
    assert "--ledger, or NEUROADDA_LEDGER" in error
    assert "--ledger mongodb://host/database, or NEUROADDA_LEDGER" in command("retry", run)[2]
    for verb in (("status", run, "--json"), ("retry", run, "--stage", "predict", *SERIAL), ("ledger", "verify", run)):
        assert command(*verb, "--ledger", elsewhere)[0] == 0
    assert command("predict", *given, "--ledger", elsewhere)[0] == 0


def test_what_is_given_comes_before_the_variable_and_that_before_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROADDA_LEDGER", raising=False)
    assert ledger_url("run") == ledger_url(Path("run")) == "sqlite:///run/ledger.db"
    monkeypatch.setenv("NEUROADDA_LEDGER", "mongodb://host/all")
    assert ledger_url("run") == "mongodb://host/all"
    assert ledger_url("run", "sqlite:///mine.db") == "sqlite:///mine.db"


def test_evaluate_prints_digits_that_count_and_json_has_all(command: Run, volume: Path) -> None:
    code, told, _ = command("evaluate", volume / "labels", volume / "labels")
    assert code == 0
    scores = dict(line.split("\t") for line in told.splitlines()[1:])
    full = json.loads(command("evaluate", volume / "labels", volume / "labels", "--json")[1])
    assert scores.keys() == full.keys()
    for name, value in full.items():
        assert scores[name] == (f"{value:.4g}" if isinstance(value, float) else str(value))
    labels = Volume.open(volume / "labels")
    moved = Volume.create(volume / "moved", labels.shape_vx, labels.voxel_size_nm, np.uint64)
    moved.write(moved.roi, np.roll(labels.read(), 3, axis=2))
    other = json.loads(command("evaluate", volume / "moved", volume / "labels", "--json")[1])
    told = command("evaluate", volume / "moved", volume / "labels")[1]
    assert len(repr(other["voi"])) > 8
    assert f"voi\t{other['voi']:.4g}\n" in told
    assert all(len(line.split("\t")[1]) <= 10 for line in told.splitlines()[1:])
