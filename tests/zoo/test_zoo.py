"""A zoo gives what its index vouches for, from wherever it is, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import torch

from neuroadda.backbones.card import CARD, WEIGHTS
from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.errors import UserError
from neuroadda.volumes.storage.urls import Url
from neuroadda.zoo.adding import add_backbone, write_index
from neuroadda.zoo.fetching import FileRecord, cache_folder
from neuroadda.zoo.finding import Zoo, builtin_folder, find_backbone, open_zoo
from neuroadda.zoo.index import EMBEDDING, INDEX, Index
from tests.zoo.small_zoo import serve, write_embedding, write_trained


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEUROADDA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zoo of two entries; one has an embedding."""
    folder = tmp_path_factory.mktemp("made")
    card = write_trained(folder / "a", "fly", half=True)
    write_embedding(folder / "a", card.digest)
    write_trained(folder / "b", "mouse", seed=1)
    for name in "ab":
        add_backbone(folder / name, folder / "zoo")
    return folder / "zoo"


@pytest.fixture
def zoo(made: Path, tmp_path: Path) -> Path:
    """A copy of the zoo of its own."""
    shutil.copytree(made, tmp_path / "zoo")
    return tmp_path / "zoo"


def change_index(zoo: Path, change) -> None:
    data = json.loads((zoo / INDEX).read_text())
    change(data["entries"])
    (zoo / INDEX).write_text(json.dumps(data))


def flip(path: Path, at: int = -1) -> None:
    """Change one bit, not the size."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*partial*")]


def check_whole(opened: Zoo, made: Path) -> None:
    """Check that an opened zoo gives the files that were made."""
    assert opened.names() == ["fly", "mouse"]
    assert [opened.card(name).organism for name in opened.names()] == ["Drosophila"] * 2
    assert list(opened.files("fly")) == [CARD, WEIGHTS, EMBEDDING]
    assert list(opened.files("mouse")) == [CARD, WEIGHTS]
    for name in opened.names():
        folder = opened.folder(name)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            path.name: path.read_bytes() for path in (made / name).iterdir()
        }
        expected = load_backbone(made / name).model.state_dict()
        weights = opened.backbone(name).model.state_dict()
        assert all(torch.equal(weights[key], value) for key, value in expected.items())


def test_a_folder(made: Path, cache: Path) -> None:
    check_whole(open_zoo(made), made)
    assert not cache.exists()


def test_a_web_server_without_listings(made: Path, cache: Path) -> None:
    with serve(made) as server:
        opened = open_zoo(f"{server.url}/")
        assert [opened.card(name).domain for name in opened.names()] == ["fly", "mouse"]
        assert server.asked == ["/zoo.json", "/fly/card.json", "/mouse/card.json"]
        check_whole(opened, made)
        asked = len(server.asked)
        assert asked == 1 + 5
        check_whole(open_zoo(server.url), made)
        assert len(server.asked) == asked + 1
    check_whole(opened, made)
    assert not leftovers(cache)


def test_memory_and_file_urls(made: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(made), "/zoos/one", recursive=True)
    try:
        check_whole(open_zoo("memory://zoos/one"), made)
    finally:
        memory.rm("/zoos", recursive=True)
    shutil.rmtree(cache_folder())
    check_whole(open_zoo(made.as_uri()), made)


def test_the_builtin_zoo_may_be_absent_and_any_other_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert builtin_folder().parent.name == "zoo"
    monkeypatch.setattr("neuroadda.zoo.finding.builtin_folder", lambda: tmp_path / "none")
    assert open_zoo().names() == open_zoo("builtin").names() == []
    with pytest.raises(UserError, match=r"no 'fly' in the zoo; the zoo has: nothing"):
        open_zoo().card("fly")
    with pytest.raises(UserError, match="no such folder"):
        open_zoo(tmp_path / "other")
    with pytest.raises(UserError, match=r"no zoo\.json here"):
        open_zoo(tmp_path)
    with serve(tmp_path) as server, pytest.raises(UserError, match=r"zoo\.json: it cannot be read \(HTTP Error 404"):
        open_zoo(server.url)
    with pytest.raises(UserError, match=r"memory://nothing/here/zoo\.json: it cannot be read"):
        open_zoo("memory://nothing/here")


def test_unknown_names_are_told_the_known(made: Path) -> None:
    opened = open_zoo(made)
    for get in (opened.card, opened.folder, opened.backbone, opened.files):
        with pytest.raises(UserError, match=r"no 'fish' in the zoo; the zoo has: fly, mouse"):
            get("fish")
    with pytest.raises(UserError, match=r"mouse has no embedding\.safetensors"):
        opened.file("mouse", EMBEDDING)


@pytest.mark.parametrize("file", [CARD, WEIGHTS, EMBEDDING])
def test_a_tampered_file_is_never_used(zoo: Path, cache: Path, file: str) -> None:
    flip(zoo / "fly" / file)
    with pytest.raises(UserError, match="sha256"):
        open_zoo(zoo).folder("fly")
    with serve(zoo) as server, pytest.raises(UserError, match=f"{server.address}/fly/{file}: the file's sha256"):
        open_zoo(server.url).folder("fly")
    assert not list(cache.rglob(file))
    assert not leftovers(cache)
    open_zoo(zoo).folder("mouse")


def test_a_file_of_another_size_is_given_up_early(zoo: Path, cache: Path) -> None:
    with (zoo / "fly" / WEIGHTS).open("ab") as file:
        file.write(bytes(50_000_000))
    with pytest.raises(UserError, match=r"50\d* bytes, its record says"):
        open_zoo(zoo).backbone("fly")
    with serve(zoo) as server, pytest.raises(UserError, match="more bytes than its record says"):
        open_zoo(server.url).backbone("fly")
    assert not leftovers(cache)


def test_a_file_that_the_index_does_not_know_is_not_given(zoo: Path) -> None:
    write_embedding(zoo / "mouse", "0" * 64)
    with pytest.raises(UserError, match="its digest is not known"):
        open_zoo(zoo).folder("mouse")
    assert open_zoo(zoo).card("mouse").domain == "mouse"


def test_a_damaged_cache_is_fetched_again(made: Path) -> None:
    with serve(made) as server:
        folder = open_zoo(server.url).folder("fly")
        flip(folder / WEIGHTS)
        (folder / CARD).unlink()
        check_whole(open_zoo(server.url), made)


def test_an_interrupted_download_leaves_nothing_that_is_used(made: Path, cache: Path) -> None:
    with serve(made) as server:
        server.cut = WEIGHTS
        opened = open_zoo(server.url)
        with pytest.raises(UserError, match="the file has 100 bytes, its record says"):
            opened.folder("fly")
        assert not leftovers(cache)
        assert not list(cache.rglob(WEIGHTS))
        (partial := opened.file("fly", CARD).parent / f".{WEIGHTS}.killed.partial").write_bytes(b"half of it")
        server.cut = None
        assert opened.backbone("fly").card.domain == "fly"
        partial.unlink()
        check_whole(opened, made)


def test_a_cache_that_cannot_be_written_is_told(made: Path, cache: Path) -> None:
    cache.write_text("a file")
    with serve(made) as server, pytest.raises(UserError, match="set NEUROADDA_CACHE"):
        open_zoo(server.url).folder("fly")


def test_processes_fetch_at_once(made: Path, cache: Path) -> None:
    code = (
        "import sys; from neuroadda.zoo.finding import open_zoo; zoo = open_zoo(sys.argv[1]); print(flush=True)\n"
        "sys.stdin.readline()\n"
        "for _ in range(5): [zoo.folder(name) for name in zoo.names()]\n"
        "print(zoo.card('fly').digest)"
    )
    with serve(made) as server:
        run = [sys.executable, "-c", code, server.url]
        processes = [
            subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ)
            for _ in range(3)
        ]
        for process in processes:
            process.stdout.readline()
        told = [process.communicate("go\n")[0].strip() for process in processes]
    assert told == [open_zoo(made).card("fly").digest] * 3
    assert not leftovers(cache)


BAD = ["../up", "..", "/etc", "a/b", "a\\b", ".hidden", "", "a b", "a\n", "é", "a..b"]


@pytest.mark.parametrize("name", BAD)
def test_names_that_lead_elsewhere_are_refused(zoo: Path, cache: Path, name: str) -> None:
    change_index(zoo, lambda entries: entries.update({name: entries["fly"]}))
    with pytest.raises(UserError, match="is no name"):
        open_zoo(zoo)
    with serve(zoo) as server, pytest.raises(UserError, match="is no name"):
        open_zoo(server.url)
    change_index(zoo, lambda entries: entries.pop(name))
    change_index(zoo, lambda entries: entries["fly"].update({name: entries["fly"][CARD]}))
    with pytest.raises(UserError, match="is no name"):
        open_zoo(zoo)
    assert not cache.exists()


def test_other_files_are_ignored(zoo: Path) -> None:
    record = {"sha256": "0" * 64, "size": 10}
    change_index(zoo, lambda entries: entries["fly"].update({"run.py": record, "weights.pt": record}))
    (zoo / "fly/run.py").write_text("raise SystemExit")
    with serve(zoo) as server:
        folder = open_zoo(server.url).folder("fly")
        assert sorted(path.name for path in folder.iterdir()) == sorted([CARD, WEIGHTS, EMBEDDING])
        assert not any("run.py" in path or "weights.pt" in path for path in server.asked)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "malformed|not JSON"),
        ("[]", "not a table"),
        ("[" * 100_000, "malformed|not JSON"),
        ('{"version": 2}', "version"),
        ('{"version": 1, "entries": {"a": {}}}', "a lacks card.json, weights.safetensors"),
        ('{"version": 1, "entries": {"a": {"card.json": {"sha256": "0", "size": 1}}}}', "sha256"),
        ('{"version": 1, "entries": {"a": {"card.json": {"sha256": "' + "0" * 64 + '", "size": -1}}}}', "size"),
        ('{"version": 1, "more": 1}', "unknown key 'more'"),
    ],
)
def test_a_malformed_index_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / INDEX).write_text(text)
    with serve(tmp_path) as server:
        for where in (tmp_path, server.url):
            with pytest.raises(UserError, match=told) as error:
                open_zoo(where)
            assert "\n" not in str(error.value)


def test_a_card_of_other_weights_or_another_domain_is_refused(zoo: Path) -> None:
    shutil.copy(zoo / "fly" / CARD, zoo / "mouse" / CARD)
    write_index(zoo)
    with pytest.raises(UserError, match="is of the domain 'fly'"):
        open_zoo(zoo).card("mouse")
    shutil.copy(zoo / "mouse" / WEIGHTS, zoo / "fly" / WEIGHTS)
    write_index(zoo)
    with pytest.raises(UserError, match="the card is of other weights"):
        open_zoo(zoo).card("fly")


def test_credentials_are_used_and_never_shown(zoo: Path, made: Path, tmp_path: Path) -> None:
    with serve(zoo) as server, serve(made) as other:
        where = f"http://me:s3cret%21@{server.address}/"
        opened = open_zoo(where)
        assert opened.where == server.url
        check_whole(opened, made)
        assert set(server.tokens) == {"Basic bWU6czNjcmV0IQ=="}  # me:s3cret!
        flip(zoo / "fly" / WEIGHTS)
        shutil.rmtree(cache_folder())
        messages = [_message(lambda: opened.folder("fly"))]
        (zoo / "fly" / WEIGHTS).unlink()
        messages += [_message(lambda: opened.folder("fly")), _message(lambda: opened.card("fish"))]
        messages += [_message(lambda: add_backbone(made / "fly", where))]
        server.redirect = other.url
        open_zoo(where)
        assert other.tokens == [None]
    messages += [_message(lambda: open_zoo(where))]
    for url in (
        "ftp://me:s3cret@127.0.0.1:1/zoo",
        "s3://me:s3cret@bucket/zoo",
        "nothing://me:s3cret@host/zoo",
        "http://me:s3cret@[bad/zoo",
        "http://127.0.0.1:1/zoo?token=s3cret",
        "simplecache::ftp://me:s3cret@127.0.0.1:1/zoo",
    ):
        messages += [_message(lambda url=url: open_zoo(url))]
    for message in messages:
        assert "s3cret" not in message
        assert "\n" not in message


def _message(action) -> str:
    with pytest.raises(UserError) as error:
        action()
    return str(error.value)


def test_a_query_goes_with_every_request(made: Path) -> None:
    with serve(made) as server:
        assert open_zoo(f"{server.url}/?token=1").card("fly").domain == "fly"
        assert server.asked == ["/zoo.json?token=1", "/fly/card.json?token=1"]


def test_an_endless_index_is_given_up(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_bytes(bytes(1000))
    with serve(tmp_path) as server, pytest.raises(UserError, match="more than 999 bytes"):
        (Url(server.url) / INDEX).read_at_most(999)


def test_the_cache_is_where_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("NEUROADDA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/neuroadda"


def test_records(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    record = FileRecord.of(tmp_path / "f")
    assert record.size == 3
    assert record.sha256.startswith("ba7816bf8f01cfea")
    assert Index().entries == {}


@pytest.mark.parametrize("name", ["fly_larva_l1_sstem", "generalist"])
def test_the_packages_entries_are_found_where_earlier_versions_had_them(name: str) -> None:
    now = builtin_folder() / name
    assert find_backbone(now.parents[1] / name) == find_backbone(str(now)) == now
    assert find_backbone(now.parents[1] / "none") == now.parents[1] / "none"
