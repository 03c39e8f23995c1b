"""Ranking a zoo for a volume, from Python and from the command line; networks have random weights, which see enough."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from neuroadda.backbones.card import NEAREST, Card, load_card
from neuroadda.backbones.checkpoint import Backbone, load_backbone, save_backbone
from neuroadda.backbones.unet import UNet
from neuroadda.backbones.unet_config import UNetConfig
from neuroadda.config import dump_config, parse_config
from neuroadda.domains.comparison import compare_embeddings
from neuroadda.domains.embedding import embed_volume
from neuroadda.domains.patches import PatchConfig
from neuroadda.domains.ranking import RankConfig, RankPatches
from neuroadda.domains.ranking_file import read_selection
from neuroadda.domains.selection import SelectConfig, describe, rank_zoo, select_source
from neuroadda.errors import UserError
from neuroadda.flow import RunConfig, train_backbone
from neuroadda.observing import RunObserver, watched_by
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.geometry.regions import RoiConfig
from neuroadda.volumes.importing import import_volume
from neuroadda.zoo.adding import add_backbone, write_index
from neuroadda.zoo.embeddings import load_embeddings, save_embeddings
from neuroadda.zoo.finding import Zoo, open_zoo

DATA = Path(os.environ.get("NEUROADDA_DATA", Path(__file__).parents[3] / "shared" / "data"))
SMALL = UNetConfig(
    features=(8, 16), out_channels=2, downsample=((1, 2, 2),), kernels=(((1, 3, 3), (1, 3, 3)), ((1, 3, 3),))
)
SAMPLE = {"name": "t", "licence": "CC0", "citation": "nobody"}
PATCHES = PatchConfig(count=96, seed=1)
CONFIG = RankConfig(
    by="mmd", network="own", pooling="mean", patches=RankPatches(count=96), permutations=99, resamples=200
)
SET = ("--by", "mmd", "--set", "patches.count=96", "--set", "permutations=99", "--set", "resamples=200")
# texture of each domain: smoothness (nm), brightness, contrast; and its pixel size (nm)
DOMAINS = {"fine": (8, 150, 40, 4.0), "medium": (16, 140, 40, 4.6), "coarse": (40, 120, 50, 8.0)}


def write_tissue(path: Path, smooth_nm: float, mean: float, contrast: float, nm: float, seed: int) -> Volume:
    shape = (4, 160, 160)
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, smooth_nm / nm, smooth_nm / nm))
    raw = np.clip(mean + contrast * noise / noise.std(), 0, 255).astype(np.uint8)
    volume = Volume.create(path, shape, (40, nm, nm), np.uint8)
    volume.data[:] = raw
    return volume


def write_network(folder: Path, name: str, nm: float, seed: int) -> Backbone:
    torch.manual_seed(seed)
    facts = {"organism": "o", "modality": "m", "training_data": (SAMPLE,)}
    card = Card(
        name=name, domain=name, voxel_size_nm=(40, nm, nm), architecture=SMALL, offsets=NEAREST[1:], metrics={}, **facts
    )
    save_backbone(folder, UNet(SMALL), card, half=True)
    return load_backbone(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A zoo of three domains and a generalist, and other volumes of the same tissues; the training images are gone."""
    root = tmp_path_factory.mktemp("selection")
    generalist = write_network(root / "trained/generalist", "generalist", 6.0, 99)
    add_backbone(root / "trained/generalist", root / "zoo")
    for seed, (name, texture) in enumerate(DOMAINS.items()):
        volume = write_tissue(root / f"train/{name}.zarr/raw", *texture, seed)
        own = write_network(root / "trained" / name, name, texture[-1], seed)
        save_embeddings(own.folder, embed_volume(volume, {"own": own, "reference": generalist}, PATCHES))
        add_backbone(own.folder, root / "zoo")
        write_tissue(root / f"test/{name}.zarr/raw", *texture, seed + 50)
    write_tissue(root / "test/alien.zarr/raw", 4, 30, 4, 4.0, 7)
    for folder in ("train", "trained"):
        shutil.rmtree(root / folder)
    return root


@pytest.fixture(scope="module")
def zoo(made) -> Zoo:
    return open_zoo(made / "zoo")


def target(made: Path, name: str) -> Volume:
    return Volume.open(made / f"test/{name}.zarr/raw")


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("network", ["own", "reference"])
def test_the_domain_a_volume_is_of_ranks_first(made, zoo, name, network):
    ranking = rank_zoo(target(made, name), zoo, CONFIG.model_copy(update={"network": network}))
    assert ranking.winner == name
    assert {row.name for row in ranking.rows} == set(DOMAINS)
    assert ranking.left_out == ("generalist",)
    if name == "fine":
        again = rank_zoo(target(made, name), zoo, CONFIG.model_copy(update={"network": network}))
        assert again == ranking


def test_brightness_and_contrast_make_no_domain_far(made, zoo, tmp_path):
    plain = target(made, "fine")
    dim = Volume.create(tmp_path / "dim.zarr/raw", plain.shape_vx, plain.voxel_size_nm, np.uint8)
    dim.data[:] = np.round(plain.read() * 0.6 + 10).astype(np.uint8)

    def measure(volume: Volume, config: RankConfig) -> dict[str, float]:
        return {row.name: row.mmd2 for row in rank_zoo(volume, zoo, config).rows}

    matched, raw = CONFIG, CONFIG.model_copy(update={"match_raw": False})
    for name, mmd2 in measure(plain, matched).items():
        assert measure(dim, matched)[name] == pytest.approx(mmd2, abs=0.02)
    assert measure(dim, raw)["fine"] > measure(plain, raw)["fine"] + 0.1


REAL = ("fly_larva_l1_sstem", "fly_medulla_fibsem", "mouse_cortex_sssem")


def test_the_other_part_of_a_real_volume_ranks_first(tmp_path):
    """Even by a network with random weights."""
    missing = [name for name in REAL for part in ("train", "test") if not (DATA / f"{name}_{part}.hdf").exists()]
    if missing:
        pytest.skip(f"no real data in {DATA}: {missing[0]} is missing (set NEUROADDA_DATA)")
    network = write_network(tmp_path / "network", "random", 8.0, 3)
    seen = {}
    for name in REAL:
        for part in ("train", "test"):
            volume = import_volume(
                DATA / f"{name}_{part}.hdf", tmp_path / f"{name}_{part}.zarr/raw", dataset="volumes/raw"
            )
            seen[name, part] = embed_volume(volume, {"it": network}, PatchConfig(count=256))["it"]["mean"]
    for name in REAL:
        found = {other: compare_embeddings(seen[name, "test"], seen[other, "train"], CONFIG, other) for other in REAL}
        first, second = sorted(REAL, key=lambda other: found[other].mmd2)[:2]
        assert first == name
        assert found[first].gap(found[second], CONFIG.level)[1] > 0


def test_what_is_excluded_is_not_ranked(made, zoo):
    ranking = rank_zoo(target(made, "fine"), zoo, CONFIG, exclude=["fine"])
    assert ranking.winner == "medium"
    assert {row.name for row in ranking.rows} == {"medium", "coarse"}
    embedder = rank_zoo(target(made, "fine"), zoo, CONFIG.model_copy(update={"network": "reference"}), ["generalist"])
    assert embedder.winner == "fine"
    assert embedder.left_out == ()


def test_each_network_looks_at_the_target_once(made, zoo, monkeypatch):
    from neuroadda.domains import embedding

    seen = []
    kept = embedding.embed_patches

    def count(backbone, patches, device="auto"):
        seen.append((backbone.card.name, patches.pixel_nm))
        return kept(backbone, patches, device)

    monkeypatch.setattr(embedding, "embed_patches", count)
    rank_zoo(target(made, "fine"), zoo, CONFIG)
    assert sorted(seen) == [("coarse", 8.0), ("fine", 4.0), ("medium", 4.6)]
    seen.clear()
    rank_zoo(target(made, "fine"), zoo, CONFIG.model_copy(update={"network": "reference"}))
    assert seen == [("generalist", 6.0)]


def test_by_consistency_all_entries_are_ranked_and_progress_is_told(made, zoo):
    steps = []

    class Steps(RunObserver):
        def on_progress(self, what: str, done: int, total: int) -> None:
            steps.append((what, done, total))

    config = CONFIG.model_copy(update={"by": "consistency", "crops": 3})
    with watched_by(Steps()):
        ranking = rank_zoo(target(made, "fine"), zoo, config)
    assert {row.name for row in ranking.rows} == {*DOMAINS, "generalist"}
    assert ranking.left_out == ()
    values = [row.consistency for row in ranking.rows if not row.guard]
    assert values == sorted(values, reverse=True)
    assert {row.name: row.mmd2 for row in ranking.rows} == dict.fromkeys(zoo.names())  # no features were computed
    told = [("consistency of sources", done, 4) for done in range(5)]
    assert steps == told
    steps.clear()
    with watched_by(Steps()):
        both = rank_zoo(target(made, "fine"), zoo, config.model_copy(update={"by": "both"}))
    assert {row.name: row.mmd2 is None for row in both.rows} == {name: name == "generalist" for name in zoo.names()}
    assert steps == [*told, *(("features of sources", done, 3) for done in range(4))]
    assert rank_zoo(target(made, "fine"), zoo, config) == ranking
    assert rank_zoo(target(made, "alien"), zoo, config).winner


@pytest.fixture
def changed(made, tmp_path):
    """A copy of the zoo in which one entry's embedding was rewritten."""

    def change(name: str, how) -> Zoo:
        shutil.copytree(made / "zoo", tmp_path / "zoo", dirs_exist_ok=True)
        save_embeddings(tmp_path / "zoo" / name, how(load_embeddings(made / "zoo" / name)))
        write_index(tmp_path / "zoo")
        return open_zoo(tmp_path / "zoo")

    return change


def test_what_a_zoo_lacks_is_told_in_one_line(made, zoo, changed, tmp_path, monkeypatch):
    volume = target(made, "fine")
    with pytest.raises(UserError, match="there is no 'fime' in the zoo to exclude; did you mean 'fine'"):
        rank_zoo(volume, zoo, CONFIG, exclude=["fime"])
    with pytest.raises(UserError, match="no entry can be ranked"):
        rank_zoo(volume, zoo, CONFIG, exclude=list(DOMAINS))
    no_mean = changed("fine", lambda e: {"own": {"max": e["own"]["max"]}})
    with pytest.raises(UserError, match=r"embedding of fine: it has no features own.mean; it has: own.max"):
        rank_zoo(volume, no_mean, CONFIG)
    with pytest.raises(UserError, match=r"no features reference.mean"):
        rank_zoo(volume, no_mean, CONFIG.model_copy(update={"network": "reference"}))
    no_reference = changed("fine", lambda e: {"own": e["own"]})
    assert "fine" in {row.name for row in rank_zoo(volume, no_reference, CONFIG).rows}
    shutil.rmtree(tmp_path / "zoo/generalist")
    write_index(tmp_path / "zoo")
    gone = open_zoo(tmp_path / "zoo")
    reference = CONFIG.model_copy(update={"network": "reference"})
    with pytest.raises(UserError, match=r"features of 'coarse' are of a network \(\w{12}\) that no entry has"):
        rank_zoo(volume, gone, reference, exclude=["fine"])
    small = write_tissue(tmp_path / "small.zarr/raw", *DOMAINS["fine"], 0)
    tight = RankConfig(patches=RankPatches(roi=RoiConfig(offset_nm=(0, 0, 0), shape_nm=(40, 80, 80))))
    with pytest.raises(UserError, match=r"a crop of 32 x 32 voxels \(yx\) does not fit into the ROI"):
        rank_zoo(small, zoo, tight)
    monkeypatch.setattr("neuroadda.domains.selection.draw_crops", lambda *_: pytest.fail("it works before it refuses"))
    with pytest.raises(UserError, match=r"a patch of .* does not fit into the ROI"):
        rank_zoo(small, zoo, tight.model_copy(update={"by": "mmd", "crop_vx": (1, 16, 16)}))


def test_the_command_prints_a_table_and_what_to_do(made, command):
    code, out, err = command("domains", "rank", made / "test/medium.zarr/raw", "--zoo", made / "zoo", *SET)
    assert code == 0
    assert "Traceback" not in err
    header, *lines = out.splitlines()
    assert header.split("\t") == ["source", "consistency", "MMD^2", "nm", "why", "commercial use", "licence"]
    assert lines[0].startswith("medium\t")
    assert lines[0].split("\t")[-4:] == ["40 4.6 4.6", "nearest", "yes", "CC0"]
    assert lines[3] == "not ranked, without stored features: generalist"
    folder = made / "zoo/medium"
    volume = made / "test/medium.zarr/raw"
    assert lines[4:] == [
        "no source suits this volume as it is: even medium sees boundary in 100 % of the voxels: too much to be tissue",
        f"segment with the first: neuroadda segment {volume} --backbone {folder} -o OUT",
        f"or fine-tune it on labels: neuroadda train RAW LABELS -o OUT --from {folder}",
    ]
    assert (folder / "weights.safetensors").is_file()


def test_ranking_and_page_in_one_file_are_refused_before_any_work(made, command, tmp_path):
    file = tmp_path / "rank.html"
    code, out, err = command(
        "domains", "rank", made / "test/fine.zarr/raw", "--zoo", made / "zoo", "-o", file, "--report", file
    )
    assert (code, out) == (2, "")
    assert err == f"neuroadda: {file}: ranking and page would be one file; give --report another name\n"
    assert not file.exists()


def test_a_blank_volume_is_named_and_small_ones_are_ranked_by_what_fits(zoo, made, command, tmp_path):
    blank = Volume.create(tmp_path / "blank.zarr/raw", (4, 160, 160), (40, 4, 4), np.uint8)
    blank.data[:] = 0
    code, _, err = command("domains", "rank", blank.path, "--zoo", made / "zoo")
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"{blank.path}: of " in err
    small = tmp_path / "small.zarr/raw"
    Volume.create(small, (4, 18, 18), (40, 4, 4), np.uint8).data[:] = target(made, "fine").read()[:, :18, :18]
    config = RankConfig(crop_vx=(4, 16, 16), patches=RankPatches(count=8))
    ranking = rank_zoo(Volume.open(small), zoo, config)
    assert {row.mmd2 for row in ranking.rows} == {None}
    assert "MMD" not in ranking.rows[0].why
    assert set(ranking.too_large) == set(DOMAINS)


def test_mmd_takes_no_part_where_four_patches_of_one_source_have_no_room(zoo, made, command, tmp_path):
    small = Volume.create(tmp_path / "small.zarr/raw", (4, 60, 60), (40, 4, 4), np.uint8)
    small.data[:] = target(made, "fine").read()[:, :60, :60]
    few = {"permutations": 9, "resamples": 9, "pooling": "mean", "patches": RankPatches(count=8)}
    ranking = rank_zoo(small, zoo, RankConfig(**few))
    assert ranking.too_large == ("coarse",)
    assert {row.mmd2 for row in ranking.rows} == {None}
    consistent = rank_zoo(small, zoo, RankConfig(by="consistency", **few))
    assert [row.name for row in ranking.rows] == [row.name for row in consistent.rows]
    assert consistent.too_large == ()
    one_patch = {"patches": RankPatches(count=8, roi={"offset_nm": (0, 0, 0), "shape_nm": (160, 160, 160)})}
    with pytest.raises(UserError, match="does not fit"):
        rank_zoo(small, zoo, RankConfig(by="mmd", **few | one_patch))
    assert None not in {row.mmd2 for row in rank_zoo(small, zoo, RankConfig(**few), ["coarse", "generalist"]).rows}
    settings = ("--set", 'pooling="mean"', "--set", "patches.count=8", "--set", "permutations=9")
    _, out, _ = command("domains", "rank", small.path, "--zoo", made / "zoo", *settings)
    assert "\nranked by consistency alone: fewer than four patches of coarse fit side by side into a section\n" in out


def test_where_the_first_learned_at_another_voxel_size_the_commands_say_so(zoo, made, command, tmp_path):
    raw = write_tissue(tmp_path / "t.zarr/raw", 8, 150, 40, 9.0, 3)
    code, out, _ = command("domains", "rank", raw.path, "--zoo", made / "zoo", *SET)
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines() if "\t" in line][1:]
    first, near = rows[0][0], next(row[0] for row in rows if "another voxel size" not in row[4])
    assert (first, near) == ("fine", "coarse")
    segment = f"neuroadda segment {raw.path} --backbone {made / 'zoo'}"
    assert f"segment with the first: {segment}/{first} --any-voxel-size -o OUT\n" in out
    assert f"or with the first of this voxel size: {segment}/{near} -o OUT\n" in out


def test_the_page_shows_each_source_on_the_same_crops(made, command, tmp_path):
    page = tmp_path / "rank.html"
    volume = made / "test/medium.zarr/raw"
    code, out, _ = command("domains", "rank", volume, "--zoo", made / "zoo", *SET, "--report", page)
    assert code == 0
    assert f"report: {page}" in out
    text = page.read_text()
    assert text.count("<img") == 3 + 3 * 2 * 3
    for name in DOMAINS:
        assert f'<section id="{name}"' in text
    assert str(volume) in text


def test_the_command_excludes_and_prints_json(made, command):
    call = ("domains", "rank", made / "test/medium.zarr/raw", "--zoo", made / "zoo", *SET, "--json")
    code, out, _ = command(*call, "--exclude", "medium", "--exclude", "coarse")
    data = json.loads(out)
    assert code == 0
    assert data["winner"] == "fine"
    assert [row["name"] for row in data["sources"]] == ["fine"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--set", "netwrk=own"), "unknown key 'netwrk'; did you mean 'network'?"),
        (("--set", "pooling=median"), "pooling should be 'mean' or 'max', not 'median'"),
        (("--set", "patches.count=1"), "patches.count should be greater than or equal to 2"),
        (("--exclude", "nobody"), "there is no 'nobody' in the zoo"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(made, command, arguments, told):
    code, out, err = command("domains", "rank", made / "test/fine.zarr/raw", "--zoo", made / "zoo", *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(made, command, tmp_path, monkeypatch, option):
    def never(*_arguments):
        raise AssertionError("the work began")

    monkeypatch.setattr("neuroadda.domains.selection.rank_zoo", never)
    (tmp_path / "file").write_text("kept")
    rank = ("domains", "rank", made / "test/fine.zarr/raw", "--zoo", made / "zoo", option)
    refused = [("/proc/x.json", "it cannot be written"), (tmp_path / "file/x.json", "where a folder is needed")]
    if option == "--report":  # of -o a folder is where its file is put
        refused.append((tmp_path, "this is a folder; give the name of a file"))
    for place, told in refused:
        code, out, err = command(*rank, place)
        assert (code, out) == (2, "")
        assert told in err
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_several_licences_are_told_apart(zoo):
    data = ({"licence": "free, to be cited"}, {"licence": "CC0"}, {"licence": "CC0"})
    card = zoo.card("fine").model_copy(update={"training_data": data})
    volume = SimpleNamespace(voxel_size_nm=card.voxel_size_nm)
    assert describe(volume, "fine", card).licence == "free, to be cited; CC0"


def test_a_selection_is_made_once_and_again_when_the_zoo_changes(made, zoo, tmp_path, monkeypatch):
    volume, record = target(made, "fine"), tmp_path / "run" / "ranking.json"
    shutil.copytree(made / "zoo", tmp_path / "zoo")
    config = SelectConfig(zoo=str(tmp_path / "zoo"), rank=CONFIG)
    selection = select_source(volume, config, record)
    assert (selection.ranking["winner"], selection.folder) == ("fine", tmp_path / "zoo" / "fine")
    before = record.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("neuroadda.domains.selection.rank_zoo", None)
        assert select_source(volume, config, record) == selection
    for damaged in (before[:50], b"[]"):
        record.write_bytes(damaged)
        select_source(volume, config, record)
        assert record.read_bytes() == before
    shutil.rmtree(tmp_path / "zoo/fine")
    write_index(tmp_path / "zoo")
    # a training that has begun goes on from what it began with
    assert select_source(volume, config, record, begun=True) == selection
    other = SelectConfig(zoo=config.zoo, exclude=("coarse",), rank=CONFIG)
    with pytest.raises(UserError, match="a training from fine lies here, and medium would be selected"):
        select_source(volume, other, record, begun=True)
    assert record.read_bytes() == before
    assert select_source(volume, config, record).ranking["winner"] == "medium"


def test_a_run_starts_from_the_backbone_it_selects(made, tmp_path):
    volume = target(made, "fine")
    labels = Volume.create(tmp_path / "labels", volume.shape_vx, volume.voxel_size_nm, np.uint32)
    labels.data[:] = np.broadcast_to(1 + np.arange(160, dtype=np.uint32) // 20, volume.shape_vx)
    train = {
        "name": "tuned",
        "domain": "new",
        "samples": [{"raw": str(volume.path), "labels": str(tmp_path / "labels")}],
        "offsets": [[0, -1, 0], [0, 0, -1]],
        "network": {"features": [4], "downsample": [], "kernels": [[[1, 3, 3]]]},
        "output_shape_vx": [2, 32, 32],
        "iterations": 2,
        "workers": 0,
        "device": "cpu",
        "picture_every": 0,
        "output": str(tmp_path / "run"),
    }
    select = {"zoo": str(made / "zoo"), "rank": dump_config(CONFIG)}
    config = parse_config(RunConfig, {"train": train, "select": select}, "test")
    card = train_backbone(config)
    assert card.architecture == load_card(made / "zoo" / "fine").architecture
    assert card.training_data[1:] == (SAMPLE,)
    assert read_selection(tmp_path / "run" / "ranking.json").folder == made / "zoo" / "fine"
    assert train_backbone(config) == card


def test_an_entry_added_with_its_raw_is_ranked(made, command, tmp_path):
    """The features of a backbone of one's own, in halves, by itself and by the zoo's generalist."""
    shutil.copytree(made / "zoo", tmp_path / "zoo")
    write_network(tmp_path / "mine", "mine", 4.6, seed=7)
    raw = made / "test/medium.zarr/raw"
    code, told, err = command("zoo", "add", tmp_path / "mine", "--zoo", tmp_path / "zoo", "--raw", raw, "--patches", 96)
    assert (code, err) == (0, "")
    stored = load_embeddings(Path(told.strip()))
    assert stored["own"]["max"].network == load_card(tmp_path / "zoo/mine").digest
    assert stored["reference"]["max"].network == load_card(tmp_path / "zoo/generalist").digest
    assert len(stored["own"]["max"].features) == 96
    assert command("zoo", "verify", tmp_path / "zoo")[0] == 0
    ranked = json.loads(
        command("domains", "rank", made / "test/medium.zarr/raw", "--zoo", tmp_path / "zoo", "--json", *SET)[1]
    )
    assert "mine" in [source["name"] for source in ranked["sources"]]
    assert ranked["left_out"] == ["generalist"]
