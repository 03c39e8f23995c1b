"""From a ranking to a backbone without a break: what is there is taken, sources are scored on labels, and so is the result."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroadda.active.box_states import skip_box
from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import read_proposals
from neuroadda.active.propose import ProposeConfig, propose_boxes
from neuroadda.adaptation.boxes import Sources, _choose
from neuroadda.adaptation.config import AdaptConfig
from neuroadda.adaptation.rounds import adapt_backbone
from neuroadda.adaptation.status import look_at_adaptation
from neuroadda.backbones.card import load_card
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.config import parse_config
from neuroadda.domains.selection import SelectConfig, select_source
from neuroadda.errors import UserError
from neuroadda.evaluation.validation import ValidateConfig, Validator, to_metrics
from neuroadda.observing import RunObserver
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from neuroadda.zoo.adding import write_index
from neuroadda.zoo.finding import open_zoo
from tests.active.networks import write_random_backbone

GOOD, BAD = "fly_larva_l1_sstem", "random"
BOX_NM = (240.0, 288.0, 288.0)
RANK = {"crops": 2, "crop_vx": [4, 64, 64]}
CPU = {"device": "cpu"}


class Notes(RunObserver, list):
    """The notes of a run."""

    def on_note(self, text: str) -> None:
        self.append(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom, a zoo of one network that knows something and one that does not, and three boxes that the latter proposes."""
    root = tmp_path_factory.mktemp("given")
    write_phantom(PhantomConfig(shape_vx=(10, 144, 144), seed=3), root / "p.zarr")
    write_phantom(PhantomConfig(shape_vx=(10, 144, 144), seed=4), root / "other.zarr")
    write_random_backbone(root / "zoo" / BAD)
    shutil.copytree(open_zoo().folder(GOOD), root / "zoo" / GOOD)
    write_index(root / "zoo")
    propose_boxes(
        parse_config(
            ProposeConfig,
            {
                "raw": str(root / "p.zarr/raw"),
                "backbone": str(root / "zoo" / BAD),
                "output": str(root / "asked"),
                "shape_nm": BOX_NM,
                "choose": {"count": 3},
                "predict": CPU,
                "execution": {"launcher": "serial"},
            },
            "test",
        )
    )
    return root


@pytest.fixture
def asked(made: Path, tmp_path: Path) -> Path:
    """A copy of the proposals."""
    shutil.copytree(made / "asked", tmp_path / "asked")
    return tmp_path / "asked"


def label(made: Path, asked: Path, *ranks: int) -> None:
    for rank in ranks:
        import_labels(read_proposals(asked), made / "p.zarr/labels", asked / "labels", rank=rank)


def make_config(made: Path, tmp_path: Path, asked: Path, **changes: Any) -> AdaptConfig:
    data = {
        "raw": str(made / "p.zarr/raw"),
        "output": str(tmp_path / "run"),
        "proposals": str(asked),
        "backbone": str(made / "zoo" / BAD),
        "propose": {"predict": CPU},
        "train": {
            "name": "adapted",
            "domain": "phantom",
            "iterations": 1,
            "output_shape_vx": [4, 32, 32],
            "workers": 0,
            "picture_every": 0,
            "device": "cpu",
        },
        "execution": {"launcher": "serial"},
    }
    given = {key: value for key, value in (data | changes).items() if value is not None}
    return parse_config(AdaptConfig, given, "test")


def write_ranking(made: Path, folder: Path, winner: str, volume: str | None = None) -> Path:
    """Write a ranking of the zoo in which one source is the first; no zoo is ranked."""
    names = [winner, *({GOOD, BAD} - {winner})]
    record = {
        "fingerprint": "f",
        "index": "i",
        "volume": volume or Volume.open(made / "p.zarr/raw").fingerprint,
        "folders": {name: str(made / "zoo" / name) for name in names},
        "ranking": {"winner": winner, "by": "consistency", "left_out": [], "sources": [{"name": n} for n in names]},
    }
    (folder / "ranking.json").write_text(json.dumps(record))
    return folder / "ranking.json"


def test_given_boxes_and_their_labels_are_the_first_round(made, asked, tmp_path, monkeypatch):
    monkeypatch.setattr("neuroadda.adaptation.rounds.propose_boxes", None)
    label(made, asked, 1)
    skip_box(read_proposals(asked), 3, asked / "labels")
    config = make_config(made, tmp_path, asked)
    waiting = adapt_backbone(config)
    (first,) = waiting.rounds
    assert (first.missing, first.left_out) == ((2,), (3,))
    assert first.proposals == read_proposals(asked)
    told = look_at_adaptation(tmp_path / "run")
    assert told.state == "waiting"
    assert f"neuroadda proposals import {asked} LABELS" in told.advice

    label(made, asked, 2)
    done = adapt_backbone(config)
    trained_on = [sample.get("labels") for sample in load_card(done.backbone).training_data[:2]]
    assert trained_on == [str(asked / f"labels/roi_{rank}.zarr/labels") for rank in (1, 2)]
    assert (tmp_path / "run/round_1/train/backbone").is_dir()
    assert not (asked / "train").exists()
    assert json.loads((tmp_path / "run/adaptation.json").read_text()) == done.to_data()
    assert done.to_data()["rounds"][0]["proposals"] == str(asked)
    assert adapt_backbone(config) == done


def test_later_rounds_ask_for_boxes_like_the_given_ones_and_beside_what_was_excluded(made, asked, tmp_path):
    text = json.loads((asked / "proposals.json").read_text())
    kept, left = text["proposals"][:1], text["proposals"][1]
    text |= {"proposals": kept, "excluded": [{key: left[key] for key in ("offset_nm", "shape_nm")}]}
    (asked / "proposals.json").write_text(json.dumps(text))
    label(made, asked, 1)
    propose = {"predict": CPU, "choose": {"count": 1}}
    first, second = adapt_backbone(make_config(made, tmp_path, asked, rounds=2, propose=propose)).rounds
    assert second.asked == tmp_path / "run/round_2"
    assert second.missing == (1,)
    raw = Volume.open(made / "p.zarr/raw")
    (box,) = second.proposals.proposals
    assert box.shape_nm == BOX_NM
    for other in (*first.proposals.boxes.values(), *first.proposals.excluded):
        assert box.to_roi(raw).intersect(other.to_roi(raw)).empty


def test_what_cannot_be_taken_is_refused_before_anything_is_written(made, asked, tmp_path):
    def refuse(match: str, **changes: Any) -> None:
        with pytest.raises(UserError, match=match):
            adapt_backbone(make_config(made, tmp_path, asked, **changes))
        assert not (tmp_path / "run" / "adaptation.json").exists()

    refuse(r"nowhere/?.*cannot be read", proposals=str(tmp_path / "nowhere"))
    refuse("these boxes lie in another volume", raw=str(made / "other.zarr/raw"))
    shape = {**make_config(made, tmp_path, asked).train.model_dump(mode="json"), "output_shape_vx": [8, 64, 64]}
    refuse(r"boxes of \(8, 48, 48\) voxels are smaller than train\.output_shape_vx", train=shape)
    ranked = write_ranking(made, tmp_path, GOOD)
    refuse("both it and a ranking say what to start from", select={"ranking": str(ranked)})
    no_backbone: dict[str, Any] = {"backbone": None}
    refuse("there is no ranking here", select={"ranking": str(tmp_path / "none.json")}, **no_backbone)
    (tmp_path / "none.json").write_text("{}")
    refuse("there is no ranking here", select={"ranking": str(tmp_path / "none.json")}, **no_backbone)
    write_ranking(made, tmp_path, GOOD, volume="0")
    refuse("this ranking is of another volume", select={"ranking": str(ranked)}, **no_backbone)
    write_ranking(made, tmp_path, GOOD)
    refuse(
        "all that is ranked here is to be excluded",
        select={"ranking": str(ranked), "exclude": [GOOD, BAD]},
        **no_backbone,
    )


def test_boxes_of_raw_that_was_edited_since_are_taken_only_if_inputs_are_trusted(made, asked, tmp_path):
    shutil.copytree(made / "p.zarr", tmp_path / "p.zarr")
    raw = Volume.open(tmp_path / "p.zarr/raw", "r+")
    changes = {"raw": str(raw.path)}
    assert adapt_backbone(make_config(made, tmp_path, asked, **changes)).waiting
    raw.write(raw.roi, raw.read()[::-1].copy())
    with pytest.raises(UserError, match="raw was edited since these boxes were proposed"):
        adapt_backbone(make_config(made, tmp_path, asked, **changes))
    assert adapt_backbone(make_config(made, tmp_path, asked, trust_inputs=True, **changes)).waiting


def test_a_ranking_that_is_there_is_taken_without_what_is_excluded(made, tmp_path, monkeypatch):
    monkeypatch.setattr("neuroadda.domains.selection.rank_zoo", None)
    raw, file = Volume.open(made / "p.zarr/raw"), write_ranking(made, tmp_path, BAD)
    for given in (file, tmp_path):
        found = select_source(raw, SelectConfig(ranking=given), tmp_path / "run/ranking.json")
        assert found.folder == made / "zoo" / BAD
    found = select_source(raw, SelectConfig(ranking=file, exclude=(BAD,)), tmp_path / "run/ranking.json")
    assert (found.ranking["winner"], list(found.folders)) == (GOOD, [GOOD])
    # what was taken is kept, so that the file may go
    assert json.loads((tmp_path / "run/ranking.json").read_text())["ranking"]["winner"] == GOOD


def test_an_adaptation_takes_a_ranking_alone_and_asks_by_its_first_source(made, tmp_path, monkeypatch):
    monkeypatch.setattr("neuroadda.domains.selection.rank_zoo", None)
    ranking = {"ranking": str(write_ranking(made, tmp_path, BAD))}
    propose = {"predict": CPU, "shape_nm": BOX_NM, "choose": {"count": 1}}
    changes = {"proposals": None, "backbone": None, "select": ranking, "propose": propose, "rounds": 2}
    config = make_config(made, tmp_path, tmp_path, **changes)
    (first,) = adapt_backbone(config).rounds
    assert (first.asked, first.missing) == (tmp_path / "run/round_1", (1,))
    assert first.proposals.backbone == BAD
    label(made, first.asked, 1)
    done = adapt_backbone(config)
    assert [r.missing for r in done.rounds] == [(), (1,)]
    assert (done.sources.boxes, done.sources.start) == (("roi_1",), BAD)  # one box alone changes nothing


def test_the_source_that_is_clearly_better_on_the_labels_is_started_from(made, asked, tmp_path, monkeypatch):
    monkeypatch.setattr("neuroadda.domains.selection.rank_zoo", None)
    write_ranking(made, asked, BAD)  # beside the boxes, as `propose` keeps it
    label(made, asked, 1, 2, 3)
    # Steepest ascent leaves few fragments in boxes as small as these, so that scores differ much between them.
    propose = {"predict": CPU, "fragments": {"method": "seeds"}}
    config, told = make_config(made, tmp_path, asked, backbone=None, propose=propose), Notes()
    done = adapt_backbone(config, observer=told)
    assert done.sources is not None
    assert (done.sources.boxes, done.sources.first, done.sources.start) == (("roi_1", "roi_2", "roi_3"), BAD, GOOD)
    assert np.mean(done.sources.voi[GOOD]) < np.mean(done.sources.voi[BAD])
    assert done.start == made / "zoo" / GOOD
    (line,) = [line for line in told if line.startswith("on your 3 boxes")]
    assert line == done.sources.describe()
    assert line.endswith(f"starting from {GOOD}")
    assert load_card(done.backbone).architecture == load_card(made / "zoo" / GOOD).architecture
    recorded = json.loads((tmp_path / "run/adaptation.json").read_text())
    assert recorded["sources"]["start"] == GOOD
    assert recorded["start"] == json.loads((tmp_path / "run/config.json").read_text())["backbone"] == str(done.start)
    # it holds once a training has begun, whatever becomes of the labels, and nothing is scored again
    monkeypatch.setattr("neuroadda.adaptation.boxes.Validator.sweep", None)
    assert adapt_backbone(config) == done


def test_a_start_that_was_given_stays(made, asked, tmp_path):
    label(made, asked, 1, 2, 3)
    done = adapt_backbone(make_config(made, tmp_path, asked, leave_one_out=False))
    assert (done.start, done.sources, done.held_back) == (made / "zoo" / BAD, None, None)
    told = "no score of the fine-tuning, as there is neither a validation part nor a box to spare"
    assert done.describe_scores() == told
    assert done.tuned.where.startswith("3 boxes, which the backbone was trained on")


@pytest.mark.parametrize(
    ("voi", "possible", "start"),
    [
        ({"a": (0.7, 0.8, 0.6, 0.7), "b": (0.6, 0.72, 0.5, 0.6)}, "ab", "b"),  # better in every box
        ({"a": (0.7, 0.8, 0.6, 0.7), "b": (0.2, 0.9, 0.7, 0.8)}, "ab", "a"),  # better in one
        ({"a": (0.7, 0.8), "b": (0.1, 0.7)}, "ab", "a"),  # two boxes that do not agree by how much
        ({"a": (0.7,), "b": (0.1,)}, "ab", "a"),  # one box
        ({"a": (0.7, 0.8, 0.6), "b": (0.1, 0.2, 0.1)}, "a", "a"),  # its network does not fit the training
        ({"a": (0.1, 0.2, 0.1), "b": (0.7, 0.8, 0.6)}, "ab", "a"),
    ],
)
def test_the_start_changes_only_beyond_the_spread_over_boxes(voi, possible, start):
    assert _choose(voi, "a", set(possible), 0.95) == start


@pytest.mark.parametrize(
    ("voi", "start", "told"),
    [
        ({"a": (0.7, 0.72), "b": (0.6, 0.64)}, "b", "on your 2 boxes a scores VOI 0.71, b 0.62: starting from b"),
        ({"a": (0.5,), "b": (0.6,)}, "a", "on your box a scores VOI 0.50, no other source is better: starting from it"),
        (
            {"a": (0.7,), "b": (0.6,)},
            "a",
            "on your box a scores VOI 0.70, b 0.60: no clear reason to start from another than a",
        ),
    ],
)
def test_what_sources_came_to_is_one_line(voi, start, told):
    found = Sources(tuple(f"roi_{i}" for i, _ in enumerate(voi["a"])), voi, "a", start)
    assert found.describe() == told
    assert Sources.from_data(json.loads(json.dumps(found.to_data()))) == found


def test_the_last_box_is_scored_by_a_training_that_did_not_see_it(made, asked, tmp_path):
    label(made, asked, 1, 2, 3)
    config, told = make_config(made, tmp_path, asked), Notes()
    done = adapt_backbone(config, observer=told)
    assert done.held_back is not None
    assert done.held_back.box == "roi_3"
    seen = load_card(tmp_path / "run/round_1/left_one_out/backbone").training_data[:2]
    assert [Path(sample["labels"]).parent.name for sample in seen] == ["roi_1.zarr", "roi_2.zarr"]
    assert len([s for s in load_card(done.backbone).training_data if "roi_" in s.get("labels", "")]) == 3
    box = ValidateConfig(raw=config.raw, labels=str(asked / "labels/roi_3.zarr/labels"), predict=config.propose.predict)
    without = tmp_path / "run/round_1/left_one_out/backbone"
    for folder, metrics in ((done.start, done.held_back.before), (without, done.held_back.after)):
        assert metrics == to_metrics(Validator(box).sweep(load_backbone(folder)))
    before, after = done.held_back.before["voi"], done.held_back.after["voi"]
    expected = f"VOI {before:.3f} before, {after:.3f} after on roi_3, which was not trained on: by the same fine-tuning without it"
    assert done.describe_scores().startswith(expected)
    assert any("without roi_3" in line for line in told)

    tuned = done.tuned
    assert tuned.where.endswith("roi_3, which the backbone was not trained on")  # that of the second fine-tuning
    card = load_card(done.backbone)
    assert card.segmentation == tuned.segmentation
    assert (tmp_path / "run/round_1/tuning/tune.png").exists()
    plan = make_plan(SegmentConfig(raw=config.raw, backbone=str(done.backbone), output=str(tmp_path / "segmented")))
    assert plan.config.components.threshold == tuned.threshold
    assert adapt_backbone(config) == done


def test_one_labelled_box_or_a_validation_is_not_held_back(made, asked, tmp_path):
    skip_box(read_proposals(asked), 2, asked / "labels")
    skip_box(read_proposals(asked), 3, asked / "labels")
    label(made, asked, 1)
    config = make_config(made, tmp_path, asked)
    alone = adapt_backbone(config)
    assert alone.held_back is None
    assert "roi_1, which the backbone was trained on, so that the VOI is too low" in alone.tuned.describe()
    label(made, asked, 2)
    truth = Volume.open(made / "p.zarr/labels")
    part = {"offset_nm": [0, 0, 0], "shape_nm": [n * v for n, v in zip((4, 48, 48), truth.voxel_size_nm, strict=True)]}
    held_out = {"raw": config.raw, "labels": str(truth.path), "roi": part, "predict": CPU}
    validated = make_config(made, tmp_path, asked, output=str(tmp_path / "validated"), validation=held_out)
    done = adapt_backbone(validated)
    assert done.held_back is None
    assert done.describe_scores().endswith("after on the validation part, which was not trained on")
    assert "the validation part, which the backbone was" in done.tuned.describe()
    assert done.validation_seen == ("was trained on" in done.tuned.describe())
    untuned = make_config(made, tmp_path, asked, output=str(tmp_path / "validated"), validation=held_out, tune=False)
    assert adapt_backbone(untuned).tuned is None


@pytest.mark.parametrize("change", ["as drawn", "shuffled", "the same in all sections"])
def test_labels_that_are_not_linked_are_scored_section_by_section(made, tmp_path, change):
    truth = Volume.open(made / "p.zarr/labels")
    ids, rng = truth.read(), np.random.default_rng(0)
    expected, changed = np.zeros_like(ids), np.zeros_like(ids)
    for z, section in enumerate(ids):
        known = np.unique(section[section > 0])
        names = {"as drawn": known, "shuffled": rng.permutation(known) + 7}.get(change, np.arange(1, len(known) + 1))
        changed[z] = np.where(section > 0, names[np.searchsorted(known, section).clip(max=len(known) - 1)], 0)
        expected[z] = np.where(section > 0, section + 10_000 * (z + 1), 0)
    scores = {}
    for name, labels in (("changed", changed), ("expected", expected)):
        written = Volume.create(tmp_path / f"{name}.zarr/labels", truth.shape_vx, truth.voxel_size_nm, np.uint64)
        written.write(written.roi, labels.astype(np.uint64))
        config = ValidateConfig(raw=str(made / "p.zarr/raw"), labels=str(written.path), linked=False, predict=CPU)
        scores[name] = Validator(config)(load_backbone(made / "zoo" / GOOD))
    assert scores["changed"] == pytest.approx(scores["expected"])
    # no threshold scores worse than where the segments of all sections are taken together, and some score better
    backbone = load_backbone(made / "zoo" / GOOD)
    together = Validator(config.model_copy(update={"linked": True})).sweep(backbone).scores
    gaps = [one.voi - other.voi for one, other in zip(together, Validator(config).sweep(backbone).scores, strict=True)]
    assert min(gaps) >= -1e-9
    assert max(gaps) > 0.01
