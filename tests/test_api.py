"""The public API: light to import, documented, quiet, the same for text and `Path`."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroadda as na

PACKAGE = Path(na.__file__).parent
FUNCTIONS = sorted(name for name in na.__all__ if inspect.isfunction(getattr(na, name)))
BACKBONE = "mouse_cortex_sssem"
AsPath = Callable[[Path], Any]


def list_imports_for_types() -> set[str]:
    """Return what `neuroadda/__init__.py` imports where a type checker reads it."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    return {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names} - {
        *("Any", "TYPE_CHECKING")
    }


def test_what_is_public_is_said_once_for_people_editors_and_type_checkers() -> None:
    assert set(na.__all__) == list_imports_for_types() == set(na._PUBLIC)
    assert set(na.__all__) <= set(dir(na))
    for name in na.__all__:
        assert getattr(na, name).__module__ == na._PUBLIC[name] or name in (
            "AdaptConfig",
            "ProposeConfig",
            "import_volume",
        )
    with pytest.raises(AttributeError, match="no attribute 'segmnet'"):
        na.segmnet  # noqa: B018


def test_importing_is_light() -> None:
    heavy = ("numpy", "zarr", "torch", "daisy", "pydantic", "gunpowder", "funlib")
    code = f"import neuroadda, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_the_functions_are_those_of_the_plan() -> None:
    plan = {"open_volume", "import_volume", "rank_sources", "propose", "adapt"}
    plan |= {"train", "predict", "segment", "evaluate", "publish", "mask", "tune", "likely_errors"}
    plan |= {"add_edit", "apply_edits", "list_edits", "undo_edit"}
    assert set(FUNCTIONS) == {*plan, "phantom", "run", "load_config", "check"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_tells_what_it_returns_and_raises(name: str) -> None:
    documented = inspect.getdoc(getattr(na, name)) or ""
    assert "Returns\n-------" in documented or name == "load_config"
    assert "Raises\n------" in documented
    assert "UserError" in documented
    signature = inspect.signature(getattr(na, name))
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


@pytest.mark.parametrize("name", ["segment", "predict", "evaluate", "train", "tune", "propose", "publish"])
def test_docstrings_tell_shapes_and_types(name: str) -> None:
    documented = getattr(na, name).__doc__
    assert re.search(r"zyx|z, y, x", documented)
    assert re.search(r"uint8|uint64|[Ii]ntegers", documented)


def test_nothing_but_the_command_line_prints() -> None:
    printing = []
    for path in PACKAGE.rglob("*.py"):
        if "cli" in path.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printing.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert printing == []


@pytest.fixture(params=[str, Path], ids=["str", "Path"])
def as_path(request: pytest.FixtureRequest) -> AsPath:
    return request.param


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "p.zarr"
    na.phantom(folder, shape_vx=(10, 96, 96), seed=3)
    return folder


@pytest.fixture
def serial() -> na.Execution:
    return na.Execution(launcher="serial")


def test_volumes_are_named_by_text_and_by_path(as_path: AsPath, tmp_path: Path) -> None:
    raw, labels = na.phantom(as_path(tmp_path / "p.zarr"), shape_vx=(4, 32, 32))
    assert (raw.dtype, labels.dtype) == (np.uint8, np.uint64)
    assert na.open_volume(as_path(tmp_path / "p.zarr/raw")).fingerprint == raw.fingerprint
    hdf = na.publish(as_path(tmp_path / "p.zarr/labels"), as_path(tmp_path / "out.hdf"))
    assert hdf == tmp_path / "out.hdf"
    back = na.import_volume(as_path(hdf), as_path(tmp_path / "back.zarr/labels"), kind="labels")
    assert (back.read() == labels.read()).all()
    copied = na.publish(labels, as_path(tmp_path / "copy.zarr/labels"))
    assert (na.open_volume(as_path(copied)).read() == labels.read()).all()
    scales = na.publish(labels, as_path(tmp_path / "scales.zarr"))
    assert (na.open_volume(as_path(scales / "0")).read() == labels.read()).all()
    with pytest.raises(na.UserError, match="there is no array here"):
        na.open_volume(as_path(tmp_path / "nowhere"))
    with pytest.raises(na.UserError):
        na.import_volume(as_path(tmp_path / "stack"), as_path(tmp_path / "stack.zarr/raw"))
    with pytest.raises(na.UserError, match="format is not clear"):
        na.publish(labels, as_path(tmp_path / "labels.jpeg"))


def test_runs_are_named_by_text_and_by_path(
    as_path: AsPath, volume: Path, tmp_path: Path, serial: na.Execution
) -> None:
    raw, labels, run = as_path(volume / "raw"), as_path(volume / "labels"), as_path(tmp_path / "run")
    config = na.SegmentConfig(raw="of no matter", backbone=BACKBONE, output="either", execution=serial)
    given = {"config": config, "output": run, "mask": as_path(volume / "labels")}
    affs = na.predict(raw, **given)
    assert (affs.dtype, affs.channels) == (np.uint8, 3)
    segmentation = na.segment(raw, **given)
    assert segmentation.dtype == np.uint64
    assert segmentation.path == tmp_path / "run/volumes.zarr/segmentation"
    of_run = na.evaluate(run, labels, thresholds=[0.3, 0.5], compare={"truth": labels})
    assert of_run.sweep is not None
    assert len(of_run.stages) >= 6
    assert of_run.compared["truth"].voi == 0
    assert na.evaluate(segmentation, labels).scores == of_run.scores == na.evaluate(segmentation.path, labels).scores
    assert (na.open_volume(na.publish(run, as_path(tmp_path / "o.zarr/s"))).read() == segmentation.read()).all()
    with pytest.raises(na.UserError, match="baselines are scored of a run"):
        na.evaluate(segmentation, labels, baselines=True)


def test_a_new_volume_is_adapted_to(as_path: AsPath, volume: Path, tmp_path: Path, serial: na.Execution) -> None:
    raw, labels = as_path(volume / "raw"), as_path(volume / "labels")
    shape_nm = (240, 288, 288)
    asked = na.ProposeConfig(raw="-", output="-", execution=serial)
    found = na.propose(
        raw, backbone=BACKBONE, output=as_path(tmp_path / "asked"), count=1, shape_nm=shape_nm, config=asked
    )
    assert (tmp_path / "asked/contact_sheet.html").exists()
    assert [box.shape_nm for box in found.proposals.proposals] == [shape_nm]

    class Told(na.RunObserver):
        def __init__(self) -> None:
            self.notes: list[str] = []
            self.iterations: list[int] = []

        def on_note(self, text: str) -> None:
            self.notes.append(text)

        def on_iteration(self, name: str, iteration: int, iterations: int, values: Any) -> None:
            self.iterations.append(iteration)

    told = Told()
    train = {"name": "a", "domain": "p", "iterations": 9, "output_shape_vx": (4, 16, 16), "workers": 0}
    propose = {"shape_nm": shape_nm, "choose": {"count": 1}}
    config = na.AdaptConfig(raw="-", output="-", train=train, propose=propose, execution=serial)
    keys = {"backbone": BACKBONE, "oracle": labels, "iterations": 2, "observer": told}
    adapted = na.adapt(raw, output=as_path(tmp_path / "adapted"), config=config, **keys)
    assert adapted.backbone == tmp_path / "adapted/backbone"
    assert told.iterations == [1, 2]
    assert told.notes == ["a starts from mouse_cortex_sssem"]

    samples = (na.SampleConfig(raw=str(raw), labels=str(labels)),)
    plain = na.TrainConfig(name="t", domain="p", samples=samples, output="-", iterations=1, output_shape_vx=(4, 16, 16))
    for start in (as_path(adapted.backbone), BACKBONE):
        trained = na.train(config=plain, output=as_path(tmp_path / f"t_{Path(start).name}"), start=start)
        assert trained.card.iterations == 1


def test_sources_are_ranked(tmp_path: Path) -> None:
    na.phantom(tmp_path / "p.zarr", shape_vx=(10, 192, 192))
    config = na.SelectConfig(rank={"patches": {"count": 16}})
    exclude = ["generalist", "fly_fibsem", "fly_medulla_fibsem", "fly_larva_l3_sstem"]
    ranking = na.rank_sources(tmp_path / "p.zarr/raw", zoo=str(PACKAGE / "zoo/data"), exclude=exclude, config=config)
    assert {row.name for row in ranking.rows} == {"mouse_cortex_sssem", "fly_larva_l1_sstem"}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(na.UserError, match="segment: key 'raw' is missing"):
        na.segment(backbone=BACKBONE, output="run")
    with pytest.raises(na.UserError, match=r"propose: choose\.count should be greater than or equal to 1, not 0"):
        na.propose("raw", output="out", count=0)


def test_a_config_is_read_from_files(tmp_path: Path, as_path: AsPath) -> None:
    (tmp_path / "a.toml").write_text('[segment]\nraw = "a"\nbackbone = "b"\noutput = "c"\n')
    (tmp_path / "b.toml").write_text("[segment.execution]\nworkers = 3\n")
    config = na.load_config([as_path(tmp_path / name) for name in ("a.toml", "b.toml")], ["segment.mask=m"])
    assert config.segment is not None
    assert (config.segment.execution.workers, config.segment.mask) == (3, "m")
    assert na.load_config(as_path(tmp_path / "a.toml")).segment.execution.workers == 2


def test_messages_name_the_section_and_the_option(volume: Path, tmp_path: Path) -> None:
    far = {"backbone": "fly_medulla_fibsem", "output": tmp_path / "run"}
    with pytest.raises(na.UserError, match=r"^segment\.any_voxel_size: .* is far .* \(option --any-voxel-size\)$"):
        na.segment(volume / "raw", **far)
    config = na.SegmentConfig(raw="-", backbone="-", output="-", predict={"precision": "float16", "device": "cpu"})
    with pytest.raises(na.UserError, match=r"^segment\.predict\.precision: a CPU does not compute in float16"):
        na.segment(volume / "raw", **far, any_voxel_size=True, config=config)
    train = {"name": "a", "domain": "p", "iterations": 1, "validate_every": 1, "keep_best": "voi"}
    train["output_shape_vx"] = (4, 16, 16)
    keys = {"output": tmp_path / "adapted", "backbone": BACKBONE}
    small, large = (
        na.AdaptConfig(raw="-", output="-", train=train, propose={"shape_nm": shape_nm})
        for shape_nm in ((30, 60, 60), (240, 288, 288))
    )
    with pytest.raises(
        na.UserError, match=r"^adapt\.propose\.shape_nm: boxes of .* are smaller than train\.output_shape_vx"
    ):
        na.adapt(volume / "raw", config=small, **keys)
    with pytest.raises(na.UserError, match=r"^adapt\.train\.keep_best: .* an \[adapt\.validation\] section$"):
        na.adapt(volume / "raw", config=large, **keys)
    assert not (tmp_path / "run").exists()


def test_the_listing_is_what_is_public() -> None:
    assert dir(na) == sorted((*na.__all__, "__version__"))


def test_a_volume_tells_what_it_is(volume: Path) -> None:
    told = repr(na.open_volume(volume / "raw"))
    assert told == f"Volume('{volume}/raw': 10 x 96 x 96 uint8, voxels of 30 x 6 x 6 nm at 0 x 0 x 0 nm, zyx)"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: na.TrainConfig(name="a"),
            r"^TrainConfig: key 'domain' is missing; also wrong: key 'iterations' is missing; key 'samples' is missing; "
            r"key 'output' is missing$",
        ),
        (lambda: na.Execution(worker=2), r"^Execution: unknown key 'worker'; did you mean 'workers'\?$"),
        (
            lambda: na.SegmentConfig(raw=1, backbone="b", output="c"),
            r"^SegmentConfig: raw should be a valid string, not 1$",
        ),
        (lambda: na.SegmentConfig(raw="a", backbone="b", output=""), r"^SegmentConfig: output: the path is empty$"),
        (lambda: na.PhantomConfig(shape_vx=(0, 1, 1)), "shape_vx and voxel_size_nm should be positive"),
        (lambda: na.ProposeConfig(raw="a", output="b", choose={"count": 0}), r"choose\.count should be greater than"),
        (
            lambda: na.RunConfig(segment={"raw": "a"}),
            r"^RunConfig: key 'segment\.backbone' is missing; also wrong: key 'segment\.output' is missing$",
        ),
        (lambda: na.SampleConfig(raw="a", labels="b", roi={"offset_nm": 1}), r"^SampleConfig: roi\.offset_nm"),
        (
            lambda: na.AdaptConfig(raw="a", output="b", train={"name": "a", "domain": "b", "keep_best": "threshold"}),
            r"train\.keep_best should be 'voi', 'voi_split', 'voi_merge' or 'adapted_rand_error', not 'threshold'",
        ),
    ],
)
def test_a_wrong_config_is_a_user_error_of_one_line(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(na.UserError, match=told) as error:
        make()
    assert "\n" not in str(error.value)


def test_configs_take_paths_as_text_and_as_path(as_path: AsPath) -> None:
    a, b = as_path(Path("x/a")), as_path(Path("x/b"))
    sample = na.SampleConfig(raw=a, labels=b, mask=a)
    assert (sample.raw, sample.labels, sample.mask) == ("x/a", "x/b", "x/a")
    train = na.TrainConfig(name="n", domain="d", samples=(sample,), output=a, iterations=1, start={"backbone": b})
    assert (train.output, train.start.backbone) == (Path("x/a"), Path("x/b"))
    segment = na.SegmentConfig(raw=a, backbone=b, output=a, mask=b, volumes=b)
    assert [segment.raw, segment.output, segment.backbone, segment.mask, segment.volumes] == ["x/a"] * 2 + ["x/b"] * 3
    assert na.EvaluateConfig(labels=a, compare={"other": b}).compare == {"other": "x/b"}
    assert na.ValidateConfig(raw=a, labels=b).labels == "x/b"
    propose = na.ProposeConfig(raw=a, output=b, backbone=a, committee=(b,))
    assert (propose.raw, propose.output, propose.committee) == ("x/a", Path("x/b"), ("x/b",))
    assert (
        na.AdaptConfig(raw=a, output=b, oracle=b, train={"name": "n", "domain": "d", "iterations": 1}).oracle == "x/b"
    )
    assert na.SelectConfig(zoo=a).zoo == "x/a"


@pytest.mark.parametrize(
    "call",
    [
        lambda array, out: na.segment(array, backbone=BACKBONE, output=out),
        lambda array, out: na.predict(array, backbone=BACKBONE, output=out),
        lambda array, out: na.train(array, array, output=out, iterations=1),
        lambda array, out: na.evaluate(array, array),
        lambda array, out: na.open_volume(array),
        lambda array, out: na.import_volume(array, out),
        lambda array, out: na.publish(array, out),
        lambda array, out: na.propose(array, backbone=BACKBONE, output=out),
        lambda array, out: na.rank_sources(array),
    ],
)
def test_an_array_in_memory_is_refused_with_what_to_do(call: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    with pytest.raises(na.UserError, match=r"^numpy\.ndarray is no path, URL or Volume; numpy\.save it, and import"):
        call(np.zeros((4, 32, 32), np.uint8), tmp_path / "out.zarr")
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_training_is_taken_for_its_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neuroadda.zoo.finding import builtin_folder, find_backbone

    (tmp_path / "tr1").mkdir()
    (tmp_path / "tr1/backbone").symlink_to(builtin_folder() / BACKBONE)
    monkeypatch.chdir(tmp_path)
    for named in ("tr1", Path("tr1"), "./tr1", tmp_path / "tr1", "tr1/backbone"):
        assert find_backbone(named).resolve() == builtin_folder() / BACKBONE
    assert find_backbone(builtin_folder() / BACKBONE) == builtin_folder() / BACKBONE
    assert find_backbone("./nowhere") == Path("nowhere")
