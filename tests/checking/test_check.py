"""`neuroadda check`: the demo's config is right; whatever is broken in it is named, with its mend, and all of it at once."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import neuroadda as na
from neuroadda.checking import looking, machine
from neuroadda.config import lay_over, load_config_file
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.finding import builtin_folder
from tests.pipelines.test_demo import DATA, demo  # noqa: F401 (a fixture)
from tests.ports import find_port

Run = Callable[..., tuple[int, str, str]]
Change = Mapping[str, Any]
CONFIG = Path(__file__).parents[2] / "configs" / "demo.toml"
CROP = (24, 192, 192)  # of the demo's test volume
ROIS = {"roi": {"shape_nm": [990, 1152, 1152]}, "validation": {"roi": {"shape_nm": [210, 1152, 1152]}}}
DEMO = lay_over(load_config_file(CONFIG), {"adapt": ROIS})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, demo: Any) -> Path:  # noqa: F811
    """A folder in which the demo's data are prepared."""
    folder = tmp_path_factory.mktemp("demo")
    demo.prepare(folder / "runs/demo", DATA)
    return folder


@pytest.fixture(scope="module")
def part(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a part of each of the demo's sections, which `DEMO` reads."""
    folder = tmp_path_factory.mktemp("part")
    for name in ("train.zarr/raw", "train.zarr/labels", "test.zarr/raw", "test.zarr/labels"):
        volume = Volume.open(whole / "runs/demo" / name)
        voxels = volume.read()[:, : CROP[1], : CROP[2]]
        copy = Volume.create(
            folder / "runs/demo" / name, voxels.shape, volume.voxel_size_nm, voxels.dtype, offset_nm=volume.offset_nm
        )
        copy.write(copy.roi, voxels)
    return folder


@pytest.fixture
def here(part: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(part)
    monkeypatch.setattr(machine, "count_cores", lambda: 2)
    return part


def write_config(tmp_path: Path, change: Change) -> Path:
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(lay_over(DEMO, change)))
    return path


def write_array(path: Path, values: np.ndarray, size: tuple[int, ...] = (30, 6, 6), far_nm: int = 0) -> str:
    """Write an array where the demo's test volume is, or so far from it in z."""
    z, y, x = Volume.open("runs/demo/test.zarr/raw").offset_nm
    volume = Volume.create(path, values.shape, size, values.dtype, offset_nm=(z + far_nm, y, x))
    volume.write(volume.roi, values)
    return str(path)


def damaged_backbone(tmp_path: Path) -> Change:
    shutil.copytree(builtin_folder() / "mouse_cortex_sssem", tmp_path / "backbone")
    with open(tmp_path / "backbone/weights.safetensors", "r+b") as file:
        file.seek(5000)
        file.write(b"\0\1\2\3")
    return {"segment": {"backbone": str(tmp_path / "backbone")}}


def other_results(tmp_path: Path) -> Change:
    affs = Volume.create(tmp_path / "run/volumes.zarr/affs", (4, 8, 8), (30, 6, 6), np.uint8, channels=3)
    affs.data.attrs["fingerprint"], affs.data.attrs["instance"] = "another", "one"
    return {"segment": {"output": str(tmp_path / "run"), "backbone": "mouse_cortex_sssem"}}


def other_ledger(tmp_path: Path) -> Change:
    (tmp_path / "ledger.db").write_bytes(b"notes of a colleague" * 10)
    return {"segment": {"ledger": f"sqlite:///{tmp_path}/ledger.db"}}


def black_raw(tmp_path: Path) -> Change:
    return {"segment": {"raw": write_array(tmp_path / "v.zarr/raw", np.zeros(CROP, np.uint8))}}


def coarse_mask(tmp_path: Path) -> Change:
    return {"segment": {"mask": write_array(tmp_path / "v.zarr/mask", np.ones((24, 100, 100), np.uint8), (30, 31, 31))}}


def empty_mask(tmp_path: Path) -> Change:
    mask = write_array(tmp_path / "v.zarr/mask", np.zeros(CROP, np.uint8))
    return {"segment": {"mask": mask, "backbone": "mouse_cortex_sssem"}}


def empty_labels(tmp_path: Path) -> Change:
    return {"evaluate": {"labels": write_array(tmp_path / "v.zarr/labels", np.zeros(CROP, np.uint8))}}


def labels_elsewhere(tmp_path: Path) -> Change:
    labels = write_array(tmp_path / "v.zarr/labels", np.ones(CROP, np.uint64), far_nm=30000)
    return {"evaluate": {"labels": labels}}


def silent_mongo(_: Path) -> Change:
    return {"segment": {"ledger": f"mongodb://127.0.0.1:{find_port()}/runs?serverSelectionTimeoutMS=200"}}


def output_below_a_file(tmp_path: Path) -> Change:
    (tmp_path / "file").write_text("mine")
    return {"segment": {"output": str(tmp_path / "file" / "run")}}


def raw_as_mask(tmp_path: Path) -> Change:
    return {"segment": {"mask": "runs/demo/test.zarr/raw"}}


def raw_as_no_data(tmp_path: Path) -> Change:
    return {"segment": {"no_data": "runs/demo/test.zarr/raw"}}


def raw_as_boxes_mask(tmp_path: Path) -> Change:
    return {"adapt": {"mask": "runs/demo/train.zarr/raw"}}


def float_mask(tmp_path: Path) -> Change:
    return {"segment": {"mask": write_array(tmp_path / "v.zarr/mask", np.ones(CROP, np.float32))}}


def raw_as_labels(tmp_path: Path) -> Change:
    raw = Volume.open("runs/demo/test.zarr/raw").read()
    return {"evaluate": {"labels": write_array(tmp_path / "v.zarr/labels", raw.astype(np.uint16))}}


def same(change: Change) -> Callable[[Path], Change]:
    return lambda _: change


BROKEN: dict[str, tuple[Callable[[Path], Change], str, str, str]] = {
    "mistyped raw": (same({"adapt": {"raw": "runs/demo/train.zarr/row"}}), "adapt.raw", "no array here", "raw"),
    "unknown section": (same({"bogus": {"a": 1}}), "changed.json", "'bogus'", ""),
    "unknown key": (
        same({"segment": {"blok_vx": [8, 8, 8]}}),
        "changed.json",
        "'segment.blok_vx'",
        "'segment.block_vx'",
    ),
    "wrong value": (same({"adapt": {"rounds": 0}}), "changed.json", "adapt.rounds should be", "configs/"),
    "black raw": (black_raw, "segment.raw", "of the one value 0", "import"),
    "roi outside": (
        same({"segment": {"roi": {"offset_nm": [0, 0, 0], "shape_nm": [30000, 600, 600]}}}),
        "segment.roi",
        "outside the volume",
        "it spans",
    ),
    "coarse mask": (coarse_mask, "segment.mask", "not on the voxel grid of raw", "whole number"),
    "empty mask": (empty_mask, "segment.mask", "is 0 in all of the roi", "holds tissue"),
    "raw as mask": (raw_as_mask, "segment.mask", "these are grey values, no mask", "1 elsewhere"),
    "raw as boxes' mask": (raw_as_boxes_mask, "adapt.mask", "these are grey values, no mask", "1 elsewhere"),
    "raw as no_data": (raw_as_no_data, "segment.no_data", "these are grey values, no mask", "1 elsewhere"),
    "float mask": (float_mask, "segment.mask", "this is float32 with 3 axes, no mask", "integers"),
    "misspelt no_data": (
        same({"segment": {"no_data": "atuo"}}),
        "segment.no_data",
        "'atuo' is neither 'auto', 'none' nor a mask",
        "write auto, none",
    ),
    "misspelt no_data of boxes": (
        same({"adapt": {"no_data": "None"}}),
        "adapt.no_data",
        "'None' is neither 'auto', 'none' nor a mask",
        "write auto, none",
    ),
    "raw as labels": (raw_as_labels, "evaluate.labels", "these are grey values, no labels", "one whole number"),
    "empty labels": (empty_labels, "evaluate.labels", "nothing is labelled", "labels"),
    "labels elsewhere": (labels_elsewhere, "evaluate.labels", "do not overlap", "offset"),
    "unlabelled part": (
        same({"adapt": {"validation": {"labels": "runs/demo/test.zarr/label"}}}),
        "adapt.validation",
        "no array here",
        "labels",
    ),
    "unknown backbone": (
        same({"segment": {"backbone": "mouse_corteks"}}),
        "segment.backbone",
        "no entry",
        "did you mean",
    ),
    "damaged backbone": (damaged_backbone, "segment.backbone", "weights are damaged", "again"),
    "far voxel size": (
        same({"segment": {"backbone": "fly_fibsem"}}),
        "segment.any_voxel_size",
        "is far from that of the backbone",
        "another backbone",
    ),
    "unknown source": (
        same({"adapt": {"select": {"exclude": ["mouse_v1"]}}}),
        "adapt.select.exclude",
        "no 'mouse_v1'",
        "the zoo has",
    ),
    "small boxes": (
        same({"adapt": {"propose": {"shape_nm": [60.0, 960.0, 960.0]}}}),
        "adapt.propose.shape_nm",
        "smaller than train.output_shape_vx",
        "larger boxes",
    ),
    "high threshold": (
        same({"segment": {"backbone": "mouse_cortex_sssem", "components": {"threshold": 1.0}}}),
        "segment.components.threshold",
        "above agglomerate.limit",
        "lower",
    ),
    "sweep beyond": (same({"segment": {"agglomerate": {"limit": 0.5}}}), "evaluate.thresholds", "above", "raise"),
    "nothing to compare": (
        same({"evaluate": {"compare": {"other": "runs/other.zarr/segmentation"}}}),
        "evaluate.compare.other",
        "no array here",
        "leave it out",
    ),
    "output in raw": (
        same({"segment": {"output": "runs/demo/test.zarr/raw/run"}}),
        "segment.output",
        "lies in segment.raw",
        "outside",
    ),
    "output below a file": (output_below_a_file, "segment.output", "Not a directory", "folder"),
    "other results": (other_results, "segment.output", "made with other parameters", "--overwrite"),
    "no ledger": (
        same({"segment": {"ledger": "postgres://host/db"}}),
        "segment.ledger",
        "not name a ledger",
        "mongodb",
    ),
    "silent ledger": (silent_mongo, "segment.ledger", "no MongoDB server answers", "is it running"),
    "other ledger": (other_ledger, "segment.ledger", "no intact SQLite", "move it away"),
    "no gpu": (
        same({"segment": {"backbone": "mouse_cortex_sssem", "predict": {"device": "cuda"}}}),
        "segment.predict.device",
        "no CUDA device",
        "use auto or cpu",
    ),
    "no sbatch": (
        same({"segment": {"execution": {"launcher": "slurm"}}}),
        "segment.execution",
        "sbatch is not",
        "local",
    ),
    "no bsub": (same({"adapt": {"execution": {"launcher": "lsf"}}}), "adapt.execution", "bsub is not", "local"),
}


def test_the_demos_config_is_right(command: Run, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(whole)
    before = list_files(whole)
    code, told, errors = command("check", CONFIG)
    assert (code, errors) == (0, "")
    lines = [line.split("\t") for line in told.splitlines()]
    assert lines[0] == ["level", "where", "what", "mend"]
    looked_at = {line[1] for line in lines if line[0] == "right"}
    assert {"adapt.raw", "adapt.oracle", "adapt.validation.raw", "adapt.select", "segment.raw"} <= looked_at
    assert {"segment.output", "segment.ledger", "segment.execution", "evaluate.labels"} <= looked_at
    assert "wrong" not in {line[0] for line in lines}
    assert list_files(whole) == before


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_with_its_mend(
    command: Run, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda *given, **more: None)
    monkeypatch.setattr("neuroadda.backbones.devices.count_cuda_devices", lambda: 0)
    monkeypatch.setattr("neuroadda.volumes.contents.label_checks.MOST_BOXES", 4)
    change, where, what, mend = BROKEN[name]
    config = write_config(tmp_path, change(tmp_path))
    before = list_files(here), list_files(tmp_path)
    code, told, errors = command("check", config, "--json")
    wrong = [one for one in json.loads(told)["findings"] if one["level"] == "wrong"]
    assert code == 2
    assert len(wrong) == 1, wrong
    assert wrong[0]["where"].endswith(where)
    assert what in wrong[0]["what"]
    assert mend in wrong[0]["mend"]
    assert errors == f"neuroadda: {config}: 1 thing is wrong; see what was printed for the mend of each\n"
    assert (list_files(here), list_files(tmp_path)) == before


def test_all_faults_are_listed_at_once_and_each_has_a_mend(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda *given, **more: None)
    names = (
        "mistyped raw",
        "coarse mask",
        "damaged backbone",
        "other ledger",
        "no bsub",
        "empty labels",
        "unknown source",
    )
    change: dict[str, Any] = {}
    for name in names:
        change = lay_over(change, BROKEN[name][0](tmp_path))
    found = na.check(write_config(tmp_path, change))["wrong"]
    for name in names:
        _, where, what, mend = BROKEN[name]
        assert [one for one in found if one.where.endswith(where) and what in one.what and mend in (one.mend or "")], (
            name
        )
    assert all(one.mend for one in found)


def test_a_section_that_is_not_valid_does_not_hide_the_others(here: Path, tmp_path: Path) -> None:
    change = {"adapt": {"rounds": 0, "trian": {}}, "segment": {"raw": "runs/demo/none.zarr/raw"}}
    wrong = na.check(write_config(tmp_path, change))["wrong"]
    assert len(wrong) == 3, wrong
    assert {"'adapt.trian'", "adapt.rounds"} <= {word for one in wrong for word in one.what.split()}
    assert [one.where for one in wrong if one.where.startswith("segment")] == ["segment.raw"]


MANY = {
    "train": {
        "iterations": 0,
        "keep_best": "voi",
        "samples": [{"raw": "none/raw", "labels": "none/labels", "flag": 1}],
    },
    "validation": {"raw": "none/raw2", "labels": "none/labels2"},
    "select": {"zoo": "none/zoo"},
    "segment": {
        "blok_vx": [1, 2, 3],
        "raw": "none/raw3",
        "mask": "none/mask",
        "execution": {"workers": "two"},
        "no_data": "",
    },
    "evaluate": {"labels": "none/labels3", "treshold": 3},
}


def test_sections_that_are_not_valid_hide_nothing(here: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.json"
    path.write_text(json.dumps(MANY))
    told = [f"{one.where}: {one.what}" for one in na.check(path)["wrong"]]
    for words in (
        ("many.json", "train.iterations should be"),
        ("many.json", "'train.samples.0.flag'"),
        ("many.json", "'train.output' is missing"),
        ("train.samples[0]", "none/raw: there is no array"),
        ("train.samples[0]", "none/labels: there is no array"),
        ("validation", "none/raw2: there is no array"),
        ("validation", "none/labels2: there is no array"),
        ("select", "none/zoo"),
        ("many.json", "'segment.blok_vx'"),
        ("many.json", "segment.execution.workers should be"),
        ("many.json", "segment.no_data: the path is empty"),
        ("many.json", "'segment.backbone' is missing"),
        ("many.json", "'segment.output' is missing"),
        ("segment.raw", "none/raw3: there is no array"),
        ("segment.mask", "none/mask: there is no array"),
        ("evaluate.labels", "none/labels3: there is no array"),
        ("many.json", "'evaluate.treshold'"),
    ):
        assert [one for one in told if all(word in one for word in words)], (words, told)
    assert not [one for one in told if "<not given>" in one]


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("segment", {"backbone": None, "output": 3, "execution": {"workers": "two"}}),
        ("segment", {"components": {"threshold": 7}, "fragments": {"none": 1}, "block_vx": [1, 2, "x"]}),
        ("adapt", {"propose": {"shape_nm": ["a", "b", 1]}, "train": {"name": 3}, "output": None}),
        ("evaluate", {"thresholds": [2, "x"], "compare": 3, "labels": 1}),
    ],
)
def test_faults_of_a_section_are_told_once_and_the_others_are_looked_at(
    here: Path, tmp_path: Path, section: str, change: dict[str, Any]
) -> None:
    other = "adapt" if section != "adapt" else "segment"
    found = na.check(write_config(tmp_path, {section: change, other: {"raw": "none/raw"}}))
    assert [one for one in found["wrong"] if one.where == f"{other}.raw"]
    lines = [one.what for one in found["wrong"]]
    assert len(lines) == len(set(lines))
    assert not [line for line in lines if "is missing" in line or "<not given>" in line]
    for key in change:
        assert [line for line in lines if f"{section}.{key}" in line], (key, lines)


@pytest.mark.parametrize("text", ["{", "[1]", '{"segment": 3}', "{}", None])
def test_what_is_no_config_is_a_fault(command: Run, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    code, told, _ = command("check", path, "--json")
    assert code == 2
    assert all(one["mend"] for one in json.loads(told)["findings"] if one["level"] == "wrong")


def test_configs_are_laid_over_each_other_and_keys_are_set(here: Path, tmp_path: Path) -> None:
    machine_config = tmp_path / "machine.toml"
    machine_config.write_text("[segment.execution]\nworkers = 32\n")
    config = write_config(tmp_path, {})
    assert not na.check(config)["doubtful"]
    for found in (na.check([config, machine_config]), na.check(config, overrides=["segment.execution.workers=32"])):
        (doubt,) = found["doubtful"]
        assert doubt.where == "segment.execution"
        assert "32 workers" in doubt.what
        assert doubt.mend == "set workers to 2"


def test_a_disk_that_is_too_small_is_wrong_and_a_tight_one_doubtful(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path, {})
    usage = shutil.disk_usage("/")
    needed = machine.BYTES_PER_VOXEL * np.prod(CROP)
    for share, level in ((0.1, "wrong"), (1.0, "doubtful"), (100.0, "right")):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, s=share: usage._replace(free=int(s * needed)))
        assert [one for one in na.check(config)[level] if "will be written" in one.what], level


def test_memory_that_does_not_hold_all_workers_is_doubtful(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "count_available_bytes", lambda: 2**30)
    config = write_config(tmp_path, {"segment": {"backbone": "mouse_cortex_sssem", "execution": {"workers": 2}}})
    assert any("of memory" in one.what for one in na.check(config)["doubtful"])
    monkeypatch.setattr(machine, "count_available_bytes", lambda: 2**40)
    assert any("of memory" in one.what for one in na.check(config)["right"])


def list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of all that is in a folder, but for the test's own config and cache."""
    found = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*")}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items() if not name.startswith("cache")}


def test_raw_that_shows_little_is_doubtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "SAMPLE_BYTES", 2**17)
    noise = np.random.default_rng(0).integers(0, 256, (64, 256, 256), np.uint8)
    half = noise.copy()
    half[:, :, :150] = 0
    cases = {
        "blank": (half, "are blank"),
        "flat": ((noise // 32 + 100).astype(np.uint8), "98 % of its voxels are between 100 and 107"),
        "two": ((noise > 9).astype(np.uint8) * 255, "two values only, 0 and 255"),
        "constant": (np.full_like(noise, 7), "of the one value 7"),
    }
    for name, (voxels, what) in cases.items():
        volume = Volume.create(tmp_path / f"{name}.zarr/raw", voxels.shape, (30, 6, 6), np.uint8, chunk_vx=(32, 32, 32))
        volume.write(volume.roi, voxels)
        (doubt,) = na.check(tmp_path / f"{name}.zarr/raw")["doubtful"]
        assert what in doubt.what
        assert doubt.mend
    volume.write(volume.roi, noise)
    assert not na.check(volume)["doubtful"]


@pytest.mark.parametrize("dtype", [np.int8, bool])
def test_raw_of_another_type_is_doubtful_alone_and_wrong_in_a_run(here: Path, tmp_path: Path, dtype: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 127, CROP, np.uint8).astype(dtype)
    raw = write_array(tmp_path / "v.zarr/raw", noise)
    (doubt,) = na.check(raw)["doubtful"]
    assert f"it is {np.dtype(dtype)}: every run refuses it as raw" in doubt.what
    assert "--kind raw" in (doubt.mend or "")
    for section in ("segment", "adapt"):
        wrong = na.check(write_config(tmp_path, {section: {"raw": raw}}))["wrong"]
        (fault,) = [one for one in wrong if one.where == f"{section}.raw"]
        assert f"raw is {np.dtype(dtype)} with 3 axes" in fault.what


def test_chunks_that_are_not_stored_are_counted(tmp_path: Path) -> None:
    volume = Volume.create(tmp_path / "v.zarr/raw", (8, 64, 64), (30, 6, 6), np.uint8, chunk_vx=(4, 32, 32))
    assert "none of its 8 chunks is stored" in [one.what for one in na.check(volume)["wrong"]][-1]
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 256, (8, 64, 64), np.uint8))
    assert [one.level for one in na.check(volume).all] == ["right"]
    shutil.rmtree(tmp_path / "v.zarr/raw/1/1")
    assert "2 of its 8 chunks are not stored" in na.check(volume)["doubtful"][0].what


def test_damaged_chunks_are_wrong(tmp_path: Path) -> None:
    volume = Volume.create(tmp_path / "v.zarr/raw", (9, 60, 60), (30, 6, 6), np.uint8, chunk_vx=(3, 20, 20))
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 256, (9, 60, 60), np.uint8))
    chunks = [path for path in (tmp_path / "v.zarr/raw").rglob("*") if path.is_file() and path.name.isdigit()]
    chunks[0].write_bytes(b"damaged")
    assert "1 of 27 places cannot be read" in na.check(volume)["wrong"][0].what
    for chunk in chunks:
        chunk.write_bytes(b"damaged")
    assert "27 of 27 places cannot be read" in na.check(volume)["wrong"][-1].what


def test_a_volume_is_described_and_looked_at(command: Run, here: Path) -> None:
    code, told, _ = command("check", "runs/demo/test.zarr/labels", "--json")
    facts = json.loads(told)
    assert code == 0
    assert facts["volume"]["shape"] == list(CROP)
    assert facts["volume"]["voxel_size_nm"] == [30, 6, 6]
    assert "ids in all looked at" in facts["findings"][0]["what"] or "ids in the places" in facts["findings"][0]["what"]
    code, told, _ = command("check", "runs/demo/test.zarr/raw")
    assert (code, "(1st and 99th percentile)" in told, "percentiles_1_99: " in told) == (0, True, True)
    code, _, errors = command("check", "runs/demo/test.zarr")
    assert code == 2
    assert errors.count("\n") == 1
    assert command("check", "runs/demo/test.zarr/raw", "--set", "a=1")[0] == 2
    assert command("check")[0] == 2


def test_a_file_is_looked_at_before_its_import(command: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((4, 8, 8), np.float32))
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["volumes/raw"] = np.zeros((4, 8, 8), np.uint8)
        file["volumes/raw"].attrs["resolution"] = (40.0, 4.0, 4.0)
    code, told, _ = command("check", tmp_path / "v.h5", "--json")
    assert code == 0
    assert json.loads(told)["volume"]["voxel_size_nm"] == [40, 4, 4]
    assert [one["level"] for one in json.loads(told)["findings"]] == ["right"]
    doubts = na.check(tmp_path / "v.npy")["doubtful"]
    assert ["--voxel-size" in (one.mend or "") for one in doubts] == [True, False]
    assert "float32" in doubts[1].what
    (tmp_path / "broken.h5").write_bytes((tmp_path / "v.h5").read_bytes()[:300])
    (fault,) = na.check(tmp_path / "broken.h5")["wrong"]
    assert fault.mend
    assert {path.name for path in tmp_path.iterdir()} == {"v.npy", "v.h5", "broken.h5"}


DOUBTS: dict[str, tuple[dict[str, Any], str]] = {
    "order": ({"resolution": (4.0, 4.0, 40.0)}, "its voxel size, 4 x 4 x 40 nm (zyx), looks like x, y, z"),
    "unit": ({"resolution": (40000.0, 4000.0, 4000.0)}, "is none of electron microscopy: was another unit meant?"),
    "unset": ({"resolution": (1.0, 1.0, 1.0)}, "is 1 along each axis, which is also written where none is known"),
    "rounded": ({"resolution": (40.0, 4.00049, 4.0)}, "is rounded to whole picometres"),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_a_file_is_doubted_as_its_import_does(command: Run, tmp_path: Path, case: str) -> None:
    attrs, what = DOUBTS[case]
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["volumes/raw"] = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
        file["volumes/raw"].attrs.update(attrs)
    (doubt,) = na.check(tmp_path / "v.h5")["doubtful"]
    assert what in doubt.what
    code, _, error = command("import", tmp_path / "v.h5", tmp_path / "own.zarr")
    assert (code, doubt.what in error) == (0, True)


def test_a_file_whose_voxel_size_is_none_or_that_is_in_colour_is_wrong(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["raw"] = np.zeros((4, 8, 8), np.uint8)
        file["raw"].attrs["resolution"] = (4e-8, 4e-9, 4e-9)
    assert "its voxel size is [4e-08, 4e-09, 4e-09]" in na.check(tmp_path / "v.h5")["wrong"][0].what
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["data"] = np.zeros((3, 4, 8, 8), np.uint8)
        file["data"].attrs["resolution"] = (40.0, 4.0, 4.0)
    assert "it has shape (3, 4, 8, 8); three axes" in str(na.check(tmp_path / "c.h5")._errors[0])


def test_a_ledger_is_asked_and_not_made(own_mongo_url: str, here: Path, tmp_path: Path) -> None:
    from pymongo import MongoClient

    url = f"sqlite:///{tmp_path}/new/ledger.db"
    for ledger, told in ((own_mongo_url, "answers"), (url, "will be made")):
        found = na.check(write_config(tmp_path, {"segment": {"ledger": ledger}}))
        assert [one for one in found["right"] if one.where == "segment.ledger" and told in one.what]
    assert not (tmp_path / "new").exists()
    with MongoClient(own_mongo_url) as client:
        assert client.get_default_database().name not in client.list_database_names()


def test_a_password_is_not_told(here: Path, tmp_path: Path) -> None:
    url = f"mongodb://me:secret@127.0.0.1:{find_port()}/runs?serverSelectionTimeoutMS=200"
    found = na.check(write_config(tmp_path, {"segment": {"ledger": url}}))
    assert found["wrong"]
    assert "secret" not in json.dumps(found.to_data())


def test_what_readers_warn_of_is_doubtful(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    volume = Volume.create(tmp_path / "v.zarr/raw", noise.shape, (6, 6, 30), np.uint8)
    volume.write(volume.roi, noise)
    for _ in range(2):
        (doubt,) = na.check(volume)["doubtful"]
        assert "looks like x, y, z" in doubt.what
    assert not caplog.messages


def test_another_voxel_size_is_doubtful_where_it_is_allowed(here: Path, tmp_path: Path) -> None:
    (doubt,) = na.check(write_config(tmp_path, {"adapt": {"backbone": "fly_fibsem"}}))["doubtful"]
    assert doubt.where == "adapt.backbone"
    assert "runs on voxels of 30 x 6 x 6 nm (zyx), and was trained on 10 x 10 x 10 nm" in doubt.what


def test_masks_and_raw_of_labels_are_doubtful(here: Path, tmp_path: Path) -> None:
    labels = Volume.open("runs/demo/test.zarr/labels").read()
    ids = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint8)
    mask = write_array(tmp_path / "v.zarr/mask", ids)
    (doubt,) = na.check(write_config(tmp_path, {"segment": {"mask": mask}}))["doubtful"]
    assert (doubt.where, "values other than 0" in doubt.what) == ("segment.mask", True)
    for change in ({"segment": {"raw": mask}}, {"adapt": {"raw": mask}}):
        doubts = na.check(write_config(tmp_path, change))["doubtful"]
        assert [one for one in doubts if "it looks like labels, not like raw" in one.what], change
    alone = na.check(mask)
    assert [one for one in alone["doubtful"] if "it looks like labels, not like raw" in one.what]
    few = write_array(tmp_path / "v.zarr/few", (labels % 4).astype(np.uint8))
    assert not na.check(write_config(tmp_path, {"segment": {"mask": few}}))["doubtful"]


def test_no_real_raw_is_taken_for_labels_or_a_mask(whole: Path) -> None:
    for name in ("test", "train"):
        assert not na.check(whole / f"runs/demo/{name}.zarr/raw")["doubtful"]
        wrong = na.check(whole / f"runs/demo/{name}.zarr/labels")
        assert not wrong["wrong"] + wrong["doubtful"]
