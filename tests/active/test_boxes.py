"""A box is labelled, left out by a person, or waited for; one that was replaced does not stand for its successor."""

from pathlib import Path

import numpy as np
import pytest

from neuroadda.active.box_states import is_labelled, is_skipped, labels_path, skip_box
from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import Proposals
from neuroadda.errors import UserError
from tests.active.label_fixtures import BOX, make_proposals


@pytest.fixture
def proposals(tmp_path: Path) -> Proposals:
    return make_proposals(tmp_path)


def label(proposals: Proposals, rank: int, folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.ones(BOX, np.uint8))
    import_labels(proposals, tmp_path / "labels.npy", folder, rank=rank)


def test_a_skipped_box_is_left_out_until_it_is_labelled(proposals: Proposals, tmp_path: Path) -> None:
    first, second = proposals.proposals
    assert skip_box(proposals, 1, tmp_path / "l") == skip_box(proposals, 1, tmp_path / "l")
    assert (is_skipped(first, tmp_path / "l"), is_skipped(second, tmp_path / "l")) == (True, False)
    assert not is_labelled(first, tmp_path / "l")
    label(proposals, 1, tmp_path / "l", tmp_path)
    assert (is_skipped(first, tmp_path / "l"), is_labelled(first, tmp_path / "l")) == (False, True)


def test_what_is_recorded_of_a_box_is_not_of_another_of_its_rank(proposals: Proposals, tmp_path: Path) -> None:
    skip_box(proposals, 1, tmp_path / "l")
    label(proposals, 2, tmp_path / "l", tmp_path)
    first, second = (
        box.model_copy(update={"offset_nm": (box.offset_nm[0] + 40, *box.offset_nm[1:])}) for box in proposals.proposals
    )
    assert not is_skipped(first, tmp_path / "l")
    assert not is_labelled(second, tmp_path / "l")


def test_what_cannot_be_skipped(proposals: Proposals, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no roi_3; proposed were 1 to 2"):
        skip_box(proposals, 3, tmp_path / "l")
    label(proposals, 2, tmp_path / "l", tmp_path)
    with pytest.raises(UserError, match="it has labels; delete them"):
        skip_box(proposals, 2, tmp_path / "l")
    assert [path.name for path in (tmp_path / "l").glob("*.json")] == []
    assert labels_path(proposals.proposals[1], tmp_path / "l").exists()
