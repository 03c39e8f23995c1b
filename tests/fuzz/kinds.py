"""What is handed in wrong: for every kind of input a function that spoils it in a folder of good ones, and says the command."""

import hashlib
import io
import json
import os
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.commands import Command, Kind
from tests.fuzz.foreign import FOREIGN, of_annotation
from tests.fuzz.goods import NML, ZARR3, pack, unpack
from tests.fuzz.mutations import (
    ODD_TEXTS,
    Rng,
    mutate_bytes,
    mutate_json,
    mutate_text,
    mutate_toml,
    odd_value,
    pick,
    write_toml,
)

NOT_NEAR, DAMAGED = 3, 1
LARGE = b"\0" * 2**27

# A larger number of these is more work and no mistake.
WORK = frozenset({"iterations", "rounds", "count", "permutations", "resamples", "block_timeout", "workers", "retries"})

NETWORK = {"features": [2, 4], "downsample": [[1, 2, 2]], "kernels": [[[1, 3, 3]], [[3, 3, 3]]]}
SERIAL = {"launcher": "serial"}
SAMPLE = {"raw": "v.zarr/raw", "labels": "v.zarr/labels"}
FITTING = {
    "name": "t",
    "domain": "t",
    "iterations": 1,
    "workers": 0,
    "output_shape_vx": [4, 8, 8],
    "augment": {"elastic": 0.0},
}
CONFIG: dict[str, Any] = {
    "title": "fuzz",
    "select": {"zoo": "zoo", "rank": {"patches": {"count": 16}, "permutations": 20, "resamples": 20}},
    "train": FITTING | {"network": NETWORK, "samples": [SAMPLE], "output": "out/train"},
    "validation": SAMPLE,
    "segment": {
        "raw": "v.zarr/raw",
        "backbone": "backbone",
        "output": "out/run",
        "block_vx": [8, 40, 40],
        "roi": {"offset_nm": [60.0, 12.0, 0.0], "shape_nm": [240.0, 240.0, 240.0]},
        "predict": {"device": "cpu"},
        "components": {"threshold": 0.5},
        "execution": SERIAL,
    },
    "evaluate": {"labels": "v.zarr/labels", "thresholds": [0.3, 0.5]},
}
ADAPT: dict[str, Any] = {
    "adapt": {
        "raw": "v.zarr/raw",
        "output": "out/adapted",
        "backbone": "backbone",
        "propose": {"shape_nm": [120.0, 96.0, 96.0], "choose": {"count": 2, "strategy": "median", "seed": 1}},
        "train": FITTING,
        "execution": SERIAL,
    }
}


def config(rng: Rng, folder: Path) -> Command:
    """A config, TOML or JSON, for each verb that takes one."""
    verb = pick(rng, ("train", "validate", "predict", "segment", "segment", "evaluate", "run", "adapt", "check"))
    data = {"train": ("train", "validation"), "validate": ("train", "validation"), "run": ("segment", "evaluate")}
    sections = data.get(verb, ("segment", "evaluate"))
    whole = ADAPT if verb == "adapt" else {key: CONFIG[key] for key in ("title", *sections)}
    if verb == "check":
        whole = CONFIG | ADAPT
    if verb == "train" and rng.random() < 0.3:
        whole = whole | {"select": CONFIG["select"]}
    as_json = rng.random() < 0.3
    path = folder / ("c.json" if as_json else "c.toml")
    path.write_bytes((mutate_json if as_json else mutate_toml)(rng, whole, WORK))
    dry = ["--dry-run"] if verb in ("segment", "predict", "run") and rng.random() < 0.6 else []
    return Command([verb, "-c", path.name, *dry], (3,) if verb in ("adapt", "run") else ())


def overrides(rng: Rng, folder: Path) -> Command:
    """Values of ``--set`` on a good config."""
    (folder / "c.toml").write_text(write_toml({"segment": CONFIG["segment"]}))
    key = pick(
        rng, ("segment.block_vx", "segment.predict.tile_vx", "segment", "segment.roi", "a.b", "", "segment.raw.x")
    )
    text = pick(
        rng, (*ODD_TEXTS, "[" * 5000, "[1,2", "9" * 5000, "1e400", "-nan", "{a={b={}}}", "1979-05-27", "[4,20,20]")
    )
    value = text.replace("\0", "").encode("utf-8", "replace").decode()
    return Command(["segment", "-c", "c.toml", "--dry-run", "--set", f"{key}={value}"])


def arguments(rng: Rng, folder: Path) -> Command:
    """Numbers and names on the command line."""
    number = [pick(rng, ("nan", "inf", "-1", "0", "1e308", "1e-320", "30")) for _ in range(3)]
    whole = [pick(rng, ("0", "-1", "8", "1000000000", "99999999999999999999")) for _ in range(3)]
    name = pick(rng, ODD_TEXTS[:20]).replace("\0", "").encode("utf-8", "replace").decode() or "x"
    options = (
        ["import", "given/labels.npy", "out/new.zarr/raw", "--voxel-size", *number],
        ["import", "given/labels.npy", "out/new.zarr/raw", "--voxel-size", "30", "6", "6", "--offset", *number],
        ["import", "given/labels.h5", "out/new.zarr/raw", f"--dataset={name}"],
        ["import", "given/labels.npy", "out/new.zarr/raw", "--voxel-size", "1", "1", "1", f"--kind={name}"],
        ["phantom", "out/p.zarr", "--set", f"shape_vx=[{','.join(whole[:2])},0]"],
        ["phantom", "out/p.zarr", "--shape", "4", "16", "16", f"--seed={whole[0]}"],
        [
            "propose",
            "v.zarr/raw",
            "--backbone=backbone",
            "-o",
            "out/asked",
            "--shape",
            *number,
            "-n",
            pick(rng, ("0", "-1", "2")),
        ],
        ["propose", "v.zarr/raw", f"--backbone={name}", "-o", "out/asked"],
        ["proposals", "export", "asked", f"--to={name}", "-o", "out/boxes"],
        ["proposals", "export", "asked", "--to=crops", "-o", "out/boxes", "--context", *number],
        ["proposals", "skip", "asked", "--", whole[0]],
        ["pyramid", "v.zarr/raw", f"--kind={name}", "-o", "out/p.zarr"],
        ["info", "--", name],
        ["check", "--", name],
        ["export", "v.zarr/raw", "--", f"out/{name}"],
        ["status", "--", name],
        ["zoo", "show", "--zoo=zoo", "--", name],
        ["zoo", "list", "--", name],
        ["zoo", "add", "backbone", f"--zoo=out/{name}"],
        ["domains", "rank", "v.zarr/raw", "--zoo=zoo", f"--exclude={name}"],
        ["domains", "rank", "v.zarr/raw", "--zoo=zoo", "--set", f"patches.count={whole[0]}"],
        ["evaluate", "--", "v.zarr/labels", name],
    )
    return Command(pick(rng, options), (NOT_NEAR,))


def card(rng: Rng, folder: Path) -> Command:
    """The card of a backbone, alone or in a zoo whose index vouches for it."""
    if rng.random() < 0.5:
        path = folder / "backbone/card.json"
        path.write_bytes(mutate_json(rng, json.loads(path.read_text())))
        options = (
            ["segment", "-c", "c.toml", "--dry-run"],
            ["segment", "-c", "c.toml"],
            ["zoo", "add", "backbone", "--zoo", "out/zoo"],
            [
                "propose",
                "v.zarr/raw",
                "--backbone",
                "backbone",
                "--shape",
                "120",
                "96",
                "96",
                "-n",
                "1",
                "-o",
                "out/asked",
            ],
        )
        (folder / "c.toml").write_text(write_toml({"segment": CONFIG["segment"]}))
        return Command(pick(rng, options))
    path = folder / "zoo/fly/card.json"
    path.write_bytes(mutate_json(rng, json.loads(path.read_text())))
    vouch(folder / "zoo", "fly", "card.json")
    return read_zoo(rng)


def index(rng: Rng, folder: Path) -> Command:
    """The index of a zoo."""
    path = folder / "zoo/zoo.json"
    path.write_bytes(mutate_json(rng, json.loads(path.read_text())))
    return read_zoo(rng)


def read_zoo(rng: Rng) -> Command:
    """Return a verb that reads the zoo."""
    few = ["--set", "patches.count=16", "--set", "resamples=20"]
    options = (
        (["zoo", "list", "zoo"], ()),
        (["zoo", "list", "zoo", "--json"], ()),
        (["zoo", "show", "fly", "--zoo", "zoo"], ()),
        (["zoo", "verify", "zoo"], (DAMAGED,)),
        (["zoo", "verify", "file://{}/zoo"], (DAMAGED,)),
        (["domains", "rank", "v.zarr/raw", "--zoo", "zoo", *few], (NOT_NEAR,)),
        (["domains", "tree", "--zoo", "zoo", "--set", "resamples=20", "-o", "out/tree"], ()),
    )
    return Command(*pick(rng, options))


def vouch(zoo: Path, entry: str, file: str) -> None:
    """Have the index of a zoo know a file as it is now, and the card too where it is the weights: an attacker owns all three."""
    folder = zoo / entry
    records = json.loads((zoo / "zoo.json").read_text())
    if file == "weights.safetensors":
        digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps(card | {"digest": digest}))
    for name in {file, "card.json"}:
        data = (folder / name).read_bytes()
        records["entries"][entry][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (zoo / "zoo.json").write_text(json.dumps(records))


def safetensors(rng: Rng, folder: Path) -> Command:
    """Weights or an embedding, which the index and the card vouch for: the header alone is against them."""
    file = pick(rng, ("weights.safetensors", "embedding.safetensors"))
    path = folder / "zoo/fly" / file
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]

    def rewrite() -> bytes:
        text = mutate_json(rng, header)
        return struct.pack("<Q", len(text)) + text + body

    def lie() -> bytes:
        return struct.pack("<Q", pick(rng, (0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1))) + data[8:]

    def meta() -> bytes:
        told = dict(header, __metadata__={"networks": mutate_json(rng, odd_value(rng)).decode(errors="replace")})
        text = json.dumps(told).encode()
        return struct.pack("<Q", len(text)) + text + body

    ways = (rewrite, rewrite, lie, meta, lambda: mutate_bytes(rng, data), lambda: pickle.dumps({"a": [1, 2]}))
    path.write_bytes(pick(rng, ways)())
    vouch(folder / "zoo", "fly", file)
    return read_zoo(rng)


def proposals(rng: Rng, folder: Path) -> Command:
    """proposals.json, before every verb on it."""
    path = folder / "asked/proposals.json"
    path.write_bytes(mutate_json(rng, json.loads(path.read_text())))
    to = pick(rng, ("csv", "catmaid", "webknossos", "neuroglancer", "crops"))
    options = (
        ["proposals", "show", "asked"],
        ["proposals", "export", "asked", "--to", to, "-o", "out/boxes"],
        ["proposals", "export", "asked", "--to", to, "-o", "out/boxes"],
        ["proposals", "import", "asked", "given/labels.h5"],
        ["proposals", "import", "asked", "annotation.zip"],
        ["proposals", "skip", "asked", "2"],
    )
    return Command(pick(rng, options))


def nml(rng: Rng, folder: Path) -> Command:
    """A WEBKNOSSOS download: its NML, the metadata of its voxels, its names, its zips."""
    members = unpack((folder / "annotation.zip").read_bytes())
    inner = unpack(members["data_Volume.zip"])
    meta = next(name for name in inner if name.endswith("zarr.json"))
    how = int(rng.integers(10))
    if how < 3:
        members["a.nml"] = _spoil_nml(rng)
    elif how == 3:
        inner[meta] = mutate_json(rng, ZARR3)
    elif how == 4:
        chunk = pick(rng, [name for name in inner if name != meta])
        inner[chunk] = pick(rng, (mutate_bytes(rng, inner[chunk]), LARGE, b""))
    elif how == 5:
        name = pick(
            rng,
            ("../../outside", "/tmp/outside", "c.0.0.0.99999999", "c.-1.0.0.0", "c/0/0/0/0", "zarr.json/x", "\u0661"),
        )
        inner[f"volumeAnnotationData/1/{name}"] = inner.pop(pick(rng, list(inner)))
    elif how == 6:
        members[pick(rng, ("b.nml", "../../outside.nml", "A.NML", "data_Volume.zip/x"))] = members[
            pick(rng, list(members))
        ]
    members["data_Volume.zip"] = pack(inner)
    if how == 7:
        members["data_Volume.zip"] = pick(rng, (mutate_bytes(rng, members["data_Volume.zip"]), LARGE, b""))
    data = pack(members)
    if how == 8:
        data = mutate_bytes(rng, data)
    elif how == 9:
        data = _with_links(members)
    (folder / "annotation.zip").write_bytes(data)
    return Command(["proposals", "import", "asked", "annotation.zip"])


BOMB = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))
DOCTYPES = (
    f'<!DOCTYPE t [<!ENTITY e0 "haha">{BOMB}]>',
    '<!DOCTYPE t [<!ENTITY e9 SYSTEM "file:///etc/hostname">]>',
    '<!DOCTYPE t SYSTEM "http://127.0.0.1:9/x.dtd">',
    '<!DOCTYPE t [<!ENTITY % p SYSTEM "file:///dev/zero"> %p;]>',
)


def _spoil_nml(rng: Rng) -> bytes:
    start, _, rest = NML.partition("\n")
    value = pick(rng, (*ODD_TEXTS[:24], "1e400", "-6", "0", "6,0")).encode("utf-8", "replace").decode()
    quoted = "".join(c for c in value if c.isprintable()).replace("&", "").replace("<", "").replace('"', "")
    attribute = pick(rng, ("6.0", "30.0", "nanometer", "data_Volume.zip", "Volume", "zarr3"))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: f"{start}{pick(rng, DOCTYPES)}{rest.replace('ds', '&e9;')}".encode(pick(rng, ("utf-8", "utf-16"))),
        lambda: NML.replace(f'"{attribute}"', f'"{quoted}"').encode(),
        lambda: NML.replace("<volume", "<a>" * 50_000 + "<volume").encode(),
        lambda: NML.replace("utf-8", pick(rng, ("utf-7", "idna", "cp037", "nope", "rot13"))).encode(),
        lambda: NML.replace("<scale", pick(rng, ("<scale x='1'/><scale", "<scala", "<!-- <scale", "<?php"))).encode(),
        lambda: NML.replace("<volume", f"<volume {'b' * 10**6}='1' ").encode(),
        lambda: NML.replace("</things>", "<volume name='Volume' location='../x'/>" * 2000 + "</things>").encode(),
        lambda: mutate_text(rng, NML),
        lambda: mutate_bytes(rng, NML.encode()),
    )
    return pick(rng, ways)()


def _with_links(members: dict[str, bytes]) -> bytes:
    """Return a zip whose members are symbolic links and devices."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.nml", members["a.nml"])
        for name, mode in (("data_Volume.zip", stat.S_IFLNK), ("x", stat.S_IFCHR)):
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (mode | 0o777) << 16
            file.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def labels(rng: Rng, folder: Path) -> Command:
    """Labels in a file: .npy, HDF5, TIFF, PNG, a zarr array."""
    files = ("labels.npy", "roi_1.npy", "labels.h5", "labels.tif", "labels.ome.tif", "sections/z3.png")
    if rng.random() < 0.3:
        return _zarr(rng, folder)
    path = folder / "given" / pick(rng, files)
    data = path.read_bytes()
    path.write_bytes(_spoil_file(rng, path.suffix, data))
    given = path.parent if path.suffix == ".png" else path
    size = ["--voxel-size", "30", "6", "6"]
    target = ["out/new.zarr/labels", "--kind", "labels", *size]
    bring = ["import", str(given.relative_to(folder)), *target]
    rank = [] if path.suffix == ".h5" else ["--rank", "1"]
    back = ["proposals", "import", "asked", str(given.relative_to(folder)), *rank]
    return Command(pick(rng, (bring, back)))


def _spoil_file(rng: Rng, suffix: str, data: bytes) -> bytes:
    if suffix == ".npy" and rng.random() < 0.5:
        header = {"descr": "<u8", "fortran_order": False, "shape": (8, 40, 40)}
        header[pick(rng, list(header))] = pick(
            rng,
            (
                "|O",
                "O",
                (2**40, 2**40, 2**40),
                (-1, 4, 4),
                (0, 4, 4),
                (4,),
                [("a", "<u8")],
                odd_value(rng),
                "<U9",
                "<M8[s]",
            ),
        )
        text = repr(header).encode()[:60_000]
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data[128:]
    if rng.random() < 0.05:
        return pickle.dumps(np.arange(3))
    return mutate_bytes(rng, data)


def _zarr(rng: Rng, folder: Path) -> Command:
    """The metadata and chunks of a zarr array."""
    array = folder / "v.zarr/labels"
    path = array / pick(rng, (".zarray", ".zarray", ".zattrs", "0/0/0"))
    data = path.read_bytes()
    path.write_bytes(mutate_json(rng, json.loads(data)) if path.name.startswith(".") else mutate_bytes(rng, data))
    options = (
        ["info", "v.zarr/labels"],
        ["import", "v.zarr/labels", "out/new.zarr/labels"],
        ["proposals", "import", "asked", "v.zarr/labels"],
        ["proposals", "import", "asked", "file://{}/v.zarr/labels"],
        ["export", "v.zarr/labels", "out/labels.h5"],
        ["evaluate", "v.zarr/labels", "v.zarr/labels"],
        ["pyramid", "v.zarr/labels", "-o", "out/p.zarr", "--workers", "1"],
    )
    return Command(pick(rng, options))


ODD_TREES = (
    *("(" * 5000, "(" * 200 + "fly" + ")" * 200 + ";", "(" + "a," * 20_000 + "b);", "'" * 999, "();", "[", ";"),
    *("(fly:-1);", "(fly:nan,mouse:inf);", "(fly:1e999);", "(fly,fly);", "(a:1_0,b:٣);", "(fly:1,mouse);"),
)


def newick(rng: Rng, folder: Path) -> Command:
    """A tree of species."""
    text = (folder / "life.nwk").read_text()
    odd = pick(rng, ODD_TREES)
    (folder / "life.nwk").write_bytes(odd.encode() if rng.random() < 0.3 else mutate_text(rng, text))
    few = ["--set", "resamples=20"]
    return Command(["domains", "tree", "--zoo", "zoo", "--phylogeny", "life.nwk", *few, "-o", "out/tree"])


SPOILED_PLACES = (
    *(
        "zoo/zoo.json",
        "zoo/fly/card.json",
        "zoo/fly/weights.safetensors",
        "zoo/fly",
        "asked/proposals.json",
        "life.nwk",
    ),
    *("given/labels.npy", "given/labels.h5", "annotation.zip", "v.zarr/raw/.zarray", "c.toml"),
)


def places(rng: Rng, folder: Path) -> Command:
    """Links, devices, pipes and folders where files are expected, in a zoo and elsewhere."""
    file = pick(rng, SPOILED_PLACES)
    (folder / "c.toml").write_text(write_toml({"segment": CONFIG["segment"]}))
    path = folder / file
    path.rename(folder / "moved")
    what = pick(rng, ("/dev/zero", "/dev/urandom", "loop", "folder", "outside", "unreadable", "empty", "dangling"))
    if what.startswith("/dev") or what in ("loop", "outside", "dangling"):
        path.symlink_to({"loop": path, "outside": folder / "moved", "dangling": folder / "gone"}.get(what, what))
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"")
    options: dict[str, list[str]] = {
        "zoo": pick(
            rng, (["zoo", "verify", "zoo"], ["zoo", "list", "zoo"], ["domains", "rank", "v.zarr/raw", "--zoo", "zoo"])
        ),
        "asked": ["proposals", "show", "asked"],
        "life.nwk": ["domains", "tree", "--zoo", "zoo", "--phylogeny", "life.nwk", "-o", "out/tree"],
        "given": ["proposals", "import", "asked", file, "--rank", "1"],
        "annotation.zip": ["proposals", "import", "asked", "annotation.zip"],
        "v.zarr": ["info", "v.zarr/raw"],
        "c.toml": ["segment", "-c", "c.toml", "--dry-run"],
    }
    return Command(options[file.partition("/")[0]], (DAMAGED, NOT_NEAR))


KINDS: dict[str, Kind] = {
    kind.__name__: kind
    for kind in (
        *(config, overrides, arguments, card, index, safetensors, proposals, nml, labels, newick, places),
        *(*FOREIGN, of_annotation(nml)),
    )
}
