"""What a backbone's card says of fragments, merging and threshold is taken, unless a config says it itself."""

import shutil
from pathlib import Path

import pytest

from neuroadda.backbones.card import load_card
from neuroadda.config import load_config_file, write_json, write_toml
from neuroadda.errors import SettingError, UserError
from neuroadda.segmentation.agglomerate import Agglomerate
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.pipeline import make_plan
from neuroadda.segmentation.settings import Threshold
from neuroadda.volumes.identity.inputs import Inputs
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.finding import find_backbone

TUNED = {"fragments": {"seed_distance_vx": 4}, "agglomerate": {"limit": 0.8}, "components": {"threshold": 0.65}}


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """Raw, a backbone whose card says how to segment, and an output."""
    write_phantom(PhantomConfig(shape_vx=(6, 48, 48), seed=3), tmp_path / "p.zarr")
    shutil.copytree(find_backbone("mouse_cortex_sssem"), tmp_path / "backbone")
    say(tmp_path / "backbone", TUNED)
    places = {"raw": tmp_path / "p.zarr/raw", "backbone": tmp_path / "backbone", "output": tmp_path / "run"}
    return {name: str(place) for name, place in places.items()}


def say(backbone: Path, segmentation: dict[str, object]) -> None:
    card = load_card(backbone).model_copy(update={"segmentation": segmentation})
    write_json(backbone / "card.json", card.model_dump(mode="json"))


def test_a_run_takes_what_the_card_says(given: dict[str, str]) -> None:
    config = make_plan(SegmentConfig(**given)).config
    assert config.fragments.seed_distance_vx == 4
    assert (config.agglomerate.limit, config.components.threshold) == (0.8, 0.65)
    stages = {task.name: task.bound for task in make_plan(SegmentConfig(**given)).tasks}
    assert stages["fragments"] == config.fragments
    assert stages["agglomerate-0"].limit == 0.8


def test_settings_of_a_config_come_before_those_of_the_card(given: dict[str, str]) -> None:
    untuned = load_card(given["backbone"]).metrics["threshold"]
    for part in ({"fragments": Fragments(boundary=0.2)}, {"agglomerate": Agglomerate()}):
        config = make_plan(SegmentConfig(**given, **part)).config
        assert config.fragments.seed_distance_vx == 6
        assert (config.agglomerate.limit, config.components.threshold) == (0.95, untuned)
    own = Threshold(threshold=0.3, min_voxels=7)
    config = make_plan(SegmentConfig(**given, components=own)).config
    assert config.components == own
    assert config.fragments.seed_distance_vx == 4
    small = make_plan(SegmentConfig(**given, components=Threshold(min_voxels=7))).config
    assert small.components == Threshold(threshold=0.65, min_voxels=7)


def test_a_plan_says_everything_itself(given: dict[str, str]) -> None:
    plan = make_plan(SegmentConfig(**given))
    say(Path(given["backbone"]), {})
    assert make_plan(plan.config) == plan


def test_another_tuning_does_its_runs_again(given: dict[str, str]) -> None:
    inputs = Inputs(Path(given["output"]))
    make_plan(SegmentConfig(**given), inputs)
    inputs.keep()
    say(Path(given["backbone"]), TUNED | {"fragments": {"seed_distance_vx": 8}})
    again = Inputs(Path(given["output"]))
    make_plan(SegmentConfig(**given), again)
    assert list(again.edited) == ["settings"]
    own = Inputs(Path(given["output"]))
    make_plan(SegmentConfig(**given, fragments=Fragments()), own)
    assert "settings" not in own.edited


def test_a_card_of_another_version_and_a_limit_that_is_too_low_are_refused(given: dict[str, str]) -> None:
    say(Path(given["backbone"]), TUNED | {"fragments": {"smoothness": 3}})
    with pytest.raises(UserError, match=r"unknown key 'fragments\.smoothness'"):
        make_plan(SegmentConfig(**given))
    say(Path(given["backbone"]), TUNED | {"agglomerate": {"limit": 0.4}})
    with pytest.raises(SettingError, match=r"threshold 0\.65 is above agglomerate\.limit 0\.4"):
        make_plan(SegmentConfig(**given))


def test_toml_is_read_as_it_was_written(tmp_path: Path) -> None:
    data = {
        "title": 'a "quoted" \\ line\n',
        "segment": {
            "fragments": {"sections": True, "boundary": 0.3, "seeds": [1, 2, 3]},
            "none": None,
            "deep": {"a": {"b": 1e-7}},
        },
    }
    write_toml(tmp_path / "x.toml", data, "what it is")
    del data["segment"]["none"]
    assert load_config_file(tmp_path / "x.toml") == data
