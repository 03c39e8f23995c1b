from pathlib import Path

import pytest

from neuroadda.config import lay_over, load_config_file, parse_config
from neuroadda.flow import RunConfig

FOLDER = Path(__file__).parent.parent / "configs"
CONFIGS = sorted(path for path in FOLDER.iterdir() if path.is_file())
MACHINES = sorted((FOLDER / "machines").iterdir())


def test_there_are_configs():
    assert len(CONFIGS) >= 5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_is_valid_and_its_parts_fit_together(path):
    config = parse_config(RunConfig, load_config_file(path), path.name)
    assert config.segment is not None
    assert config.evaluate is not None
    if config.adapt is not None:
        assert config.segment.backbone == f"{config.adapt.output}/backbone"
        assert config.evaluate.labels != config.adapt.oracle
        held_out, trained = config.adapt.validation, config.adapt.roi
    else:
        assert config.train is not None
        assert config.segment.backbone == f"{config.train.output}/backbone"
        assert config.evaluate.labels != config.train.samples[0].labels
        held_out, trained = config.validation, config.train.samples[0].roi
    if held_out is not None:
        assert held_out.roi is not None
        assert trained is not None
        ends = [o + s for o, s in zip(trained.offset_nm, trained.shape_nm, strict=True)]
        assert any(o >= e for o, e in zip(held_out.roi.offset_nm, ends, strict=True)), "the validation is trained on"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_every_machine_config_may_be_laid_over_every_config(machine):
    laid = load_config_file(machine)
    for path in CONFIGS:
        before = load_config_file(path)
        config = parse_config(RunConfig, lay_over(before, laid), machine.name)
        assert config.segment.raw == before["segment"]["raw"]
        assert config.segment.execution.launcher == machine.stem
        assert config.segment.execution.job_for(True).gpus == 1
        assert config.segment.execution.job_for(False).gpus == 0
        assert config.segment.execution.job_for(True).account == "neuro"
