"""The validation of a network while it trains."""

import numpy as np
import pytest
import torch

from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.evaluation import validation
from neuroadda.evaluation.validation import ValidateConfig, Validator
from neuroadda.prediction.predict import Predict
from neuroadda.volumes.arrays import Volume
from tests.active.networks import write_random_backbone, write_raw


@pytest.fixture
def threads():
    """Give torch its threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_the_network_runs_as_suits_the_threads_that_torch_has(tmp_path, monkeypatch):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    labels = Volume.create(
        tmp_path / "raw.zarr/labels", raw.shape_vx, raw.voxel_size_nm, np.uint64, offset_nm=raw.offset_nm
    )
    labels.write(labels.roi, np.arange(np.prod(raw.shape_vx), dtype=np.uint64).reshape(raw.shape_vx) // 500 + 1)
    backbone = load_backbone(write_random_backbone(tmp_path / "b"))
    made, scores = [], []

    class Recorded(validation.Predictor):
        def __init__(self, backbone, parameters):
            super().__init__(backbone, parameters)
            made.append(self)

    monkeypatch.setattr(validation, "Predictor", Recorded)
    predict = Predict(device="cpu", precision="float32", threads=3)
    validator = Validator(ValidateConfig(raw=str(raw.path), labels=str(labels.path), predict=predict))
    for count in (1, 2):
        torch.set_num_threads(count)
        scores.append(validator(backbone)["voi"])
    in_chunks, at_once = made
    assert in_chunks.model is not backbone.model
    assert at_once.model is backbone.model
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
