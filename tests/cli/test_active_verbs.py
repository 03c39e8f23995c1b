"""`neuroadda propose`, `proposals show|export|import` and `adapt`: what they print, their exit codes, and bad input."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda.active.proposals import PROPOSALS, SHEET, read_proposals
from neuroadda.backbones.card import load_card
from neuroadda.errors import forget_warnings
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.adding import write_index
from tests.active.networks import write_random_backbone

Run = Callable[..., tuple[int, str, str]]
BOX_VX = (8, 48, 48)
BOX_NM = (240, 288, 288)
CPU = ("--set", "predict.device=cpu", "--set", "execution.launcher=serial")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_phantom(PhantomConfig(shape_vx=(10, 144, 144), seed=3), folder / "p.zarr")
    write_random_backbone(folder / "random")
    return folder


@pytest.fixture
def arguments(inputs, tmp_path) -> list[object]:
    """Of a `propose` into ``out`` that works."""
    return [
        *("propose", inputs / "p.zarr/raw", "--backbone", inputs / "random", "-n", 2, "--shape", *BOX_NM),
        *("-o", tmp_path / "out", *CPU),
    ]


@pytest.fixture(scope="module")
def proposed(inputs, tmp_path_factory) -> Path:
    """Folder of two proposals; not to be written to."""
    from neuroadda.active.propose import ProposeConfig, propose_boxes
    from neuroadda.active.strategies import ChooseConfig
    from neuroadda.prediction.predict import Predict

    folder = tmp_path_factory.mktemp("proposed")
    propose_boxes(
        ProposeConfig(
            raw=str(inputs / "p.zarr/raw"),
            backbone=str(inputs / "random"),
            output=folder,
            shape_nm=BOX_NM,
            choose=ChooseConfig(count=2),
            predict=Predict(device="cpu"),
        )
    )
    return folder


@pytest.fixture
def folder(proposed, tmp_path) -> Path:
    """A copy of the proposals alone."""
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / PROPOSALS).write_bytes((proposed / PROPOSALS).read_bytes())
    return tmp_path / "copy"


def refused(told: tuple[int, str, str]) -> str:
    """The one line that a user is told."""
    code, out, err = told
    assert (code, out) == (2, "")
    assert err.startswith("neuroadda: ")
    assert err.count("\n") == 1
    return err


def listed(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_propose(command: Run, arguments, tmp_path):
    code, told, _ = command(*arguments)
    assert code == 0
    for line in ("uncertainty ", f"look at them: {tmp_path}/out/contact_sheet.html"):
        assert line in told
    for name in ("contact_sheet.html", "contact_sheet.png", PROPOSALS):
        assert (tmp_path / "out" / name).stat().st_size
    written = (tmp_path / "out" / PROPOSALS).read_bytes()
    code, told, _ = command(*arguments, "--json")
    assert code == 0
    assert json.loads(told) == json.loads(written)
    assert (tmp_path / "out" / PROPOSALS).read_bytes() == written

    before = listed(tmp_path / "out")
    for other in (("--strategy", "max"), ("--score", "augmented"), ("--set", "reading=median")):
        assert "--overwrite" in refused(command(*arguments, *other, "--json"))
        assert {path: content for path, content in listed(tmp_path / "out").items() if path in before} == before
    assert command(*arguments, "--strategy", "max", "--overwrite")[0] == 0
    assert read_proposals(tmp_path / "out").strategy == "max"


def test_propose_says_if_fewer_boxes_fit_and_leaves_out_labelled_ones(command: Run, arguments, proposed, tmp_path):
    code, told, _ = command(*arguments, "-n", 1000, "--exclude", proposed, "--set", f"output={tmp_path / 'set'}")
    assert code == 0
    found = read_proposals(tmp_path / "set")
    assert f"no more than {len(found.proposals)} boxes of this shape and distance fit; 1000 were asked for" in told
    assert f"{tmp_path}/set/contact_sheet.html" in told
    assert (tmp_path / "set/contact_sheet.html").exists()
    assert not (tmp_path / "out").exists()
    raw = Volume.open(found.volume)
    for one in found.proposals:
        for other in read_proposals(proposed).proposals:
            assert one.to_roi(raw).intersect(other.to_roi(raw)).empty


@pytest.mark.parametrize("write", ["{} {} {} {} {} {}", "{},{},{},{},{},{}", "{}, {}, {}  {} {} {}"])
def test_propose_leaves_out_a_region(command: Run, arguments, proposed, tmp_path, write):
    first = read_proposals(proposed).proposals[0]
    region = write.format(*first.offset_nm, *first.shape_nm)
    assert command(*arguments, "--exclude", region, "--exclude", "0 0 0 30 6 6", "--json")[0] == 0
    found = read_proposals(tmp_path / "out")
    raw = Volume.open(found.volume)
    assert first.box in found.excluded
    assert len(found.excluded) == 2
    assert all(box.to_roi(raw).intersect(first.to_roi(raw)).empty for box in found.proposals)


def test_excluded_boxes_are_of_the_same_volume(command: Run, arguments, folder, tmp_path):
    other = json.loads((folder / PROPOSALS).read_text()) | {"volume": "elsewhere", "volume_fingerprint": "0"}
    (folder / PROPOSALS).write_text(json.dumps(other))
    assert "these boxes lie in another volume, elsewhere" in refused(command(*arguments, "--exclude", folder))
    assert not (tmp_path / "out").exists()


def test_a_far_voxel_size_is_told(command: Run, arguments, inputs, tmp_path):
    card = inputs / "random/card.json"
    shutil.copytree(inputs / "random", tmp_path / "coarse")
    coarse = json.loads(card.read_text()) | {"voxel_size_nm": [30, 12, 6]}
    (tmp_path / "coarse/card.json").write_text(json.dumps(coarse))
    far = [tmp_path / "coarse" if one == inputs / "random" else one for one in arguments]
    code, _, told = command(*far, "--json")
    assert code == 0
    assert "runs on voxels of 30 x 6 x 6 nm (zyx), and was trained on 30 x 12 x 6 nm" in told
    assert command(*far, "--any-voxel-size", "--json")[0] == 0
    told = refused(command(*far, "-o", tmp_path / "refused", "--same-voxel-size"))
    assert "is far from that of the backbone" in told
    assert "voxels of" not in command(*arguments, "-o", tmp_path / "near", "--json")[2]


def test_a_rerun_keeps_the_sheet_and_draws_it_where_it_is_gone(command: Run, arguments, tmp_path):
    assert command(*arguments, "--json")[0] == 0
    sheet = (tmp_path / "out" / SHEET).read_bytes()
    assert command(*arguments, "--set", "predict.threads=2", "--json")[0] == 0
    assert (tmp_path / "out" / SHEET).read_bytes() == sheet
    (tmp_path / "out" / SHEET).unlink()
    shutil.rmtree(tmp_path / "out/uncertainty.zarr")
    assert command(*arguments, "--json")[0] == 0
    assert (tmp_path / "out" / SHEET).stat().st_size


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (("--strategy", "medain"), "choose.strategy should be 'median', 'max'"),
        (("--score", "entropie"), "score should be 'entropy'"),
        (("--score", "committee"), "a committee takes several backbones"),
        (("--backbone", "nowhere"), "'nowhere' is no entry of the zoo and no folder"),
        (("--zoo", "nowhere"), "nowhere"),
        (("-n", 0), "choose.count should be greater than or equal to 1, not 0"),
        (("-n", -3), "choose.count should be greater than or equal to 1, not -3"),
        (("--shape", 240, 288, 0), "shape_nm.2 should be greater than 0"),
        (("--shape", 1000, 1000, 1000), "are larger than the (10, 144, 144)"),
        (("--shape", 1000, 1000, 1000), "give at most 300 864 864 nm (zyx): option --shape of `propose`"),
        (("--shape", 1e12, 288, 288), "are larger than"),
        (("--shape", "inf", 288, 288), "shape_nm.0"),
        (("--shape", "nan", 288, 288), "shape_nm.0"),
        (("--min-distance", -1), "min_distance_nm should be greater than or equal to 0"),
        (("--seed", -1), "choose.seed should be"),
        (("--mask", "nowhere.zarr"), "nowhere.zarr: there is no array here"),
        (("--exclude", "nowhere"), "nowhere"),
        (("--exclude", "0 0 0 240 288"), "'0 0 0 240 288' is no box; write"),
        (("--exclude", "0,0,0,240,288,0"), "'0,0,0,240,288,0' is no box"),
        (("--exclude", "0 0 0 240 288 nan"), "is no box"),
        (("--exclude", "0 0 900 240 288 288"), "lies outside of the volume"),
        (("--ranking", "nowhere"), "say what to start from"),
        (("--set", "stratgey=max"), "unknown key 'stratgey'"),
        (("--set", "choose.shortlits=3"), "did you mean 'choose.shortlist'?"),
        (("--set", "reading"), "is not an override"),
        (("--set", "reading=mode"), "reading should be 'mean' or 'median'"),
        (("--set", "block_vx=[0,8,8]"), "have no voxels"),
        (("--set", "ledger=nowhere"), "ledger"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_writes_nothing(command: Run, arguments, tmp_path, bad, what):
    given = arguments[:2] + arguments[4:] if "--backbone" in bad else arguments  # which takes one
    assert what in refused(command(*given, *bad, "--json"))
    assert not list(tmp_path.glob("[!c]*"))


def test_volumes_that_cannot_be_proposed_from(command: Run, arguments, inputs, tmp_path):
    for volume, what in (
        ("none.zarr", "there is no array here"),
        (inputs / "p.zarr", "a zarr group, not an array"),
        (inputs / "random", "array"),
    ):
        wrong = [*arguments]
        wrong[1] = volume
        assert what in refused(command(*wrong))
    empty = Volume.create(tmp_path / "m.zarr/mask", (10, 144, 144), (30, 6, 6), np.uint8)
    assert "tissue, the most is 0%" in refused(command(*arguments, "--mask", empty.path, "--json"))
    assert not (tmp_path / "out" / PROPOSALS).exists()
    assert not (tmp_path / "out/contact_sheet.html").exists()
    small = Volume.create(tmp_path / "m.zarr/small", (10, 100, 144), (30, 6, 6), np.uint8)
    assert "outside the mask" in refused(command(*arguments, "--mask", small.path, "--overwrite"))


def test_an_output_that_cannot_be_written(command: Run, arguments, tmp_path):
    (tmp_path / "file").write_text("mine")
    for output in (tmp_path / "file", tmp_path / "file/below"):
        refused(command(*arguments, "-o", output))
    assert (tmp_path / "file").read_text() == "mine"


def test_show(command: Run, proposed):
    code, told, _ = command("proposals", "show", proposed)
    assert code == 0
    assert "240 288 288" in told
    code, told, _ = command("proposals", "show", proposed / PROPOSALS, "--json")
    states = {"states": {"roi_1": "waiting", "roi_2": "waiting"}}
    assert (code, json.loads(told)) == (0, json.loads((proposed / PROPOSALS).read_text()) | states)


def test_show_says_which_boxes_are_labelled_skipped_or_waiting(command: Run, inputs, folder):
    def states() -> list[str]:
        for given in (folder, folder / PROPOSALS):
            _, told, _ = command("proposals", "show", given)
            rows = [line.split("\t") for line in told.splitlines()]
            assert rows[0][1] == "state"
        return [row[1] for row in rows[1:]]

    assert states() == ["waiting", "waiting"]
    assert command("proposals", "skip", folder, 2)[0] == 0
    assert states() == ["waiting", "skipped"]
    assert command("proposals", "import", folder, inputs / "p.zarr/labels")[0] == 0
    assert states() == ["labelled", "labelled"]
    told = json.loads(command("proposals", "show", folder, "--json")[1])
    assert told["states"] == {"roi_1": "labelled", "roi_2": "labelled"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "cannot be read"),
        ("", "malformed"),
        ("{", "malformed"),
        ("[]", "not a table"),
        ("{}", "is missing"),
        ('{"volume": 3}', "volume"),
        ("\x00", "malformed"),
    ],
)
@pytest.mark.parametrize("verb", [("show",), ("export", "--to", "csv"), ("import", "labels.npy")])
def test_proposals_that_cannot_be_read(command: Run, tmp_path, verb, text, what):
    (tmp_path / "there").mkdir()
    if text is not None:
        (tmp_path / "there" / PROPOSALS).write_text(text)
    name, *rest = verb
    told = refused(command("proposals", name, tmp_path / "there" / PROPOSALS, *rest))
    assert what in told
    assert str(tmp_path / "there" / PROPOSALS) in told
    assert [p.name for p in (tmp_path / "there").iterdir()] == [PROPOSALS] * (text is not None)


@pytest.mark.parametrize("verb", [("show",), ("export", "--to", "csv"), ("import", "labels.npy"), ("skip", 1)])
def test_a_folder_without_proposals(command: Run, tmp_path, verb):
    name, *rest = verb
    told = refused(command("proposals", name, tmp_path, *rest))
    assert f"{tmp_path}: there are no proposals in this folder: it has no {PROPOSALS}; name a folder of" in told


def test_export(command: Run, folder, tmp_path):
    for kind, name in (("csv", "proposals.csv"), ("catmaid", "catmaid.csv"), ("webknossos", "webknossos.nml")):
        assert command("proposals", "export", folder, "--to", kind) == (0, f"{folder / name}\n", "")
        assert (folder / name).stat().st_size
        before = (folder / name).read_bytes()
        assert "exists already" in refused(command("proposals", "export", folder, "--to", kind))
        assert command("proposals", "export", folder, "--to", kind, "--overwrite")[0] == 0
        assert (folder / name).read_bytes() == before
    code, told, _ = command("proposals", "export", folder / PROPOSALS, "--to", "neuroglancer", "--url", "http://h/raw")
    state, link = told.splitlines()
    assert (code, state) == (0, str(folder / "neuroglancer.json"))
    assert json.loads(Path(state).read_text())["layers"]
    assert link.startswith("http")
    crops = ("proposals", "export", folder, "--to", "crops", "--context", 30, 60, 60)
    assert command(*crops, "-o", tmp_path / "crops") == (0, f"{tmp_path / 'crops'}\n", "")
    before = listed(tmp_path / "crops")
    assert "perhaps labels" in refused(command(*crops, "-o", tmp_path / "crops", "--overwrite"))
    assert listed(tmp_path / "crops") == before


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (("--to", "imaris"), "'imaris' is no kind of export; one of: csv, catmaid"),
        (("--to", "neuroglancer"), "where raw is served"),
        (("--to", "crops", "--context", -30, 0, 0), "context"),
        (("--to", "crops", "--context", "nan", 0, 0), "context"),
    ],
)
def test_what_cannot_be_exported(command: Run, folder, bad, what):
    assert what in refused(command("proposals", "export", folder, *bad))
    assert [path.name for path in folder.iterdir()] == [PROPOSALS]


def test_exports_where_nothing_can_be_written_or_raw_is_gone(command: Run, folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    for kind in ("csv", "catmaid", "webknossos", "crops"):
        refused(command("proposals", "export", folder, "--to", kind, "-o", tmp_path / "file/below"))
    gone = json.loads((folder / PROPOSALS).read_text()) | {"volume": str(tmp_path / "gone.zarr")}
    (folder / PROPOSALS).write_text(json.dumps(gone))
    assert "gone.zarr" in refused(command("proposals", "export", folder, "--to", "crops"))
    assert [path.name for path in folder.iterdir()] == [PROPOSALS]


def test_import(command: Run, inputs, folder, tmp_path):
    truth = Volume.open(inputs / "p.zarr/labels")
    code, told, _ = command("proposals", "import", folder, inputs / "p.zarr/labels", "--json")
    rows = json.loads(told)
    assert code == 0
    assert [row["rank"] for row in rows] == [1, 2]
    for row, proposal in zip(rows, read_proposals(folder).proposals, strict=True):
        labels = Volume.open(row["labels"])
        assert labels.roi == proposal.to_roi(truth)
        assert (labels.read() == truth.read(labels.roi)).all()
        assert row["ids"] == len(np.setdiff1d(labels.read(), [0]))
    before = listed(folder / "labels")
    assert "overwrite" in refused(command("proposals", "import", folder, inputs / "p.zarr/labels"))
    assert listed(folder / "labels") == before
    code, told, _ = command("proposals", "import", folder, inputs / "p.zarr/labels", "--rank", 2, "--overwrite")
    assert code == 0
    assert "roi_2" in told
    assert "roi_1" not in told


def test_what_cannot_be_imported(command: Run, inputs, folder, tmp_path):
    ids = np.ones(BOX_VX, np.uint16)
    np.save(tmp_path / "good.npy", ids)
    np.save(tmp_path / "small.npy", ids[:, :40])
    np.save(tmp_path / "float.npy", ids.astype(np.float32))
    np.save(tmp_path / "empty.npy", ids * 0)
    np.save(tmp_path / "negative.npy", -ids.astype(np.int16))
    (tmp_path / "broken.npy").write_bytes(b"no array")
    np.save(tmp_path / "pickle.npy", np.array([{}], object), allow_pickle=True)
    Volume.create(tmp_path / "l.zarr/coarse", BOX_VX, (30, 12, 12), np.uint32)
    Volume.create(tmp_path / "l.zarr/elsewhere", BOX_VX, (30, 6, 6), np.uint32, offset_nm=(90000, 0, 0))
    for source, options, what in (
        ("good.npy", (), "it is not known which box this is; give its rank"),
        ("good.npy", ("--rank", 3), "there is no roi_3; proposed were 1 to 2"),
        ("good.npy", ("--rank", 0), "there is no roi_0"),
        ("small.npy", ("--rank", 1), "its shape is (8, 40, 48)"),
        ("float.npy", ("--rank", 1), "its data type is float32"),
        ("empty.npy", ("--rank", 1), "nothing is labelled"),
        ("negative.npy", ("--rank", 1), "negative ids"),
        ("broken.npy", ("--rank", 1), "broken.npy"),
        ("pickle.npy", ("--rank", 1), "pickle.npy"),
        ("none.npy", ("--rank", 1), "none.npy"),
        ("l.zarr/coarse", (), "voxel size"),
        ("l.zarr/elsewhere", (), "overlaps none of the boxes"),
        ("l.zarr/elsewhere", ("--rank", 1), "does not overlap roi_1"),
    ):
        assert what in refused(command("proposals", "import", folder, tmp_path / source, *options)), source
        assert [path.name for path in folder.iterdir()] == [PROPOSALS]


def write_config(inputs: Path, tmp_path: Path, **changes: Any) -> Path:
    adapt = {
        "raw": str(inputs / "p.zarr/raw"),
        "output": str(tmp_path / "run"),
        "backbone": str(inputs / "random"),
        "propose": {"shape_nm": BOX_NM, "choose": {"count": 2}, "predict": {"device": "cpu"}},
        "train": {
            "name": "adapted",
            "domain": "phantom",
            "iterations": 1,
            "output_shape_vx": [4, 16, 16],
            "workers": 0,
            "picture_every": 0,
            "device": "cpu",
        },
        "execution": {"launcher": "serial"},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"adapt": adapt | changes}))
    return path


def test_adapt_waits_with_code_3_and_ends_with_0(command: Run, inputs, tmp_path):
    config, round_ = write_config(inputs, tmp_path), tmp_path / "run/round_1"
    code, told, _ = command("adapt", "-c", config)
    assert code == 3
    assert "2 boxes wait for labels" in told
    assert f"neuroadda proposals import {round_} LABELS" in told
    assert command("proposals", "import", round_, inputs / "p.zarr/labels", "--rank", 1)[0] == 0
    code, told, _ = command("adapt", "-c", config, "--json")
    assert code == 3
    assert json.loads(told)["rounds"][0]["waiting_for"] == [2]
    assert json.loads(told) == json.loads((tmp_path / "run/adaptation.json").read_text())

    assert command("proposals", "import", round_, inputs / "p.zarr/labels", "--overwrite")[0] == 0
    other = ("--set", "adapt.propose.choose.strategy=max")
    before = listed(round_)
    assert "other proposals lie here" in refused(command("adapt", "-c", config, *other, "--json"))
    assert {path: content for path, content in listed(round_).items() if path in before} == before
    # labels of the boxes that were replaced are not taken for those of the new ones
    again = tmp_path / "again"
    subprocess.run(["cp", "-r", tmp_path / "run", again], check=True)
    moved = ("--set", f"adapt.output={again}", "--overwrite", "--json")
    code, told, _ = command("adapt", "-c", config, *other, *moved)
    assert code == 3
    assert json.loads(told)["rounds"][0]["waiting_for"]

    code, told, _ = command("adapt", "-c", config)
    assert code == 0
    assert "adapted starts from random" in told
    adapted = tmp_path / "run" / "backbone"
    lines = [str(inputs / "random"), str(round_ / "train/backbone"), f"adapted backbone: {adapted}"]
    assert told.splitlines()[-6:-3] == lines
    score, settings, following = told.splitlines()[-3:]
    assert re.match(r"segmented by it: setting default, threshold 0\.\d+: VOI", settings)
    assert re.match(r"VOI \d\.\d{3} before, \d\.\d{3} after on roi_2, which was not trained on", score)
    raw = inputs / "p.zarr/raw"
    assert following == f"next: neuroadda segment {raw} --backbone {adapted} -o {tmp_path / 'run/segmentation'}"
    assert load_card(adapted) == load_card(round_ / "train/backbone")
    assert command("adapt", "-c", config, "--json")[0] == 0


@pytest.mark.parametrize(
    ("changes", "options", "what"),
    [
        ({"raws": "x"}, (), "did you mean 'adapt.raw'?"),
        ({"propose": {"choose": {"strategy": "medain"}}}, (), "adapt.propose.choose.strategy should be"),
        ({"rounds": 0}, (), "adapt.rounds should be greater than or equal to 1"),
        ({"raw": "none.zarr"}, (), "none.zarr: there is no array here"),
        ({"mask": "none.zarr"}, (), "none.zarr: there is no array here"),
        ({"backbone": "no/where"}, (), "no/where: there is no such folder"),
        ({"backbone": "nowhere"}, (), "'nowhere' is no entry of the zoo and no folder"),
        ({}, ("--set", "adapt.propose.shape_nm=[1000.0,288.0,288.0]"), "are larger than"),
        ({}, ("--set", "adapt.propose.shape_nm=[30.0,288.0,288.0]"), "smaller than train.output_shape_vx"),
        ({}, ("--set", "adapt.propose.score=committee"), "a committee takes several"),
        ({}, ("--set", "adapt.train.iterations=0"), "adapt.train.iterations should be greater than"),
        ({"validation": {"raw": "none.zarr", "labels": "none.zarr"}}, (), "none.zarr"),
    ],
)
def test_what_cannot_be_adapted(command: Run, inputs, tmp_path, changes, options, what):
    config = write_config(inputs, tmp_path, **changes)
    assert what in refused(command("adapt", "-c", config, *options, "--json"))
    assert not [path for path in (tmp_path / "run").rglob("*") if path.name != ".lock"]


def test_configs_that_cannot_be_adapted(command: Run, inputs, tmp_path):
    config = tmp_path / "config.json"
    for text, what in (
        ("{}", "there is no [adapt] section; see configs/"),
        ('{"adapt": {}}', "is missing"),
        ('{"adpat": {}}', "did you mean 'adapt'?"),
        ("{", "malformed"),
    ):
        config.write_text(text)
        assert what in refused(command("adapt", "-c", config))
    assert "cannot be read" in refused(command("adapt", "-c", tmp_path / "none.toml"))
    (tmp_path / "file").write_text("mine")
    for output in ("file", "file/below"):
        path = write_config(inputs, tmp_path, output=str(tmp_path / output))
        assert "cannot be written" in refused(command("adapt", "-c", path, "--json"))
    assert (tmp_path / "file").read_text() == "mine"


def test_an_oracle_that_does_not_fit_is_told_and_the_boxes_stay(command: Run, inputs, tmp_path):
    Volume.create(tmp_path / "l.zarr/empty", (10, 144, 144), (30, 6, 6), np.uint32)
    config = write_config(inputs, tmp_path, oracle=str(tmp_path / "l.zarr/empty"))
    assert "nothing is labelled" in refused(command("adapt", "-c", config, "--json"))
    assert not (tmp_path / "run/round_1/labels").exists()
    assert len(read_proposals(tmp_path / "run/round_1").proposals) == 2


def test_from_a_ranking_to_a_backbone_without_a_config(command: Run, inputs, tmp_path, monkeypatch):
    """Each verb names the next and takes what the one before it wrote; nothing is ranked or proposed again."""
    zoo, raw = tmp_path / "zoo", inputs / "p.zarr/raw"
    for seed, name in enumerate(("one", "two")):
        card = write_random_backbone(zoo / name, seed) / "card.json"
        card.write_text(json.dumps(json.loads(card.read_text()) | {"domain": name}))
    write_index(zoo)
    ranked, asked, out = tmp_path / "ranking.json", tmp_path / "asked", tmp_path / "out"
    few = ("--set", "crops=2", "--set", "crop_vx=[4,48,48]")
    code, told, _ = command("domains", "rank", raw, "--zoo", zoo, *few, "-o", ranked)
    assert code == 0
    assert told.splitlines()[-1].endswith(f"neuroadda propose {raw} --ranking {ranked} -o OUT")
    winner = json.loads(ranked.read_text())["ranking"]["winner"]

    monkeypatch.setattr("neuroadda.domains.selection.rank_zoo", None)
    shape = ("-n", 2, "--shape", *BOX_NM, "--set", "choose.strategy=max")
    code, told, _ = command("propose", raw, "--ranking", ranked, *shape, "-o", asked, *CPU)
    assert code == 0
    assert told.splitlines()[-1] == f"fine-tune: neuroadda adapt {raw} --proposals {asked} -o OUT"
    assert read_proposals(asked).backbone == winner
    assert command("proposals", "import", asked, inputs / "p.zarr/labels")[0] == 0

    monkeypatch.setattr("neuroadda.adaptation.rounds.propose_boxes", None)
    train = ("output_shape_vx=[4,16,16]", "workers=0", "device=cpu", "picture_every=0")
    keys = [option for key in train for option in ("--set", f"adapt.train.{key}")]
    code, told, err = command("adapt", raw, "--proposals", asked, "-o", out, "--iterations", 1, *keys)
    assert code == 0
    assert f"out starts from {winner}" in told + err
    assert "on your 2 boxes" in told + err
    assert (
        told.splitlines()[-1]
        == f"next: neuroadda segment {raw} --backbone {out / 'backbone'} -o {out / 'segmentation'}"
    )
    assert load_card(out / "backbone").name == "out"


def test_a_ranking_is_not_written_over_something_else(command: Run, inputs, tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    told = refused(command("domains", "rank", inputs / "p.zarr/raw", "-o", tmp_path / "mine.json", "--json"))
    assert "this is no ranking, and is not written over" in told
    assert (tmp_path / "mine.json").read_text() == "{}"


def test_check_looks_at_given_proposals(command: Run, inputs, folder, tmp_path):
    assert command("proposals", "import", folder, inputs / "p.zarr/labels", "--rank", 1)[0] == 0
    code, told, _ = command("check", write_config(inputs, tmp_path, proposals=str(folder)))
    assert code == 0
    assert "1 of 2 boxes are labelled" in told
    config = write_config(inputs, tmp_path, proposals=str(tmp_path / "none"))
    code, told, err = command("check", config)
    assert code != 0
    assert "adapt.proposals" in told + err
    ranking = {"backbone": None, "select": {"ranking": str(tmp_path / "none.json")}}
    code, told, err = command("check", write_config(inputs, tmp_path, **ranking))
    assert code != 0
    assert "there is no ranking here" in told + err


@pytest.mark.parametrize(
    "verb", [("--help",), ("propose", "--help"), ("proposals", "import", "--help"), ("adapt", "--help")]
)
def test_help_imports_neither_torch_nor_zarr(verb):
    code = (
        "import sys; from neuroadda.cli import main; sys.argv = ['neuroadda', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: print(*sorted({'torch', 'zarr', 'gunpowder', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code, *verb], capture_output=True, text=True, check=True)
    assert "Usage:" in run.stdout
    assert run.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("edited", ["raw", "the mask that was found", "a mask that was given"])
def test_boxes_of_a_volume_that_was_edited_are_said_to_be_old_and_proposed_anew(
    command: Run, inputs, tmp_path, edited: str
):
    shutil.copytree(inputs / "p.zarr", tmp_path / "p.zarr")
    raw = Volume.open(tmp_path / "p.zarr/raw", "r+")
    raw.data[:, :20] = 0
    options = ["--backbone", inputs / "random", "-n", 2, "--shape", *BOX_NM, "-o", tmp_path / "out", *CPU]
    if edited == "a mask that was given":
        assert command("mask", raw.path)[0] == 0
        options += ["--no-data", tmp_path / "p.zarr/raw_mask"]
    assert command("propose", raw.path, *options)[0] == 0
    assert command("proposals", "show", tmp_path / "out")[2] == ""
    masks = {"raw": raw.path, "the mask that was found": tmp_path / "out/no_data.zarr/mask"}
    volume = Volume.open(masks.get(edited, tmp_path / "p.zarr/raw_mask"), "r+")
    volume.data[:, :90] = 0  # the boxes do not fit beside it any more
    for verb in (("show",), ("export", "--to", "csv")):
        forget_warnings()  # which are told once a process
        code, _, error = command("proposals", verb[0], tmp_path / "out", *verb[1:])
        assert code == 0
        assert "these boxes were proposed before" in error
    code, _, error = command("propose", raw.path, *options)
    assert code == 0, error
    assert "changed (" in error
    found = read_proposals(tmp_path / "out")
    size = Volume.open(raw.path).voxel_size_nm[1]
    assert min(box.offset_nm[1] for box in found.proposals) >= 90 * size
    assert command("propose", raw.path, *options)[2] == ""
