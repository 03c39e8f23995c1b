"""Proposing: the same boxes again, on the voxels and where they may be, and nothing of what lies there is lost."""

import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from neuroadda.active.proposals import PROPOSALS, Proposals, read_proposals
from neuroadda.active.propose import ProposeConfig, ProposeSettings, box_shape_vx, propose_boxes
from neuroadda.active.propose_config import cut_box
from neuroadda.active.scores import score_entropy
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import parse_config
from neuroadda.errors import UserError
from neuroadda.prediction.predictor import Predictor
from neuroadda.segmentation.resolving import default_block_vx
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from tests.active.networks import VOXEL_SIZE_NM, write_even_backbone, write_random_backbone, write_raw

SHAPE_VX = (10, 95, 119)
BOX_VX = (4, 24, 24)
STRATEGIES = ("median", "max", "min", "random", "diverse", "median+diverse")
BLOCKS = {"block_vx": (4, 48, 48), "predict": {"device": "cpu", "precision": "float32"}}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Raw whose left half is fine noise, and its right half coarse stripes."""
    folder = tmp_path_factory.mktemp("inputs")
    noise = gaussian_filter(np.random.default_rng(0).normal(size=SHAPE_VX), (0.5, 2, 2))
    voxels = 128 + 50 * noise / noise.std()
    voxels[..., 60:] = np.where(np.arange(60, SHAPE_VX[2]) % 16 < 8, 30, 220) + 0.1 * voxels[..., 60:]
    write_raw(folder / "raw.zarr/raw", np.clip(voxels, 0, 255).astype(np.uint8))
    write_even_backbone(folder / "even")
    write_random_backbone(folder / "random")
    write_random_backbone(folder / "other", seed=1)
    return folder


def make_config(
    inputs: Path, output: Path, backbone: str = "random", raw: Path | None = None, **changes: Any
) -> ProposeConfig:
    raw = inputs / "raw.zarr/raw" if raw is None else raw
    data = {
        "raw": str(raw),
        "backbone": str(inputs / backbone),
        "output": str(output),
        "shape_nm": in_nm(BOX_VX, Volume.open(raw).voxel_size_nm),
        "execution": {"launcher": "serial"},
        **BLOCKS,
    }
    return parse_config(ProposeConfig, data | changes, "test")


def in_nm(vx, voxel_size_nm=VOXEL_SIZE_NM) -> tuple[float, ...]:
    return tuple(n * v for n, v in zip(vx, voxel_size_nm, strict=True))


def place_vx(box: RoiConfig, raw: Volume) -> tuple[slice, ...]:
    """The voxels of a box; raises where it is not on voxels or leaves the volume."""
    return raw.to_slices(box.to_roi(raw))


def apart(one: tuple[slice, ...], other: tuple[slice, ...]) -> bool:
    return any(a.stop <= b.start or b.stop <= a.start for a, b in zip(one, other, strict=True))


def check_boxes(proposals: Proposals, raw: Volume, box_vx=BOX_VX) -> list[tuple[slice, ...]]:
    places = [place_vx(proposal.box, raw) for proposal in proposals.proposals]
    assert [p.rank for p in proposals.proposals] == list(range(1, len(places) + 1))
    assert {tuple(s.stop - s.start for s in place) for place in places} == {tuple(box_vx)}
    assert all(apart(a, b) for a, b in combinations(places, 2))
    return places


@pytest.fixture
def runs(monkeypatch) -> list:
    """What networks are run on."""
    seen, plain = [], Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", lambda self, raw, roi: seen.append(roi) or plain(self, raw, roi))
    return seen


@pytest.mark.parametrize("score", ["entropy", "augmented", "ambiguity"])
def test_no_box_holds_black(inputs, tmp_path, score):
    """Without the setting, black boxes are among those that are sure, or unsure, of nothing."""
    voxels = Volume.open(inputs / "raw.zarr/raw").read()[:, :70, :96]
    voxels[:, :, 70:], voxels[:, :13], voxels[:1] = 0, 0, 255
    raw = write_raw(tmp_path / "raw.zarr/raw", voxels)
    for strategy in ("max", "min"):
        config = make_config(
            inputs, tmp_path / "run", raw=raw.path, score=score, choose={"strategy": strategy, "count": 3}
        )
        found = propose_boxes(config, overwrite=True)  # the second time of the scores that are there
        for place in check_boxes(found.proposals, raw):
            assert place[0].start >= 1
            assert place[1].start >= 13
            assert place[2].stop <= 70
        again = propose_boxes(config)
        assert again.proposals == found.proposals
        assert again.grid is not None


def test_a_box_without_black_is_asked_for_where_there_is_none(inputs, tmp_path):
    voxels = Volume.open(inputs / "raw.zarr/raw").read()
    voxels[:, ::2, 65:], voxels[2::3] = 7, 0
    raw = write_raw(tmp_path / "raw.zarr/raw", voxels)
    with pytest.raises(UserError, match="no box has 100% tissue"):
        propose_boxes(make_config(inputs, tmp_path / "run", raw=raw.path))
    propose_boxes(make_config(inputs, tmp_path / "none", raw=raw.path, no_data="none"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_boxes(inputs, tmp_path, strategy):
    choose = {"strategy": strategy, "count": 3, "seed": 5}
    found = propose_boxes(make_config(inputs, tmp_path / "one", choose=choose))
    assert len(check_boxes(found.proposals, Volume.open(inputs / "raw.zarr/raw"))) == 3
    assert found.proposals.pool.candidates == len(found.scores)
    propose_boxes(make_config(inputs, tmp_path / "two", choose=choose))
    assert (tmp_path / "one" / PROPOSALS).read_bytes() == (tmp_path / "two" / PROPOSALS).read_bytes()


def test_blocks_change_no_byte(inputs, tmp_path):
    """The even network's affinities do not depend on how the volume is cut into blocks."""
    propose_boxes(make_config(inputs, tmp_path / "one", "even"))
    propose_boxes(make_config(inputs, tmp_path / "two", "even", block_vx=(8, 30, 90)))
    assert (tmp_path / "one" / PROPOSALS).read_bytes() == (tmp_path / "two" / PROPOSALS).read_bytes()


def test_another_seed_draws_other_boxes(inputs, tmp_path):
    drawn = [
        propose_boxes(
            make_config(inputs, tmp_path, choose={"strategy": "random", "seed": seed}), overwrite=True
        ).proposals
        for seed in range(3)
    ]
    assert len({tuple(p.offset_nm for p in proposals.proposals) for proposals in drawn}) == 3


def test_a_rerun_writes_the_same_bytes_and_computes_nothing(inputs, tmp_path, runs):
    config = make_config(inputs, tmp_path)
    propose_boxes(config)
    assert len(runs) == 3 * 2 * 3
    written = (tmp_path / PROPOSALS).read_bytes()
    propose_boxes(config)
    propose_boxes(config, overwrite=True)
    (tmp_path / PROPOSALS).unlink()
    propose_boxes(config)
    assert (tmp_path / PROPOSALS).read_bytes() == written
    assert len(runs) == 18


@pytest.mark.parametrize(
    ("changes", "computed"),
    [
        ({"choose": {"strategy": "max"}}, 0),
        ({"choose": {"count": 2}}, 0),
        ({"min_tissue": 0.5}, 0),
        ({"excluded": [{"offset_nm": (60, 12, 0), "shape_nm": (30, 6, 6)}]}, 0),
        ({"reading": "median"}, 18),
        ({"score": "augmented"}, 1),
        ({"backbone": "other"}, 18),
        ({"roi": {"offset_nm": (60, 12, 0), "shape_nm": in_nm((10, 48, 48))}}, 3),
    ],
)
def test_other_settings_are_refused_and_nothing_is_lost(inputs, tmp_path, runs, changes, computed):
    """Unless they are to replace what lies there."""
    config = make_config(inputs, tmp_path)
    propose_boxes(config)
    before = {path: path.read_bytes() for path in (tmp_path / "uncertainty.zarr").rglob("*") if path.is_file()}
    written = (tmp_path / PROPOSALS).read_bytes()
    runs.clear()
    other = make_config(inputs, tmp_path, **changes)
    with pytest.raises(UserError, match="overwrite"):
        propose_boxes(other)
    assert (tmp_path / PROPOSALS).read_bytes() == written
    assert all(path.read_bytes() == content for path, content in before.items())
    propose_boxes(config)
    assert not runs
    replaced = propose_boxes(other, overwrite=True).proposals
    assert read_proposals(tmp_path) == replaced
    assert (tmp_path / PROPOSALS).read_bytes() != written
    assert (len(runs) >= computed) if computed else not runs


def test_another_machine_finds_the_proposals_unchanged(inputs, tmp_path, runs, monkeypatch):
    """Neither paths nor how networks run matter, nor whether what only the first machine had is there."""
    excluded = [
        {"offset_nm": (60, 12, 0), "shape_nm": (30, 6, 6)},
        {"offset_nm": (90, 12, 0), "shape_nm": (30, 6, 6)},
    ]
    settings = {"excluded": excluded, "choose": {"strategy": "diverse", "count": 3}}
    mask = Volume.create(
        tmp_path / "m.zarr/mask", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, offset_nm=(60, 12, 0), attrs={"fingerprint": "m"}
    )
    mask.write(mask.roi, np.ones(SHAPE_VX, np.uint8))
    config = make_config(inputs, tmp_path / "run", mask=str(mask.path), **settings)
    found = propose_boxes(config)
    written = (config.output / PROPOSALS).read_bytes()
    runs.clear()
    monkeypatch.chdir(inputs)
    shutil.copytree(mask.path, tmp_path / "moved.zarr/mask")
    shutil.copytree(inputs / "random", tmp_path / "moved")
    raw = Volume.open(inputs / "raw.zarr/raw")
    other = {
        **settings,
        "raw": "raw.zarr/raw",
        "backbone": str(tmp_path / "moved"),
        "mask": str(tmp_path / "moved.zarr/mask"),
        "excluded": excluded[::-1],
        "roi": {"offset_nm": raw.offset_nm, "shape_nm": in_nm(SHAPE_VX)},
        "predict": {"device": "cuda", "threads": 2, "tile_vx": (4, 16, 16), "precision": "bfloat16"},
        "block_vx": (8, 48, 48),
        "execution": {"workers": 3},
        "any_voxel_size": True,
        "ledger": "sqlite:///elsewhere.db",
    }
    for overwrite in (False, True):
        again = propose_boxes(make_config(inputs, config.output, **other), overwrite=overwrite)
        assert again.proposals == found.proposals
        assert again.grid is not None
    shutil.rmtree(config.output / "uncertainty.zarr")
    (config.output / "ledger.db").unlink()
    again = propose_boxes(make_config(inputs, config.output, **other))
    assert (again.proposals, again.grid, again.scores) == (found.proposals, None, None)
    assert (config.output / PROPOSALS).read_bytes() == written
    assert not runs


def test_proposals_say_what_they_come_from(inputs, tmp_path):
    mask = Volume.create(tmp_path / "m.zarr/mask", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, offset_nm=(60, 12, 0))
    mask.write(mask.roi, np.ones(SHAPE_VX, np.uint8))
    excluded = [{"offset_nm": (60, 12, 0), "shape_nm": (30, 6, 6)}]
    roi = {"offset_nm": (60, 12, 0), "shape_nm": in_nm((8, 90, 90))}
    changes = {"score": "committee", "committee": [str(inputs / "other")], "mask": str(mask.path)}
    propose_boxes(make_config(inputs, tmp_path / "run", roi=roi, excluded=excluded, **changes))
    found = read_proposals(tmp_path / "run")
    assert found.backbone_digest == load_card(inputs / "random").digest
    assert found.committee == (load_card(inputs / "other").digest,)
    assert found.mask_fingerprint == mask.fingerprint
    assert found.roi == RoiConfig(**roi)
    assert found.excluded == (RoiConfig(**excluded[0]),)


def test_what_was_made_of_replaced_boxes_is_moved_aside(inputs, tmp_path):
    first = propose_boxes(make_config(inputs, tmp_path)).proposals
    made = {"labels/roi_1.zarr": "a", "proposals.csv": "b", "crops/roi_1.zarr": "c", "webknossos.nml": "d"}

    def make() -> None:
        for name, text in made.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)

    make()
    propose_boxes(make_config(inputs, tmp_path, choose={"shortlist": 7}), overwrite=True)  # it changes no box
    assert all((tmp_path / name).read_text() == text for name, text in made.items())
    second = propose_boxes(make_config(inputs, tmp_path, choose={"strategy": "max"}), overwrite=True).proposals
    assert {name: (tmp_path / "replaced_1" / name).read_text() for name in made} == made
    assert read_proposals(tmp_path / "replaced_1").boxes == first.boxes
    assert not [name for name in made if (tmp_path / name).exists()]
    propose_boxes(make_config(inputs, tmp_path), overwrite=True)
    assert not (tmp_path / "replaced_2").exists()  # of those boxes, nothing was made
    make()
    (tmp_path / PROPOSALS).write_text("{")
    assert propose_boxes(make_config(inputs, tmp_path, choose={"strategy": "max"}), overwrite=True).proposals == second
    assert (tmp_path / "replaced_2" / PROPOSALS).read_text() == "{"
    assert (tmp_path / "replaced_2/labels/roi_1.zarr").exists()


def test_boxes_keep_their_distance_to_excluded_ones(inputs, tmp_path):
    raw = Volume.open(inputs / "raw.zarr/raw")
    box = RoiConfig(offset_nm=np.add(in_nm((0, 36, 48)), raw.offset_nm).tolist(), shape_nm=in_nm((10, 12, 12)))
    choose = {"strategy": "random", "count": 50, "min_distance_nm": 60}
    found = propose_boxes(make_config(inputs, tmp_path, excluded=[box.model_dump()], choose=choose)).proposals
    assert len(found.proposals) > 1
    for one in found.proposals:
        sides = zip(one.offset_nm, one.shape_nm, box.offset_nm, box.shape_nm, strict=True)
        gaps = [max(a - c - d, c - a - b, 0) for a, b, c, d in sides]
        assert np.linalg.norm(gaps) >= 60


@pytest.mark.parametrize("voxel_nm", [(6, 6, 6), (30, 6, 6)])
@pytest.mark.parametrize("shape_nm", [(1770, 8004, 8004), (1000, 1000, 1000), (1770, 650, 10000), (990, 970, 1234)])
def test_cells_are_small_whatever_the_box(tmp_path, voxel_nm, shape_nm):
    """A quarter of a block at most, and a box as deep as the volume stays inside it."""
    deep = (round(1770 / voxel_nm[0]), 5000, 5000)
    raw = Volume.create(tmp_path / "raw.zarr/raw", deep, voxel_nm, np.uint8)
    config = ProposeSettings(shape_nm=shape_nm)
    asked = np.array(shape_nm) / voxel_nm
    cells = cut_box(config, raw, raw.roi)
    block = default_block_vx(raw, raw.roi)
    assert all(size <= max(1, b // 4) for (_, size), b in zip(cells, block, strict=True))
    shape = box_shape_vx(config, raw, raw.roi)
    assert shape == tuple(n * c for n, c in cells)
    assert all(s <= d for s, d in zip(shape, deep, strict=True))
    assert np.abs(np.array(shape) / asked - 1).max() < 0.06


def test_proposals_that_cannot_be_read_are_not_replaced_unasked(inputs, tmp_path):
    config = make_config(inputs, tmp_path)
    (tmp_path / PROPOSALS).write_text("{")
    with pytest.raises(UserError, match="malformed"):
        propose_boxes(config)
    assert (tmp_path / PROPOSALS).read_text() == "{"
    found = propose_boxes(config, overwrite=True).proposals
    assert read_proposals(tmp_path) == found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_boxes_lie_on_voxels_inside_roi_and_mask_and_beside_excluded_ones(inputs, tmp_path, strategy):
    raw = Volume.open(inputs / "raw.zarr/raw")
    inside = np.zeros(SHAPE_VX, np.uint8)
    inside[1:, 5:, 10:100] = 1
    mask = Volume.create(tmp_path / "mask.zarr/mask", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, offset_nm=raw.offset_nm)
    mask.write(mask.roi, inside)
    begin_vx, shape_vx = (1, 7, 3), (9, 83, 110)  # not whole cells
    roi = {"offset_nm": np.add(in_nm(begin_vx), raw.offset_nm).tolist(), "shape_nm": in_nm(shape_vx)}
    box = {"offset_nm": np.add(in_nm((3, 40, 50)), raw.offset_nm).tolist(), "shape_nm": in_nm((2, 5, 5))}
    config = make_config(
        inputs,
        tmp_path / "run",
        mask=str(mask.path),
        roi=roi,
        excluded=[box],
        min_tissue=0.8,
        choose={"strategy": strategy, "count": 50},
    )
    places = check_boxes(propose_boxes(config).proposals, raw)
    taken = tuple(slice(b, b + n) for b, n in zip((3, 40, 50), (2, 5, 5), strict=True))
    assert len(places) >= 4
    for place in places:
        assert all(b <= s.start for s, b in zip(place, begin_vx, strict=True))
        assert all(s.stop <= b + n for s, b, n in zip(place, begin_vx, shape_vx, strict=True))
        assert inside[place].mean() >= 0.8 - 1e-4
        assert apart(place, taken)


def test_boxes_do_not_leave_a_volume_that_ends_inside_a_cell(inputs, tmp_path):
    """23 of a box's 24 voxels would do as tissue."""
    config = make_config(inputs, tmp_path, choose={"count": 1000, "strategy": "random"})
    found = propose_boxes(config)
    raw = Volume.open(config.raw)
    assert any(n % c for n, c in zip(raw.shape_vx, found.grid.attrs["cell_vx"], strict=True))
    assert found.proposals.pool.candidates == 4 * 6 * 8
    check_boxes(found.proposals, raw)


@pytest.mark.parametrize(
    ("shape_nm", "box_vx", "cell_vx"),
    [
        ((100, 100, 100), (3, 17, 17), (1, 17, 17)),
        ((239, 147, 151), (8, 24, 25), (2, 6, 5)),
        ((1, 35, 61), (1, 6, 10), (1, 2, 2)),
    ],
)
def test_a_box_is_whole_voxels_and_whole_cells(inputs, tmp_path, shape_nm, box_vx, cell_vx):
    found = propose_boxes(make_config(inputs, tmp_path, shape_nm=shape_nm))
    check_boxes(found.proposals, Volume.open(inputs / "raw.zarr/raw"), box_vx)
    assert tuple(found.grid.attrs["cell_vx"]) == cell_vx


def test_a_score_is_the_mean_of_a_box_or_its_median(inputs, tmp_path):
    raw, backbone = Volume.open(inputs / "raw.zarr/raw"), load_backbone(inputs / "even")
    predict = make_config(inputs, tmp_path).predict.resolve(backbone.card.architecture, SHAPE_VX)
    entropy = score_entropy(Predictor(backbone, predict)(raw, raw.roi)[0]) / 65535
    proposals = {}
    for reading, read, within in (("mean", np.mean, 1e-4), ("median", np.median, 1 / 16)):
        config = make_config(inputs, tmp_path / reading, "even", reading=reading, choose={"strategy": "max"})
        proposals[reading] = propose_boxes(config).proposals
        for proposal in proposals[reading].proposals:
            assert proposal.score == pytest.approx(read(entropy[place_vx(proposal.box, raw)]), abs=within)
    assert proposals["mean"].settings["reading"] == "mean"
    assert proposals["mean"].pool != proposals["median"].pool


def test_a_committee_scores_by_its_disagreement(inputs, tmp_path):
    same = make_config(inputs, tmp_path / "same", score="committee", committee=[str(inputs / "random")])
    assert {p.score for p in propose_boxes(same).proposals.proposals} == {0}
    two = make_config(inputs, tmp_path / "two", score="committee", committee=[str(inputs / "other")])
    found = propose_boxes(two).proposals
    assert all(p.score > 0 for p in found.proposals)
    assert found.settings["score"] == "committee"
    for changes in ({"score": "committee"}, {"committee": [str(inputs / "other")]}):
        with pytest.raises(UserError, match="a committee takes several backbones"):
            propose_boxes(make_config(inputs, tmp_path / "none", **changes))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("method", ["k-centre", "facility"])
def test_diverse_boxes_are_of_both_kinds_of_tissue(inputs, tmp_path, method):
    """As the backbone's own features tell them apart."""
    _, y, x = np.indices(SHAPE_VX)
    voxels = np.where(x < 60, 100 + 50 * (y % 6 < 3), 30 + 190 * (x % 16 < 8))
    noise = np.random.default_rng(0).integers(0, 10, SHAPE_VX)
    raw = write_raw(tmp_path / "raw.zarr/raw", (voxels + noise).astype(np.uint8))
    between = {"offset_nm": np.add(raw.offset_nm, in_nm((0, 0, 50))).tolist(), "shape_nm": in_nm((10, 95, 20))}
    for seed in range(3):
        choose = {"strategy": "diverse", "count": 2, "method": method, "seed": seed}
        config = make_config(inputs, tmp_path / "run", raw=raw.path, excluded=[between], choose=choose)
        places = check_boxes(propose_boxes(config, overwrite=True).proposals, raw)
        assert {place[2].stop <= 50 for place in places} == {True, False}


def test_fewer_boxes_are_proposed_where_no_more_fit(inputs, tmp_path):
    raw = Volume.open(inputs / "raw.zarr/raw")
    for strategy in STRATEGIES:
        config = make_config(inputs, tmp_path, choose={"strategy": strategy, "count": 1000})
        assert 4 <= len(check_boxes(propose_boxes(config, overwrite=True).proposals, raw)) <= 2 * 3 * 4
        far = make_config(inputs, tmp_path, choose={"strategy": strategy, "min_distance_nm": 1e6})
        assert len(check_boxes(propose_boxes(far, overwrite=True).proposals, raw)) == 1


@pytest.mark.parametrize("strategy", ["median", "median+diverse"])
def test_voxels_of_a_fraction_of_a_nanometre(inputs, tmp_path, strategy):
    raw = write_raw(tmp_path / "raw.zarr/raw", voxel_size_nm=(30, 4.6, 4.6))
    assert raw.unit == "pm"
    excluded = [{"offset_nm": raw.offset_nm, "shape_nm": in_nm((9, 24, 24), raw.voxel_size_nm)}]
    roi = {"offset_nm": np.add(raw.offset_nm, (0, 4.6, 0)).tolist(), "shape_nm": in_nm((9, 49, 61), raw.voxel_size_nm)}
    config = make_config(
        inputs,
        tmp_path / "run",
        raw=raw.path,
        shape_nm=(120, 110, 110),
        excluded=excluded,
        roi=roi,
        choose={"strategy": strategy, "count": 9},
    )
    found = propose_boxes(config).proposals
    places = check_boxes(found, raw)
    assert found.voxel_size_nm == (30, 4.6, 4.6)
    assert found.proposals[0].shape_nm == (120, 110.4, 110.4)
    for place in places:
        assert place[1].start >= 1
        assert apart(place, (slice(0, 9), slice(0, 24), slice(0, 24)))
    assert read_proposals(tmp_path / "run") == found
    assert propose_boxes(config).proposals == found


def test_without_tissue_there_is_one_clear_line(inputs, tmp_path):
    raw = Volume.open(inputs / "raw.zarr/raw")
    mask = Volume.create(tmp_path / "mask.zarr/mask", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, offset_nm=raw.offset_nm)
    for min_tissue in (0.9, 0):
        config = make_config(inputs, tmp_path / "run", mask=str(mask.path), min_tissue=min_tissue)
        with pytest.raises(UserError, match="tissue, the most is 0%") as error:
            propose_boxes(config)
        assert "\n" not in str(error.value)
        assert error.value.where == str(mask.path)
    assert not (tmp_path / "run").exists()


def test_where_all_is_labelled_there_is_nothing_to_propose(inputs, tmp_path):
    everything = [{"offset_nm": (60, 12, 0), "shape_nm": in_nm(SHAPE_VX)}]
    with pytest.raises(UserError, match="overlaps an excluded one"):
        propose_boxes(make_config(inputs, tmp_path, excluded=everything))
    assert not (tmp_path / PROPOSALS).exists()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"shape_nm": (330, 144, 144)}, r"boxes of \(11, 24, 24\) voxels are larger than the \(10, 95, 119\)"),
        ({"shape_nm": (120, 144, 1e9)}, "are larger than"),
        (
            {"roi": {"offset_nm": (60, 12, 0), "shape_nm": in_nm((10, 23, 50))}},
            r"larger than the \(10, 23, 50\)",
        ),
        ({"roi": {"offset_nm": (0, 0, 0), "shape_nm": in_nm((10, 50, 50))}}, "outside the volume"),
        ({"backbone": "nowhere"}, "no such folder"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(inputs, tmp_path, changes, what):
    with pytest.raises(UserError, match=what):
        propose_boxes(make_config(inputs, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape_nm", [(0, 144, 144), (120, -144, 144)])
def test_boxes_have_a_size(inputs, tmp_path, shape_nm):
    with pytest.raises(UserError, match=r"shape_nm.* should be greater than 0"):
        make_config(inputs, tmp_path, shape_nm=shape_nm)


@pytest.mark.parametrize("name", ["raw", "mask"])
def test_boxes_of_an_edited_volume_are_proposed_anew(inputs, tmp_path, caplog, name):
    shutil.copytree(inputs / "raw.zarr", tmp_path / "raw.zarr")
    raw = Volume.open(tmp_path / "raw.zarr/raw", "r+")
    mask = Volume.create(tmp_path / "mask.zarr/mask", SHAPE_VX, VOXEL_SIZE_NM, np.uint8, offset_nm=raw.offset_nm)
    mask.data[:] = 1
    config = make_config(inputs, tmp_path / "run", raw=raw.path, mask=str(mask.path))
    first = propose_boxes(config)
    assert propose_boxes(config).scores is None  # they are there
    assert not caplog.records
    edited = Volume.open(raw.path if name == "raw" else mask.path, "r+")
    edited.data[5, 40, 40] = 255 - edited.data[5, 40, 40] if name == "raw" else 0
    again = propose_boxes(config)
    assert f"{name} changed (1 of " in caplog.text
    assert again.scores is not None
    assert not np.array_equal(again.scores, first.scores)
    caplog.clear()
    assert propose_boxes(config).proposals == again.proposals
    assert propose_boxes(config).grid is not None
    assert not caplog.records


def test_boxes_that_a_person_has_labelled_are_not_proposed_anew_unasked(inputs, tmp_path, caplog):
    shutil.copytree(inputs / "raw.zarr", tmp_path / "raw.zarr")
    raw = Volume.open(tmp_path / "raw.zarr/raw", "r+")
    config = make_config(inputs, tmp_path / "run", raw=raw.path)
    before = propose_boxes(config).proposals
    Volume.create(tmp_path / "run/labels/roi_1.zarr/labels", (4, 4, 4), VOXEL_SIZE_NM, np.uint64)
    raw.data[5, 40, 40] = 255 - raw.data[5, 40, 40]
    with pytest.raises(UserError, match="--trust-inputs keeps them"):
        propose_boxes(config)
    assert "raw changed (1 of " in caplog.text
    assert propose_boxes(config.model_copy(update={"trust_inputs": True})).proposals == before
    assert propose_boxes(config, overwrite=True).scores is not None
    assert propose_boxes(config).scores is None
