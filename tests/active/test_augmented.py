from itertools import product

import numpy as np
import pytest
from funlib.geometry import Roi

from neuroadda.backbones.card import NEAREST
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.prediction.augmented import AugmentedPredictor
from neuroadda.prediction.predict import Predict
from neuroadda.prediction.predictor import Predictor
from neuroadda.prediction.symmetries import Symmetry, list_symmetries
from tests.active.networks import SHAPE_VX, write_even_backbone, write_random_backbone, write_raw

TILE_VX = (5, 20, 26)
SYMMETRIES = [Symmetry(*flags) for flags in product((False, True), repeat=3)]


def make(folder, raw) -> AugmentedPredictor:
    backbone = load_backbone(folder)
    parameters = Predict(tile_vx=TILE_VX, device="cpu", precision="float32")
    return AugmentedPredictor(Predictor(backbone, parameters), backbone.card, list_symmetries(raw.voxel_size))


def predict(augmented, raw, roi=None) -> np.ndarray:
    return np.stack(list(augmented(raw, raw.roi if roi is None else roi))).astype(int)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_what_is_turned_is_turned_back(symmetry):
    array = np.random.default_rng(0).random((2, 3, 4, 5))
    assert (symmetry.undo(symmetry.apply(array)) == array).all()
    marked = np.zeros((1, 7, 7))
    marked[0, 3 - 1, 3 - 2] = 1
    _, y, x = symmetry.turn((0, -1, -2))
    assert symmetry.apply(marked)[0, 3 + y, 3 + x] == 1


def test_a_network_that_is_the_same_to_all_sides_never_changes_its_mind(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    members = predict(make(write_even_backbone(tmp_path / "even"), raw), raw)
    assert members.shape == (8, 3, *SHAPE_VX)
    assert members[0].std() > 20
    assert (members == members[0]).all()  # up to the volume's border, beyond which raw is mirrored


def test_the_first_is_the_plain_prediction_and_the_others_differ(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    augmented = make(write_random_backbone(tmp_path / "random"), raw)
    members = predict(augmented, raw)
    assert (members[0] == augmented.predictor(raw, raw.roi)[0]).all()
    assert all((other != members[0]).mean() > 0.5 for other in members[1:])


def test_a_turned_volume_gives_the_same_opinions_turned(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    folder = write_random_backbone(tmp_path / "random")
    members = np.sort(predict(make(folder, raw), raw), axis=0)
    for i, symmetry in enumerate((SYMMETRIES[1], SYMMETRIES[6])):
        turned = write_raw(tmp_path / f"{i}.zarr/raw", symmetry.apply(raw.read()))
        found = np.sort(predict(make(folder, turned), turned), axis=0)
        for channel, offset in enumerate(NEAREST):
            direction = symmetry.turn(offset)
            backwards = direction not in NEAREST
            other = NEAREST.index(tuple(-d for d in direction) if backwards else direction)
            expected = symmetry.apply(members[:, channel])
            seen = found[:, other]
            if backwards:  # the pair of p and p + direction now belongs to its other end
                axis = 1 + int(np.flatnonzero(direction)[0])
                expected = np.delete(expected, -1, axis)
                seen = np.delete(seen, 0, axis)
            assert np.abs(expected - seen).max() <= 1  # a sum in another order may round differently


def test_opinions_do_not_depend_on_the_block(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    augmented = make(write_random_backbone(tmp_path / "random"), raw)
    whole = predict(augmented, raw)
    for begin, shape in (((0, 0, 0), (4, 17, 13)), ((3, 21, 30), (6, 29, 31))):
        part = Roi(begin, shape)
        seen = predict(augmented, raw, part * raw.voxel_size + raw.roi.begin)
        assert np.abs(whole[(..., *part.to_slices())] - seen).max() <= 1


def test_transposed_only_where_voxels_are_square(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw", voxel_size_nm=(30, 6, 7))
    members = predict(make(write_even_backbone(tmp_path / "even"), raw), raw)
    assert members.shape == (4, 3, *SHAPE_VX)
    assert (members == members[0]).all()


def test_channels_that_no_other_speaks_for_are_left_out(tmp_path):
    raw = write_raw(tmp_path / "raw.zarr/raw")
    offsets = ((0, -1, 0), (0, 0, -1), (0, -3, 0), (0, -2, -2), (0, -2, 2), (0, 1, 0))
    augmented = make(write_random_backbone(tmp_path / "random", offsets=offsets), raw)
    assert augmented.offsets == ((0, -1, 0), (0, 0, -1), (0, -2, -2), (0, -2, 2), (0, 1, 0))
    assert predict(augmented, raw).shape == (8, 5, *SHAPE_VX)
