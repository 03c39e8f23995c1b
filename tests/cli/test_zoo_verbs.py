"""`neuroadda zoo`: list, show, add, verify."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuroadda.backbones.card import CARD, WEIGHTS
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.zoo.adding import add_backbone
from neuroadda.zoo.finding import builtin_folder
from neuroadda.zoo.licences import tell_commercial_use
from tests.zoo.small_zoo import SAMPLE, SMALL, serve, write_embedding, write_trained


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    card = write_trained(folder / "a", "fly", half=True)
    write_embedding(folder / "a", card.digest)
    limited = SAMPLE | {"licence": "free for non-commercial image segmentation software, to be cited"}
    write_trained(folder / "b", "larva", seed=1, modality="ssTEM", training_data=(SAMPLE, limited))
    for name in "ab":
        add_backbone(folder / name, folder / "zoo")
    return folder / "zoo"


def test_list(command, made):
    code, told, _ = command("zoo", "list", made)
    rows = [line.split("\t") for line in told.splitlines()]
    assert code == 0
    assert rows[0] == ["name", "organism", "modality", "nm zyx", "parameters", "size", "commercial use", "licence"]
    assert rows[1][:4] == ["fly", "Drosophila", "FIB-SEM", "30 4.6 4.6"]
    assert rows[1][-2:] == ["yes", "CC BY 4.0"]
    assert rows[2][-2:] == ["no", "CC BY 4.0; free for non-commercial image ..."]
    facts = json.loads(command("zoo", "list", made, "--json")[1])
    assert [(f["name"], f["commercial_use"]) for f in facts] == [("fly", "yes"), ("larva", "no")]
    assert facts[0]["bytes"] == sum(path.stat().st_size for path in (made / "fly").iterdir())
    with serve(made) as server:
        assert json.loads(command("zoo", "list", server.url, "--json")[1]) == facts


@pytest.mark.parametrize(
    "architecture", [SMALL, UNetConfig(), UNetConfig(features=(3,), downsample=(), kernels=(((3, 3, 3),),))]
)
def test_parameters_are_counted_right(architecture):
    assert architecture.count_parameters() == sum(p.numel() for p in UNet(architecture).parameters())


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        ("CC BY-NC 4.0", "no"),
        ("CC-BY-NC-SA", "no"),
        ("noncommercial use", "no"),
        ("Non commercial", "no"),
        ("CC0; free for non-commercial software", "no"),
        ("CC BY 4.0", "yes"),
        ("CC0; BSD-3-style licence of the repository", "yes"),
        ("CC BY-ND 4.0", "not stated"),
        ("none stated; data of a lab, to be cited", "not stated"),
        ("CC0; none stated", "not stated"),
        ("NCBI terms", "not stated"),
        ("", "not stated"),
    ],
)
def test_commercial_use_is_told_by_the_licence(licence, told):
    assert tell_commercial_use(licence) == told


def test_of_the_shipped_backbones_those_without_a_licence_are_not_free(command):
    facts = {one["name"]: one["commercial_use"] for one in json.loads(command("zoo", "list", "--json")[1])}
    assert facts["mouse_cortex_sssem"] == "not stated"
    assert facts["fly_medulla_fibsem"] == "yes"
    assert facts["fly_larva_l1_sstem"] == facts["fly_larva_l3_sstem"] == facts["generalist"] == "no"


def test_show(command, made):
    code, told, _ = command("zoo", "show", "fly", "--zoo", made)
    assert code == 0
    for line in (
        "training_data.0.citation\tA. Author 2015",
        "voxel_size_nm\t[30.0, 4.6, 4.6]",
        "files\tcard.json, weights.safetensors, embedding.safetensors",
    ):
        assert line in told.splitlines()
    assert json.loads(command("zoo", "show", "fly", "--zoo", made, "--json")[1]) == json.loads(
        (made / "fly" / CARD).read_text()
    )
    code, told, error = command("zoo", "show", "fish", "--zoo", made)
    assert (code, told) == (2, "")
    assert error == f"neuroadda: {made}: there is no 'fish' in the zoo; the zoo has: fly, larva\n"


def test_a_card_cannot_write_to_the_terminal(command, tmp_path):
    sample = SAMPLE | {"licence": "free\x1b[2J\n\t", "citation": "a\rb"}
    write_trained(tmp_path / "t", organism="fly\x1b]0;x\x07", training_data=(sample,))
    command("zoo", "add", tmp_path / "t", "--zoo", tmp_path / "zoo")
    for arguments in (("list", tmp_path / "zoo"), ("show", "fly", "--zoo", tmp_path / "zoo")):
        code, told, _ = command("zoo", *arguments)
        assert code == 0
        assert "free" in told
        assert not set(told) & {"\x1b", "\r", "\x07"}
        assert len({line.count("\t") for line in told.splitlines()}) == 1


def test_add_twice(command, tmp_path):
    write_trained(tmp_path / "t")
    add = ("zoo", "add", tmp_path / "t", "--zoo", tmp_path / "zoo")
    assert command(*add)[:2] == (0, f"{tmp_path / 'zoo/fly'}\n")
    half = (tmp_path / "zoo/fly" / WEIGHTS).read_bytes()
    code, _, error = command(*add, "--no-half")
    assert code == 2
    assert error.count("\n") == 1
    assert (tmp_path / "zoo/fly" / WEIGHTS).read_bytes() == half
    assert command(*add, "--no-half", "--overwrite")[0] == 0
    assert (tmp_path / "zoo/fly" / WEIGHTS).read_bytes() == (tmp_path / "t" / WEIGHTS).read_bytes()


def test_a_new_zoo_tells_that_it_ranks_its_own_entries_alone(command, tmp_path):
    for number, domain in enumerate(("fly", "mouse", "fish")):
        write_trained(tmp_path / domain, domain, seed=number)
        code, _, error = command("zoo", "add", tmp_path / domain, "--zoo", tmp_path / "zoo")
        assert code == 0
        assert error.count("ranks fly alone") == (number == 0)
    error = command("zoo", "add", tmp_path / "fly", "--zoo", tmp_path / "other")[2]
    assert error.startswith(f"neuroadda: warning: {tmp_path / 'other'}: this zoo is new and ranks fly alone; to rank")


@pytest.mark.parametrize("name", ["fly_fibsem", "generalist", "fly_larva_l3_sstem"])
def test_a_backbone_that_comes_with_neuroadda_is_copied_by_its_name(command, tmp_path, name):
    assert command("zoo", "add", name, "--zoo", tmp_path / "zoo")[0] == 0
    files = sorted(path.name for path in (builtin_folder() / name).iterdir())
    assert sorted(path.name for path in (tmp_path / "zoo" / name).iterdir()) == files
    for file in files:
        if file != CARD:
            assert (tmp_path / "zoo" / name / file).read_bytes() == (builtin_folder() / name / file).read_bytes()
    assert command("zoo", "verify", tmp_path / "zoo")[0] == 0


def test_an_entry_of_the_zoo_of_neuroadda(command, tmp_path, monkeypatch):
    shipped = tmp_path / "package"
    for module in ("finding", "adding"):
        monkeypatch.setattr(f"neuroadda.zoo.{module}.builtin_folder", lambda: shipped)
    write_trained(tmp_path / "t", "fly")
    write_trained(tmp_path / "u", "mouse", seed=1)
    add_backbone(tmp_path / "t", shipped)
    code, told, error = command("zoo", "add", tmp_path / "u", "--zoo", "builtin")
    assert (code, told, error) == (0, f"{shipped / 'mouse'}\n", "")
    for zoo in ((), ("builtin",)):
        assert [line.split("\t")[0] for line in command("zoo", "list", *zoo)[1].splitlines()[1:]] == ["fly", "mouse"]
    assert not Path("builtin").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"organism": ""}, "the card lacks organism; a zoo says whose data made its backbones: give it (--organism"),
        ({"training_data": ({"name": "mine"},)}, "the card lacks training_data[0].licence, training_data[0].citation;"),
        (
            {"domain": "my tissue"},
            "domain: 'my tissue' is no name: letters, digits and _ . - only; it becomes the name of",
        ),
    ],
)
def test_what_a_card_lacks_is_told_with_the_file_to_change(command, tmp_path, changes, told):
    write_trained(tmp_path / "t", **changes)
    code, _, error = command("zoo", "add", tmp_path / "t", "--zoo", tmp_path / "zoo")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith(f"neuroadda: {tmp_path / 't' / CARD}: {told}")
    assert not (tmp_path / "zoo" / "zoo.json").exists()


def test_what_a_card_lacks_may_be_given(command, tmp_path):
    bare = {"organism": "", "modality": "", "training_data": ({"raw": "a"}, SAMPLE, {"raw": "b", "licence": "CC0"})}
    write_trained(tmp_path / "t", "my tissue", **bare)
    before = (tmp_path / "t" / CARD).read_bytes()
    facts = (
        "--domain",
        "mine",
        "--organism",
        "Mus",
        "--modality",
        "SBEM",
        "--licence",
        "CC BY 4.0",
        "--citation",
        "Me",
    )
    assert command("zoo", "add", tmp_path / "t", "--zoo", tmp_path / "zoo", *facts)[:2] == (
        0,
        f"{tmp_path / 'zoo/mine'}\n",
    )
    card = json.loads((tmp_path / "zoo/mine" / CARD).read_text())
    assert (card["domain"], card["organism"], card["modality"]) == ("mine", "Mus", "SBEM")
    given = {"name": "mine", "licence": "CC BY 4.0", "citation": "Me"}
    assert card["training_data"] == [{"raw": "a", **given}, SAMPLE, {"raw": "b", **given, "licence": "CC0"}]
    assert (tmp_path / "t" / CARD).read_bytes() == before
    assert command("zoo", "verify", tmp_path / "zoo")[0] == 0
    write_trained(tmp_path / "full")
    command("zoo", "add", tmp_path / "full", "--zoo", tmp_path / "zoo", *facts[2:])
    card = json.loads((tmp_path / "zoo/fly" / CARD).read_text())
    assert (card["organism"], card["modality"], card["training_data"]) == ("Drosophila", "FIB-SEM", [SAMPLE])


def test_verify_exits_1_if_anything_is_wrong(command, made, tmp_path):
    code, told, _ = command("zoo", "verify", made)
    assert (code, told.splitlines()[0]) == (0, "name\tfiles\tsize\tfound")
    assert [line.split("\t")[3] for line in told.splitlines()[1:]] == ["ok", "ok"]
    shutil.copytree(made, tmp_path / "zoo")
    (tmp_path / "zoo/fly" / WEIGHTS).write_bytes(b"x")
    (tmp_path / "zoo/larva" / CARD).unlink()
    code, told, _ = command("zoo", "verify", tmp_path / "zoo")
    assert code == 1
    assert "fly\t3\t" in told
    assert f"fly: {tmp_path}/zoo/fly/{WEIGHTS}: the file has 1 bytes" in told
    assert f"larva: {tmp_path}/zoo/larva/{CARD}: the file is missing" in told
    code, told, _ = command("zoo", "verify", tmp_path / "zoo", "--json")
    assert (code, [len(entry["problems"]) for entry in json.loads(told)]) == (1, [1, 1])
    with serve(tmp_path / "zoo") as server:
        assert command("zoo", "verify", server.url)[0] == 1
    with serve(made) as server:
        assert command("zoo", "verify", server.url)[0] == 0
    code, _, error = command("zoo", "verify", tmp_path)
    assert (code, error.count("\n")) == (2, 1)


def test_an_empty_zoo_is_told(command, tmp_path, monkeypatch):
    monkeypatch.setattr("neuroadda.zoo.finding.builtin_folder", lambda: tmp_path / "none")
    for verb in ("list", "verify"):
        code, told, _ = command("zoo", verb)
        assert (code, told.count("\n")) == (0, 1)
        assert "the zoo is empty; `neuroadda zoo add" in told
        assert command("zoo", verb, "--json") == (0, "[]\n", "")


def test_lists_and_cards_take_no_torch(made):
    code = (
        "import sys; from neuroadda.cli import main; sys.argv = ['neuroadda', 'zoo', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    for arguments in (["list", made], ["show", "fly", "--zoo", made]):
        run = [sys.executable, "-c", code, *map(str, arguments)]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "False"


def test_zoo_rank_is_domains_rank(command, made):
    told = [command(room, "rank", "--help")[1].split("\n", 1) for room in ("zoo", "domains")]
    assert told[0][0] != told[1][0]
    assert told[0][1] == told[1][1]
    for room in ("zoo", "domains"):
        code, _, error = command(room, "rank", made / "none.zarr", "--zoo", made)
        assert (code, error.count("\n")) == (2, 1)
