"""What is put into a zoo is whole, of known provenance, and replaces nothing unasked."""

import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from neuroadda.backbones.card import CARD, WEIGHTS
from neuroadda.backbones.checkpoint import load_backbone, save_backbone
from neuroadda.errors import UserError
from neuroadda.locks import LOCK
from neuroadda.zoo import adding
from neuroadda.zoo.adding import add_backbone, write_index
from neuroadda.zoo.finding import open_zoo
from neuroadda.zoo.index import EMBEDDING, INDEX
from neuroadda.zoo.verifying import verify_zoo
from tests.zoo.small_zoo import SAMPLE, write_embedding, write_trained


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def problems(zoo: Path) -> list[str]:
    return [problem for entry in verify_zoo(open_zoo(zoo)) for problem in entry.problems]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    write_trained(tmp_path / "trained")
    return tmp_path / "trained"


def test_weights_are_stored_in_half_the_bytes(trained: Path, tmp_path: Path) -> None:
    entry = add_backbone(trained, tmp_path / "zoo")
    assert entry == tmp_path / "zoo/fly"
    before, after = load_backbone(trained), load_backbone(entry)
    for key, weight in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[key], weight.half().float())
    assert (entry / WEIGHTS).stat().st_size < 0.7 * (trained / WEIGHTS).stat().st_size
    assert after.card == before.card.model_copy(update={"digest": after.card.digest})
    full = add_backbone(trained, tmp_path / "full", half=False)
    assert content(full) == content(trained)
    again = add_backbone(entry, tmp_path / "again")
    assert content(again) == content(entry)
    assert sorted(path.name for path in (tmp_path / "zoo").iterdir()) == [LOCK, "fly", INDEX]


def test_an_entry_is_replaced_only_when_asked(trained: Path, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    add_backbone(trained, zoo)
    write_trained(tmp_path / "mouse", "mouse", seed=1)
    add_backbone(tmp_path / "mouse", zoo)
    before = content(zoo)
    write_trained(tmp_path / "other", seed=2)
    with pytest.raises(UserError, match=r"has an entry 'fly' already; --overwrite"):
        add_backbone(tmp_path / "other", zoo)
    assert content(zoo) == before
    add_backbone(tmp_path / "other", zoo, overwrite=True)
    assert open_zoo(zoo).names() == ["fly", "mouse"]
    assert content(zoo / "fly") != {k.removeprefix("fly/"): v for k, v in before.items() if k.startswith("fly/")}
    assert not problems(zoo)
    assert sorted(path.name for path in zoo.iterdir()) == [LOCK, "fly", "mouse", INDEX]


def test_a_killed_replacement_is_found_and_mended(trained: Path, tmp_path: Path, monkeypatch) -> None:
    zoo = tmp_path / "zoo"
    add_backbone(trained, zoo)
    write_trained(tmp_path / "other", seed=2)

    def killed(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(adding, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            add_backbone(tmp_path / "other", zoo, overwrite=True)
    with pytest.raises(UserError, match="sha256"):
        open_zoo(zoo).folder("fly")
    assert problems(zoo)
    add_backbone(tmp_path / "other", zoo, overwrite=True)
    assert not problems(zoo)
    assert sorted(path.name for path in zoo.iterdir()) == [LOCK, "fly", INDEX]


def test_an_embedding_comes_along_if_it_is_of_these_weights(tmp_path: Path) -> None:
    card = write_trained(tmp_path / "full")
    write_embedding(tmp_path / "full", card.digest)
    with pytest.raises(UserError, match="the features are of other weights"):
        add_backbone(tmp_path / "full", tmp_path / "zoo")
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == [LOCK]
    entry = add_backbone(tmp_path / "full", tmp_path / "zoo", half=False)
    assert content(entry) == content(tmp_path / "full")
    assert EMBEDDING in open_zoo(tmp_path / "zoo").files("fly")
    card = write_trained(tmp_path / "half", "mouse", half=True)
    write_embedding(tmp_path / "half", card.digest)
    assert content(add_backbone(tmp_path / "half", tmp_path / "zoo")) == content(tmp_path / "half")
    write_embedding(tmp_path / "half", card.digest, features=7)
    with pytest.raises(UserError, match="there are 7 features, of a network with 8"):
        add_backbone(tmp_path / "half", tmp_path / "zoo", overwrite=True)
    (tmp_path / "half" / EMBEDDING).write_bytes(b"\x80\x04pickle")
    with pytest.raises(UserError, match=r"embedding\.safetensors.*cannot be read"):
        add_backbone(tmp_path / "half", tmp_path / "zoo", overwrite=True)
    assert not problems(tmp_path / "zoo")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"organism": " "}, "the card lacks organism"),
        ({"organism": "", "modality": "", "training_data": ()}, "lacks organism, modality, training_data;"),
        (
            {"training_data": (SAMPLE, {"name": "x", "licence": None})},
            r"lacks training_data\[1\]\.licence, training_data\[1\]\.citation",
        ),
        ({"domain": ""}, "the card lacks domain"),
        ({"domain": "../fly"}, "'../fly' is no name"),
        ({"domain": ".fly"}, "'.fly' is no name"),
    ],
)
def test_what_lacks_provenance_or_a_name_is_refused(tmp_path: Path, changes: dict, told: str) -> None:
    write_trained(tmp_path / "t", **{"domain": "fly"} | changes)
    with pytest.raises(UserError, match=told) as error:
        add_backbone(tmp_path / "t", tmp_path / "zoo")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "zoo").exists()


def test_weights_beyond_float16_are_refused(tmp_path: Path, trained: Path) -> None:
    backbone = load_backbone(trained)
    with torch.no_grad():
        next(backbone.model.parameters()).mul_(1e6)
    save_backbone(trained, backbone.model, backbone.card)
    with pytest.raises(UserError, match=r"the weights down.* are not all finite"):
        add_backbone(trained, tmp_path / "zoo")
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == [LOCK]
    add_backbone(trained, tmp_path / "zoo", half=False)


def test_what_is_no_zoo_or_no_backbone_is_told(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"https://host/zoo: a zoo at a URL cannot be written; add to a folder"):
        add_backbone(trained, "https://me:pw@host/zoo")
    with pytest.raises(UserError, match="no such folder"):
        add_backbone(tmp_path / "none", tmp_path / "zoo")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        add_backbone(trained, tmp_path / "file")
    (trained / WEIGHTS).write_bytes(b"\x80\x04pickle")
    with pytest.raises(UserError, match="damaged"):
        add_backbone(trained, tmp_path / "zoo")
    with pytest.raises(UserError, match="no such folder"):
        write_index(tmp_path / "none")


def test_the_index_is_written_anew(trained: Path, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    entry = add_backbone(trained, zoo)
    before = (zoo / INDEX).read_bytes()
    (zoo / INDEX).unlink()
    assert write_index(zoo).entries.keys() == {"fly"}
    assert (zoo / INDEX).read_bytes() == before
    write_embedding(entry, load_backbone(entry).card.digest)
    assert problems(zoo)
    write_index(zoo)
    assert EMBEDDING in open_zoo(zoo).files("fly")
    assert not problems(zoo)
    (entry / WEIGHTS).unlink()
    with pytest.raises(UserError, match="no weights"):
        write_index(zoo)


def _add(arguments: tuple[Path, Path]) -> None:
    add_backbone(*arguments)


def test_additions_at_once_are_all_in_the_index(tmp_path: Path) -> None:
    names = [f"d{i}" for i in range(6)]
    for i, name in enumerate(names):
        write_trained(tmp_path / name, name, seed=i)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map(_add, [(tmp_path / name, tmp_path / "zoo") for name in names], chunksize=1)
    assert open_zoo(tmp_path / "zoo").names() == names
    assert not problems(tmp_path / "zoo")


def test_every_problem_is_found(tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    for i, name in enumerate(("flipped", "gone", "nan", "poor", "stale", "whole")):
        card = write_trained(tmp_path / name, name, seed=i, half=True)
        write_embedding(tmp_path / name, card.digest)
        add_backbone(tmp_path / name, zoo)
    backbone = load_backbone(zoo / "nan")
    with torch.no_grad():
        next(backbone.model.parameters()).fill_(torch.nan)
    write_embedding(zoo / "nan", save_backbone(zoo / "nan", backbone.model, backbone.card).digest)
    card = json.loads((zoo / "poor" / CARD).read_text())
    card["training_data"][0]["licence"] = ""
    (zoo / "poor" / CARD).write_text(json.dumps(card))
    write_embedding(zoo / "stale", "0" * 64)
    write_index(zoo)
    write_trained(zoo / "new", "new")
    data = bytearray((zoo / "flipped" / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (zoo / "flipped" / WEIGHTS).write_bytes(data)
    (zoo / "flipped" / EMBEDDING).write_bytes(b"")
    (zoo / "gone" / WEIGHTS).unlink()
    found = {entry.name: entry.problems for entry in verify_zoo(open_zoo(zoo))}
    assert {name: len(told) for name, told in found.items()} == {
        "flipped": 2,
        "gone": 1,
        "nan": 1,
        "poor": 1,
        "stale": 1,
        "whole": 0,
        "new": 1,
    }
    assert "sha256" in found["flipped"][0]
    assert "has 0 bytes" in found["flipped"][1]
    assert "the file is missing" in found["gone"][0]
    assert "not all finite" in found["nan"][0]
    assert "training_data[0].licence" in found["poor"][0]
    assert "other weights" in found["stale"][0]
    assert "not in zoo.json" in found["new"][0]


def test_the_zoo_that_comes_with_the_package_is_whole():
    zoo = open_zoo()
    assert {"generalist", "fly_fibsem", "fly_larva_l3_sstem", "mouse_cortex_sssem"} <= set(zoo.names())
    assert [entry.problems for entry in verify_zoo(zoo) if entry.problems] == []
    for name in zoo.names():
        assert zoo.files(name)["weights.safetensors"].size < 3_000_000
        assert all(sample["licence"] and sample["citation"] for sample in zoo.card(name).training_data)
