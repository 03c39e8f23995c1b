"""neuroadda tune: labelled boxes in, a choice out that `segment` takes; on real tissue where there is some."""

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import neuroadda as na
from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import Pool, Proposal, Proposals
from neuroadda.backbones.card import load_card
from neuroadda.config import write_json
from neuroadda.segmentation.fragments import Fragments
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.finding import find_backbone

Run = Callable[..., tuple[int, str, str]]
DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
BACKBONE = "mouse_cortex_sssem"
SERIAL = ("--set", "segment.execution.launcher=serial")
SIDE = 60


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume") / "p.zarr"
    write_phantom(PhantomConfig(shape_vx=(8, 2 * SIDE, 2 * SIDE), seed=3), folder)
    return folder


def list_rois(volume: Path) -> list[str]:
    """Three boxes of 8 x 60 x 60 voxels."""
    z, y, x = Volume.open(volume / "raw").voxel_size_nm
    corners = ((0, 0), (0, SIDE), (SIDE, 0))
    return [f"0 {row * y:g} {column * x:g} {8 * z:g} {SIDE * y:g} {SIDE * x:g}" for row, column in corners]


def read_rois(volume: Path) -> list[tuple[float, ...]]:
    return [tuple(map(float, roi.split())) for roi in list_rois(volume)]


def test_boxes_that_overlap_are_refused(command: Run, volume: Path, tmp_path: Path) -> None:
    first, second, _ = list_rois(volume)
    z, y, x = Volume.open(volume / "raw").voxel_size_nm
    shifted = f"0 0 {x:g} {8 * z:g} {SIDE * y:g} {SIDE * x:g}"
    for rois in ((first, second, first), (first, shifted)):
        given = [part for roi in rois for part in ("--roi", roi)]
        code, _, error = command(
            "tune", volume / "raw", volume / "labels", "--backbone", BACKBONE, "-o", tmp_path / "tuned", *given
        )
        assert code == 2
        assert f"box_1 and box_{len(rois)} overlap; give boxes that have no voxel in common" in error
        assert not (tmp_path / "tuned/tune.json").exists()


def test_labels_that_reach_beyond_raw_are_named(command: Run, volume: Path, tmp_path: Path) -> None:
    truth = Volume.open(volume / "labels")
    beyond = Volume.create(
        tmp_path / "l.zarr/labels",
        truth.shape_vx,
        truth.voxel_size_nm,
        truth.dtype,
        offset_nm=(0, 0, truth.voxel_size_nm[2]),
    )
    beyond.data[:] = truth.data[:]
    code, _, error = command("tune", volume / "raw", beyond.path, "--backbone", BACKBONE, "-o", tmp_path / "tuned")
    assert code == 2
    assert f"{beyond.path}: the labels reach beyond raw" in error
    assert "give a roi that lies in both" in error


def test_check_refuses_the_threshold_that_tune_refuses(command: Run, volume: Path, tmp_path: Path) -> None:
    config = tmp_path / "tune.json"
    asked = {"raw": str(volume / "raw"), "labels": [str(volume / "labels")], "backbone": BACKBONE, "threshold": 0.99}
    write_json(config, {"tune": asked | {"output": str(tmp_path / "tuned")}})
    for verb in (("check", config), ("tune", "-c", config)):
        code, told, error = command(*verb)
        assert code == 2
        assert "0.99 is above agglomerate.limit 0.95" in told + error
        assert "raise the limit or lower the threshold" in told + error


def test_a_choice_is_made_written_and_taken(command: Run, volume: Path, tmp_path: Path) -> None:
    rois = [part for roi in list_rois(volume) for part in ("--roi", roi)]
    given = ("tune", volume / "raw", volume / "labels", "--backbone", BACKBONE, "-o", tmp_path / "tuned", *rois)
    code, told, error = command(*given)
    assert code == 0
    assert "warning" not in error
    lines = told.splitlines()
    assert lines[0] == "setting\tthreshold\tVOI (95 % interval)"
    assert lines[1].startswith(f"default, untuned\t{load_card(find_backbone(BACKBONE)).metrics['threshold']}\t")
    assert "on 3 boxes, which the backbone was not trained on" in told
    assert f"next: neuroadda segment {volume / 'raw'} -c {tmp_path / 'tuned/tune.toml'} -o OUT" in told
    assert (tmp_path / "tuned/tune.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((tmp_path / "tuned/tune.json").read_text())
    assert len(record["surface"][0]["voi"]) == len(record["boxes"]) == 3
    text = (tmp_path / "tuned/tune.toml").read_text()
    assert text.startswith(f"# {record['told']}\n")
    taken = tomllib.loads(text)["segment"]
    assert taken["components"]["threshold"] == record["threshold"]

    run = tmp_path / "run"
    config = tmp_path / "tuned/tune.toml"
    assert command("segment", volume / "raw", "-c", config, "-o", run, *SERIAL)[0] == 0
    resolved = json.loads((run / "config.json").read_text())["resolved"]
    assert resolved["components"]["threshold"] == record["threshold"]
    voxel_size = Volume.open(volume / "raw").voxel_size_nm
    assert Fragments(**resolved["fragments"]) == Fragments(**taken["fragments"]).resolve(voxel_size)

    code, status, _ = command("status", tmp_path / "tuned")
    assert code == 0
    assert status.startswith(f"Finished: tuned to {record['told']}")
    assert f"-c {config} -o OUT" in status

    (tmp_path / "tuned/tune.png").unlink()
    assert command(*given)[1] == told  # nothing is tuned again
    assert not (tmp_path / "tuned/tune.png").exists()
    refused = command(*given, "--set", "tune.threshold=0.4")
    assert refused[0] == 2
    assert "another tuning lies here" in refused[2]
    of_run = ("tune", run, volume / "labels", *rois, "-o", tmp_path / "tuned", "--overwrite", "--json")
    code, told, _ = command(*of_run, "--set", "tune.threshold=0.4")
    assert code == 0  # raw and backbone are those of the run
    assert json.loads(told)["default_threshold"] == 0.4
    assert json.loads(told)["surface"][0]["voi"] == record["surface"][0]["voi"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "there are no labelled boxes"),
        (("--roi", "0 0 0 100 100"), "'0 0 0 100 100' is no box"),
        (("--roi", "here"), "'here' is no box"),
        (("--proposals", "nowhere"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    command: Run, volume: Path, tmp_path: Path, options: tuple[str, ...], what: str
) -> None:
    out = tmp_path / "tuned"
    code, _, error = command("tune", volume / "raw", "--backbone", BACKBONE, "-o", out, *options)
    assert code == 2
    assert what in error
    assert not out.exists()
    code, _, error = command("tune", volume / "raw", volume / "labels", "-o", out)
    assert code == 2
    assert "key 'tune.backbone' is missing" in error
    given = ("tune", volume / "raw", volume / "labels", "--backbone", BACKBONE, "-o", out)
    code, _, error = command(*given, "--set", "tune.threshold=0.97")
    assert code == 2
    assert "tune.threshold: 0.97 is above agglomerate.limit 0.95" in error
    assert not out.exists()


def propose_by_hand(volume: Path, folder: Path) -> None:
    """Write proposals of three boxes, and the labels of two."""
    raw = Volume.open(volume / "raw")
    boxes = read_rois(volume)
    proposals = Proposals(
        volume_fingerprint=raw.fingerprint,
        voxel_size_nm=raw.voxel_size_nm,
        backbone_digest="d",
        strategy="s",
        seed=0,
        volume=str(raw.path),
        backbone="b",
        pool=Pool(candidates=3, lowest=0, median=0, highest=1),
        proposals=tuple(
            Proposal(rank=rank, score=0.5, reason="", offset_nm=box[:3], shape_nm=box[3:])
            for rank, box in enumerate(boxes, start=1)
        ),
    )
    proposals.save(folder)
    for rank in (1, 3):
        import_labels(proposals, volume / "labels", folder / "labels", rank=rank)


def test_labelled_boxes_of_proposals_are_taken(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "asked").mkdir()
    propose_by_hand(volume, tmp_path / "asked")
    options = {"backbone": BACKBONE, "output": tmp_path / "tuned"}
    tuned = na.tune(volume / "raw", proposals=tmp_path / "asked", **options)
    assert tuned.boxes == ("roi_1", "roi_3")  # their quarters are too small
    assert tuned.choice.is_default
    with pytest.raises(na.UserError, match="both proposals and labels say where the boxes are"):
        na.tune(volume / "raw", volume / "labels", proposals=tmp_path / "asked", **options)


def test_boxes_that_the_backbone_was_trained_on_are_left_out_or_told(volume: Path, tmp_path: Path) -> None:
    backbone = tmp_path / "trained"
    shutil.copytree(find_backbone(BACKBONE), backbone)
    raw = Volume.open(volume / "raw")
    rois = [RoiConfig(offset_nm=box[:3], shape_nm=box[3:]) for box in read_rois(volume)]

    def train_on(*places: int) -> None:
        boxes = [rois[place].to_roi(raw) for place in places]
        samples = [{"raw": str(raw.path), "offset": list(box.offset), "shape": list(box.shape)} for box in boxes]
        card = load_card(backbone).model_copy(update={"training_data": tuple(samples)})
        write_json(backbone / "card.json", card.model_dump(mode="json"))

    train_on(1)
    given = {"backbone": backbone, "rois": rois}
    some = na.tune(raw, volume / "labels", output=tmp_path / "some", **given)
    assert "2 boxes, which the backbone was not trained on (1 others left out)" in some.where
    assert not any("box_2" in name for name in some.boxes)
    train_on(0, 1, 2)
    none = na.tune(raw, volume / "labels", output=tmp_path / "none", **given)
    assert none.where == "3 boxes, which the backbone was trained on, so that the VOI is too low"
    assert len(none.boxes) == 3


@pytest.mark.system
def test_a_choice_on_real_tissue_holds_on_other_boxes(tmp_path: Path) -> None:
    """On boxes that took no part in it, the choice is no worse than the default."""
    if not (file := DATA / "mouse_cortex_sssem_test.hdf").exists():
        pytest.skip(f"no real data: {file} is missing (set NEUROADDA_DATA)")
    na.import_volume(file, tmp_path / "v.zarr")
    raw = na.open_volume(tmp_path / "v.zarr/raw")
    z, y, x = raw.voxel_size_nm
    _, top, left = raw.offset_nm
    places = [(top + 100 * row * y, left + 100 * column * x) for row in range(2) for column in range(3)]
    rois = [RoiConfig(offset_nm=(raw.offset_nm[0], *place), shape_nm=(10 * z, 100 * y, 100 * x)) for place in places]
    given = {"labels": tmp_path / "v.zarr/labels", "backbone": BACKBONE}
    tuned, others = (
        na.tune(raw, output=tmp_path / name, rois=boxes, **given) for name, boxes in (("t", rois[:3]), ("o", rois[3:]))
    )
    assert tuned.boxes == ("box_1", "box_2", "box_3")
    means = others.voi.mean(axis=1)
    chosen = means[tuned.choice.setting, tuned.choice.threshold]
    assert chosen <= 1.02 * means[0, tuned.choice.default_threshold]


@pytest.mark.system
def test_labels_that_are_edited_in_place_are_tuned_on_again(volume: Path, tmp_path: Path) -> None:
    shutil.copytree(volume, tmp_path / "p.zarr")
    labels = Volume.open(tmp_path / "p.zarr/labels", "r+")
    config = na.TuneConfig(
        raw=tmp_path / "p.zarr/raw", labels=(labels.path,), backbone=BACKBONE, output=tmp_path / "tuned"
    )
    before = na.tune(config=config)
    assert na.tune(config=config) == before
    ids = labels.read()
    labels.write(labels.roi, 1 + (ids > 40).astype(ids.dtype) + ids % 3)
    with pytest.raises(na.UserError, match="another tuning lies here"):
        na.tune(config=config)
    assert na.tune(config=config, overwrite=True).voi.tolist() != before.voi.tolist()
