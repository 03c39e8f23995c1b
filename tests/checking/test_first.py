"""What `run`, `adapt`, `train`, `propose`, `segment` and `predict` do first: refuse what is wrong, and warn of what is doubtful."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroadda as na
from neuroadda.checking import machine
from neuroadda.checking.findings import Findings
from neuroadda.errors import PersonNeeded, SettingError, UserError, collect_warnings, forget_warnings, warn
from neuroadda.locks import lock_folder
from neuroadda.volumes.arrays import Volume
from tests.segmentation.synthetic import smooth_noise, write_backbone, write_raw

Run = Callable[..., tuple[int, str, str]]
SHAPE = (8, 40, 40)


@pytest.fixture(scope="module")
def goods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("goods")
    raw = write_raw(folder / "v.zarr/raw", shape=SHAPE)
    labels = Volume.create(folder / "v.zarr/labels", SHAPE, raw.voxel_size_nm, np.uint64, offset_nm=raw.offset_nm)
    labels.write(labels.roi, 1 + (smooth_noise(SHAPE, (1, 4, 4)) * 5).astype(np.uint64))
    write_backbone(folder / "backbone")
    return folder


def segment_of(goods: Path, output: Path, **changes: Any) -> dict[str, Any]:
    raw, backbone = str(goods / "v.zarr/raw"), str(goods / "backbone")
    fixed = {"block_vx": [4, 20, 20], "execution": {"launcher": "serial"}}
    return {"raw": raw, "backbone": backbone, "output": str(output), **fixed, **changes}


def train_of(goods: Path, output: Path, **changes: Any) -> dict[str, Any]:
    samples = [{"raw": str(goods / "v.zarr/raw"), "labels": str(goods / "v.zarr/labels")}]
    network = {"features": [2, 4], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}
    given = {
        "name": "t",
        "domain": "t",
        "iterations": 1,
        "workers": 0,
        "output_shape_vx": [4, 8, 8],
        "network": network,
    }
    return {"samples": samples, "output": str(output), **given, **changes}


def adapt_of(goods: Path, output: Path, **changes: Any) -> dict[str, Any]:
    train = {"name": "t", "domain": "t", "iterations": 1, "workers": 0, "output_shape_vx": [4, 8, 8]}
    given = {
        "raw": str(goods / "v.zarr/raw"),
        "output": str(output),
        "backbone": str(goods / "backbone"),
        "train": train,
    }
    return given | {"propose": {"shape_nm": [120.0, 96.0, 96.0]}, "execution": {"launcher": "serial"}} | changes


def write_config(tmp_path: Path, **sections: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(sections))
    return path


def list_names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"cache", "config.json"}


@pytest.mark.parametrize("verb", ["segment", "predict", "run"])
def test_segmenting_refuses_what_it_would_fail_at_hours_later(
    command: Run, goods: Path, tmp_path: Path, verb: str
) -> None:
    wrong = segment_of(goods, tmp_path / "run", agglomerate={"limit": 0.6}, mask=str(tmp_path / "none.zarr"))
    config = write_config(tmp_path, segment=wrong, evaluate={"labels": str(goods / "v.zarr/labels")})
    code, told, err = command(verb, "-c", config, "--json")
    assert (code, told) == (2, "")
    assert err.count("\n") == 1
    assert "none.zarr: there is no array here" in err
    assert ("evaluate.thresholds: threshold 0.9 is above segment.agglomerate.limit 0.6" in err) == (verb == "run")
    assert list_names(tmp_path) == set()


def test_training_refuses_all_that_is_wrong(command: Run, goods: Path, tmp_path: Path) -> None:
    sample = {"raw": str(goods / "v.zarr/raw"), "labels": str(goods / "v.zarr/label")}
    wrong = train_of(goods, tmp_path / "train", samples=[sample], keep_best="voi", validate_every=1)
    code, _, err = command("train", "-c", write_config(tmp_path, train=wrong))
    assert code == 2
    assert err.count("\n") == 1
    assert "keep_best is set, but there is no validation" in err
    assert "v.zarr/label: there is no array here" in err
    assert list_names(tmp_path) == set()


def test_a_gpu_that_is_not_there_is_told_before_training(
    command: Run, goods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroadda.backbones.devices.count_cuda_devices", lambda: 0)
    config = write_config(tmp_path, train=train_of(goods, tmp_path / "train", device="cuda"))
    code, _, err = command("train", "-c", config)
    assert (code, err) == (2, "neuroadda: train.device: there is no CUDA device here for 'cuda'; use auto or cpu\n")
    assert list_names(tmp_path) == set()


def test_proposing_and_adapting_refuse_what_lies_in_an_input(command: Run, goods: Path, tmp_path: Path) -> None:
    inside = goods / "v.zarr/raw/below"
    asked = ("propose", goods / "v.zarr/raw", "--backbone", goods / "backbone", "--shape", 120, 96, 96, "-o", inside)
    for verb in (asked, ("adapt", "-c", write_config(tmp_path, adapt=adapt_of(goods, inside)))):
        code, _, err = command(*verb, "--json")
        assert code == 2
        assert "lies in" in err
        assert "choose a folder outside of what is read" in err
    assert not inside.exists()


def test_what_is_doubtful_is_a_warning_each_and_the_run_goes_on(
    command: Run, goods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_warnings()
    monkeypatch.setattr(machine, "count_cores", lambda: 1)
    monkeypatch.setattr(machine, "count_available_bytes", lambda: 2**20)
    keys = segment_of(goods, tmp_path / "run", execution={"workers": 2}, predict={"device": "cpu"})
    config = write_config(tmp_path, segment=keys)
    code, _, err = command("segment", "-c", config, "--json")
    assert code == 0
    warnings = [
        line for line in err.splitlines() if line.startswith("neuroadda: warning: segment.execution: 2 workers")
    ]
    assert len(warnings) == 2
    assert warnings[0].endswith("2 workers of 1 thread on 1 core; set workers to 1") or "memory" in warnings[0]
    assert Volume.open(tmp_path / "run/volumes.zarr/segmentation").read().any()
    findings = na.check(config)
    assert len(findings["doubtful"]) == 2
    assert not findings["wrong"]


def test_the_same_run_goes_on_and_another_is_refused(command: Run, goods: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, segment=segment_of(goods, tmp_path / "run"))
    assert command("predict", "-c", config, "--json")[0] == 0
    before = list_names(tmp_path)
    assert any("goes on; begun: predict" in one.what for one in na.check(config)["right"])
    other = na.check(config, overrides=["segment.predict.precision=float32", "segment.predict.tile_vx=[2,4,4]"])
    (fault,) = other["wrong"]
    assert fault.where == "segment.output"
    assert "made with other parameters" in fault.what
    assert not na.check(config, overrides=["segment.predict.tile_vx=[2,4,4]"], overwrite=True)["wrong"]
    assert list_names(tmp_path) == before


def test_a_training_that_goes_on_and_another_that_lies_there(goods: Path, tmp_path: Path) -> None:
    config = na.load_config(write_config(tmp_path, train=train_of(goods, tmp_path / "train", checkpoint_every=1)))
    na.train(config=config.train)
    assert any("the same training lies here" in one.what for one in na.check(config)["right"])
    other = config.model_copy(update={"train": config.train.model_copy(update={"seed": 7})})
    (fault,) = na.check(other)["wrong"]
    assert "another training" in fault.what
    assert not na.check(other, overwrite=True)["wrong"]


def test_an_output_that_would_replace_an_input_is_refused(goods: Path, tmp_path: Path) -> None:
    shutil.copytree(goods / "v.zarr/raw", tmp_path / "run/volumes.zarr/segmentation")
    keys = segment_of(goods, tmp_path / "run") | {"raw": str(tmp_path / "run/volumes.zarr/segmentation")}
    wrong = na.check(write_config(tmp_path, segment=keys))["wrong"]
    assert [one.what for one in wrong if "would be replaced: the run writes its segmentation there" in one.what]


def test_a_backbone_of_the_same_run_is_awaited(goods: Path, tmp_path: Path) -> None:
    keys = segment_of(goods, tmp_path / "run") | {"backbone": str(tmp_path / "train/backbone")}
    alone = na.check(write_config(tmp_path, segment=keys))
    assert [one.where for one in alone["wrong"]] == ["segment.backbone"]
    both = {"segment": keys, "train": train_of(goods, tmp_path / "train")}
    assert not na.check(write_config(tmp_path, **both))["wrong"]
    both["train"]["batch_sise"] = 3
    (fault,) = na.check(write_config(tmp_path, **both))["wrong"]
    assert "did you mean 'train.batch_size'?" in (fault.mend or "")


def test_findings_keep_the_error_of_a_single_fault() -> None:
    def fail() -> None:
        raise SettingError("it is odd", "workers", "make it even")

    def warn_only() -> int:
        warn("it is small", "a.tif")
        return 3

    findings = Findings()
    assert findings.attempt("train.x", "mend it", fail) is None
    assert findings.attempt("train.raw", "look", warn_only) == 3
    (fault,), (doubt,) = findings["wrong"], findings["doubtful"]
    assert (fault.where, fault.what, fault.mend) == ("train.workers", "it is odd", "make it even")
    assert (doubt.where, doubt.what, doubt.mend) == ("train.raw", "a.tif: it is small", "look")
    with pytest.raises(SettingError, match=r"^train\.workers: it is odd; make it even$"):
        findings.enforce()
    findings.fault("train.output", "it is full", "empty it")
    with pytest.raises(
        UserError, match=r"train\.workers: it is odd; make it even; also wrong .*train\.output: it is full"
    ):
        findings.enforce()
    with pytest.raises(PersonNeeded):
        findings.attempt("train.x", "mend it", _need_a_person)


def _need_a_person() -> None:
    raise PersonNeeded("look")


def test_collected_warnings_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with collect_warnings() as collected:
        warn("one thing", "here")
        warn("one thing", "here")
    assert collected == [("one thing", "here")]
    assert not caplog.records
    forget_warnings()
    warn("one thing", "here")
    assert caplog.messages == ["here: one thing"]


def test_a_run_at_work_in_the_folder_is_told(goods: Path, tmp_path: Path) -> None:
    sections = {"segment": segment_of(goods, tmp_path / "run"), "train": train_of(goods, tmp_path / "train")}
    config = write_config(tmp_path, **sections)
    with lock_folder(tmp_path / "run"), lock_folder(tmp_path / "train"):
        wrong = na.check(config)["wrong"]
    assert [one.where for one in wrong] == ["train.output", "segment.output"]
    assert {one.mend for one in wrong} == {"wait for it, or stop it"}
    assert not na.check(config)["wrong"]


def test_an_edited_input_is_doubtful_and_its_results_are_no_fault(command: Run, goods: Path, tmp_path: Path) -> None:
    shutil.copytree(goods / "v.zarr", tmp_path / "v.zarr")
    config = write_config(tmp_path, segment=segment_of(goods, tmp_path / "run", raw=str(tmp_path / "v.zarr/raw")))
    assert command("segment", "-c", config, "--json")[0] == 0
    raw = Volume.open(tmp_path / "v.zarr/raw", "r+")
    raw.data[2, 3, 4] ^= 255
    before = list_names(tmp_path)
    found = na.check(config)
    assert not found["wrong"]
    assert ["done again" in one.what for one in found["doubtful"]] == [True]
    assert list_names(tmp_path) == before
    assert command("segment", "-c", config, "--json")[0] == 0
    assert not na.check(config)["doubtful"]


def write_beside(goods: Path, path: Path, voxels: np.ndarray, away_vx: int = 0) -> str:
    raw = Volume.open(goods / "v.zarr/raw")
    offset = [o + away_vx * v for o, v in zip(raw.offset_nm, raw.voxel_size_nm, strict=True)]
    volume = Volume.create(path, voxels.shape, raw.voxel_size_nm, voxels.dtype, offset_nm=offset)
    volume.write(volume.roi, voxels)
    return str(path)


def test_what_does_not_fit_together_is_doubtful(goods: Path, tmp_path: Path) -> None:
    raw, labels = str(goods / "v.zarr/raw"), str(goods / "v.zarr/labels")
    rim, tissue = Volume.open(raw).read(), np.ones(SHAPE, np.uint8)
    rim[:, :, 20:], tissue[:, :, 20:] = 0, 0
    half = write_beside(goods, tmp_path / "v.zarr/half", rim)
    masks = [write_beside(goods, tmp_path / f"v.zarr/{n}", mask) for n, mask in enumerate((tissue, 1 - tissue))]
    away = write_beside(goods, tmp_path / "v.zarr/away", Volume.open(labels).read(), away_vx=5)
    train, segment = train_of(goods, tmp_path / "train"), segment_of(goods, tmp_path / "run")
    both = {"raw": raw, "labels": labels}
    size = Volume.open(raw).voxel_size_nm
    place = {"offset_nm": list(Volume.open(raw).offset_nm), "shape_nm": [8 * size[0], 40 * size[1], 20 * size[2]]}
    other = place | {"offset_nm": [*place["offset_nm"][:2], place["offset_nm"][2] + 20 * size[2]]}
    apart = train | {"samples": [both | {"roi": place}]}
    for sections, where, words in (
        ({"train": train, "validation": both}, "validation", "trained on, too"),
        ({"train": apart, "validation": both | {"roi": place}}, "validation", "trained on, too"),
        ({"train": apart, "validation": both | {"roi": other}}, None, ""),
        ({"segment": segment, "validation": both}, "validation", "it is not used: there is no [train] section"),
        ({"segment": segment, "select": {}}, "select", "it is not used: there is no [train] section"),
        ({"train": train, "evaluate": {"labels": labels}}, "evaluate", "there is no [segment] section"),
        ({"segment": segment | {"raw": half, "mask": masks[1]}}, "segment.mask", "is it inverted?"),
        ({"segment": segment | {"raw": half, "no_data": masks[1]}}, "segment.no_data", "is it inverted?"),
        ({"segment": segment | {"raw": half, "mask": masks[0]}}, None, "inverted"),
        ({"segment": segment | {"mask": masks[1]}}, None, "inverted"),
        ({"segment": segment, "evaluate": {"labels": away}}, "evaluate.labels", "is their offset right?"),
        ({"segment": segment, "evaluate": {"labels": labels}}, None, "offset"),
    ):
        found = na.check(write_config(tmp_path, **sections))
        assert not found["wrong"], (sections, found["wrong"])
        told = [one for one in found["doubtful"] if words in one.what]
        assert [one.where for one in told] == ([] if where is None else [where]), (sections, found["doubtful"])


def test_what_cannot_go_together_is_wrong(goods: Path, tmp_path: Path) -> None:
    train, segment = train_of(goods, tmp_path / "run"), segment_of(goods, tmp_path / "run")
    raw, labels = str(goods / "v.zarr/raw"), str(goods / "v.zarr/labels")
    compared = {"labels": labels, "compare": {"other": raw}}
    (tmp_path / "volume.zarr").mkdir()
    (tmp_path / "volume.zarr/.zgroup").write_text('{"zarr_format": 2}')
    for sections, where, words in (
        ({"train": train, "segment": segment}, "segment.output", "is train.output, too"),
        ({"segment": segment, "evaluate": compared}, "evaluate.compare.other", "these are grey values"),
        ({"segment": segment | {"ledger": f"sqlite:///{raw}/ledger.db"}}, "segment.ledger", "written into segment.raw"),
        ({"train": train | {"output": str(tmp_path / "volume.zarr")}}, "train.output", "the folder of a volume"),
    ):
        (fault,) = na.check(write_config(tmp_path, **sections))["wrong"]
        assert (fault.where, words in fault.what) == (where, True), fault


@pytest.mark.parametrize("verb", ["run", "check", "segment"])
def test_settings_that_contradict_each_other_are_named_together(
    command: Run, goods: Path, tmp_path: Path, verb: str
) -> None:
    wrong = segment_of(
        goods,
        tmp_path / "run",
        raw=str(tmp_path / "none.zarr/raw"),
        mask=str(tmp_path / "none.zarr/mask"),
        chunk_vx=[3, 20, 20],
        components={"threshold": 0.9},
        agglomerate={"limit": 0.6},
        ledger="redis://host",
    )
    code, told, err = command(verb, *([] if verb == "check" else ["-c"]), write_config(tmp_path, segment=wrong))
    assert code == 2
    assert err.count("\n") == 1
    found = told if verb == "check" else err
    for part in (
        "none.zarr/raw: there is no array here",
        "none.zarr/mask: there is no array here",
        "blocks of (4, 20, 20) voxels are not aligned to chunks of (3, 20, 20)",
        "threshold 0.9 is above agglomerate.limit 0.6",
        "this URL does not name a ledger",
    ):
        assert part in found
    assert list_names(tmp_path) == set()


@pytest.mark.parametrize("verb", ["run", "check", "train"])
def test_values_that_cannot_be_are_named_together(command: Run, goods: Path, tmp_path: Path, verb: str) -> None:
    wrong = {
        "train": train_of(goods, tmp_path / "train", iterations=-3, batch_sise=2, learning_rate="fast"),
        "segment": segment_of(goods, tmp_path / "run", block_vx=[4, 20], fragments={"low": 0.9, "high": 0.2}),
        "evaluate": {},
    }
    code, told, err = command(verb, *([] if verb == "check" else ["-c"]), write_config(tmp_path, **wrong))
    assert code == 2
    assert err.count("\n") == 1
    found = told if verb == "check" else err
    for part in (
        "train.iterations should be greater than 0, not -3",
        "unknown key 'train.batch_sise'",
        "train.learning_rate should be",
        "segment.block_vx: 3 values (zyx) are needed",
        "segment.fragments: low, 0.9, should be below high, 0.2",
        "'evaluate.labels' is missing",
    ):
        assert part in found
    assert list_names(tmp_path) == set()


def test_keys_of_a_training_that_contradict_each_other_are_named_together(goods: Path, tmp_path: Path) -> None:
    sample = {"raw": str(goods / "v.zarr/raw"), "labels": str(goods / "v.zarr/labels"), "linked": False}
    changes = {"samples": [sample], "patience": 3, "output_shape_vx": [4, 9, 8], "augment": {"transpose": "zyx"}}
    fault, *_ = na.check(write_config(tmp_path, train=train_of(goods, tmp_path / "train", **changes)))["wrong"]
    for part in ("(4, 9, 8) is not possible", "patience needs keep_best", "cannot be transposed"):
        assert part in fault.what
    with pytest.raises(UserError, match=r"^SegmentConfig: .*raw.*; also wrong: .*block_vx"):
        na.SegmentConfig(raw="", backbone="b", output="o", block_vx=(1, 2))
