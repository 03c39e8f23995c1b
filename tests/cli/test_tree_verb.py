import json
import sys
from pathlib import Path

import numpy as np
import pytest

from neuroadda.backbones.checkpoint import load_backbone
from neuroadda.cli import main
from neuroadda.config import dump_config, write_json
from neuroadda.domains.embedding import embed_volume
from neuroadda.domains.newick import is_monophyletic, parse_newick
from neuroadda.domains.patches import PatchConfig
from neuroadda.volumes.arrays import Volume
from neuroadda.zoo.adding import write_index
from neuroadda.zoo.embeddings import save_embeddings
from tests.segmentation.synthetic import smooth_noise, write_backbone

PHYLOGENY = "((Drosophila_melanogaster:1,worm:1):1,Mus_musculus:2);"
ORGANISMS = {"fly": "Drosophila melanogaster (larva)", "mouse": "Mus musculus"}


def write_domain(path: Path, organism: str, blur: float, seed: int) -> Volume:
    """Write raw whose texture is the organism's: how coarse it is."""
    shape = (6, 120, 120)
    attributes = {"provenance": {"attributes": {"organism": organism}}}
    volume = Volume.create(path, shape, (30, 6, 6), np.uint8, attrs=attributes)
    volume.write(volume.roi, (smooth_noise(shape, (1, blur, blur), seed) * 255).astype(np.uint8))
    return volume


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Three volumes, and a zoo of a domain and a generalist whose network saw it."""
    folder = tmp_path_factory.mktemp("made")
    for i, name in enumerate(("fly1", "fly2")):
        write_domain(folder / name, ORGANISMS["fly"], 1, i)
    write_domain(folder / "mouse1", ORGANISMS["mouse"], 4, 2)
    fourth = write_domain(folder / "mouse2", "", 4, 3)
    for entry, organism in (("all", ""), ("mouse_in_zoo", ORGANISMS["mouse"])):
        write_backbone(folder / "zoo" / entry, seed=len(entry))
        card = load_backbone(folder / "zoo" / entry).card
        card = card.model_copy(update={"domain": entry, "organism": organism})
        write_json(folder / "zoo" / entry / "card.json", dump_config(card))
    network = load_backbone(folder / "zoo/all")
    features = embed_volume(fourth, {"reference": network}, PatchConfig(count=64))
    for entry in ("all", "mouse_in_zoo"):
        save_embeddings(folder / "zoo" / entry, features)
    write_index(folder / "zoo")
    (folder / "life.nwk").write_text(PHYLOGENY)
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch, capsys):
    """Return (exit code, standard output, standard error) of the verb."""

    def run(*arguments: object) -> tuple[int, str, str]:
        options = ["--output", tmp_path / "tree", "--set", "patches.count=64", "--set", "resamples=50"]
        monkeypatch.setattr(sys, "argv", ["neuroadda", "domains", "tree", *map(str, [*arguments, *options])])
        monkeypatch.chdir(made)
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def volumes(*names: str) -> list[str]:
    return [f"{name}={name}" for name in names]


def test_the_tree_groups_textures_and_follows_the_phylogeny(run, tmp_path):
    code, out, err = run(
        *volumes("fly1", "fly2", "mouse1", "mouse2"),
        *("--backbone", "zoo/all", "--phylogeny", "life.nwk", "--organism", "mouse2=mus musculus", "--json"),
    )
    assert code == 0, err
    told = json.loads(out)
    assert told == json.loads((tmp_path / "tree/tree.json").read_text())
    grown = parse_newick((tmp_path / "tree/tree.nwk").read_text())
    assert told["newick"] == (tmp_path / "tree/tree.nwk").read_text().strip()
    assert is_monophyletic(grown, {"fly1", "fly2"})
    assert is_monophyletic(grown, {"mouse1", "mouse2"})
    assert {frozenset(clade["domains"]) for clade in told["clades"]} == {
        frozenset({"fly1", "fly2"}),
        frozenset({"mouse1", "mouse2"}),
    }
    assert all(clade["support"] > 0.9 for clade in told["clades"])
    assert told["mantel"]["exact"]
    assert told["mantel"]["r"] > 0.8
    assert told["mantel"]["p"] == pytest.approx(8 / 24)  # pairs can be exchanged in eight ways
    assert told["organisms"] == {"fly1": ORGANISMS["fly"], "fly2": ORGANISMS["fly"]} | {
        "mouse1": "Mus musculus",
        "mouse2": "mus musculus",
    }
    table = np.genfromtxt(tmp_path / "tree/matrix.csv", delimiter=",", skip_header=1)[:, 1:]
    np.testing.assert_allclose(table, told["distances"], rtol=1e-6)
    for picture in ("heatmap", "dendrogram", "map"):
        assert (tmp_path / f"tree/{picture}.pdf").stat().st_size > 1000
        assert (tmp_path / f"tree/{picture}.png").stat().st_size > 1000
        assert ">mouse2<" in (tmp_path / f"tree/{picture}.svg").read_text()


def test_the_zoo_joins_by_its_stored_features_and_its_generalist_embeds(run):
    code, out, err = run(*volumes("fly1", "mouse1"), "--zoo", "zoo")
    assert code == 0, err
    header = next(line for line in out.splitlines() if line.startswith("domain"))
    assert set(header.split("\t")[1:]) == {"fly1", "mouse1", "mouse_in_zoo"}  # the generalist is of no one domain
    tree = parse_newick(next(line for line in out.splitlines() if line.startswith("tree: ")).removeprefix("tree: "))
    assert is_monophyletic(tree, {"mouse1", "mouse_in_zoo"})


def test_a_tree_is_not_overwritten_unasked(run, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/tree.json").write_text("{}")
    code, _, err = run(*volumes("fly1", "fly2", "mouse1"), "--backbone", "zoo/all")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "there is a tree here already" in err
    code, _, err = run(*volumes("fly1", "fly2", "mouse1"), "--backbone", "zoo/all", "--overwrite")
    assert code == 0, err
    assert json.loads((tmp_path / "tree/tree.json").read_text())["domains"] == ["fly1", "fly2", "mouse1"]


THREE = ("fly1=fly1", "fly2=fly2", "mouse1=mouse1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fly1=fly1", "fly2=fly2"), "2 domains make no tree"),
        ((*THREE, "fly1"), "'fly1' is not NAME=VALUE"),
        ((*THREE, "fly1=fly2"), "'fly1' is given twice"),
        ((*THREE, "x=nowhere"), "there is no array here"),
        ((*THREE, "mouse_in_zoo=mouse2", "--zoo", "zoo"), "'mouse_in_zoo' is in the zoo too"),
        ((*THREE, "--zoo", "nowhere"), "there is no such folder"),
        ((*THREE, "--backbone", "nowhere"), "'nowhere' is no entry of the zoo and no folder"),
        ((*THREE, "--pooling", "median"), "pooling should be 'mean' or 'max'"),
        ((*THREE, "--phylogeny", "nowhere"), "the tree cannot be read"),
        ((*THREE, "--phylogeny", "bad.nwk"), "the tree is malformed at character 6"),
        ((*THREE, "mouse2=mouse2", "--phylogeny", "life.nwk"), "there is no leaf for 'mouse2'"),
        ((*THREE, "--organism", "mouse=Mus"), "there is no domain 'mouse'"),
        ((*THREE, "--set", "patches.cuont=9"), "unknown key 'patches.cuont'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, told, run, made, tmp_path):
    (made / "bad.nwk").write_text("((a,b;")
    backbone = () if {"--zoo", "--backbone"} & set(arguments) else ("--backbone", "zoo/all")
    code, _, err = run(*arguments, *backbone)
    assert (code, len(err.splitlines())) == (2, 1), err
    assert told in err
    assert not (tmp_path / "tree").exists()


def test_an_embedder_is_needed(run):
    code, _, err = run(*THREE, "--zoo", "empty")
    assert code == 2
    (Path("empty")).mkdir()
    write_index("empty")
    code, _, err = run(*THREE, "--zoo", "empty")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "it has no generalist to embed with; name a --backbone" in err
