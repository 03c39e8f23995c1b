"""Exports, read as the tools read them: by the standard library, and by the tools' own where they are installed."""

import csv
import json
import os
import subprocess
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from neuroadda.active.exports import NAMES, Export, export_proposals
from neuroadda.active.exports.neuroglancer import proposals_state
from neuroadda.active.proposals import Pool, Proposal, Proposals, read_proposals
from neuroadda.errors import UserError
from neuroadda.pyramids.ngff import describe_levels
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.neuroglancer import state_url

URL = "http://127.0.0.1:8000/em.zarr/raw"
REASON = 'uncertainty 0.41, nearest to the pool\'s "median" <0.42> & more'
VOXEL_NM = (40.0, 4.6, 4.6)
OFFSET_NM = (400.0, 0.0, 46.0)


@pytest.fixture
def raw(tmp_path: Path) -> Volume:
    volume = Volume.create(tmp_path / "em.zarr/raw", (20, 40, 50), VOXEL_NM, np.uint8, offset_nm=OFFSET_NM)
    volume.write(volume.roi, np.random.default_rng(0).integers(0, 255, (20, 40, 50), np.uint8))
    return volume


@pytest.fixture
def proposals(raw: Volume) -> Proposals:
    def box(rank: int, first_vx: tuple[int, int, int], shape_vx: tuple[int, int, int]) -> Proposal:
        offset = [o + i * v for o, i, v in zip(OFFSET_NM, first_vx, VOXEL_NM, strict=True)]
        shape = [s * v for s, v in zip(shape_vx, VOXEL_NM, strict=True)]
        return Proposal(offset_nm=offset, shape_nm=shape, rank=rank, score=0.41 / rank, reason=REASON)

    return Proposals(
        volume=str(raw.path),
        volume_fingerprint=raw.fingerprint,
        voxel_size_nm=VOXEL_NM,
        backbone="b",
        backbone_digest="d",
        strategy="median",
        seed=0,
        pool=Pool(candidates=9, lowest=0.1, median=0.42, highest=0.9),
        proposals=(box(1, (2, 10, 20), (8, 16, 20)), box(2, (12, 0, 0), (8, 16, 16))),
    )


def ask(variable: str, program: str, *arguments: object) -> Any:
    """What a program prints (JSON) under the interpreter that an environment variable names."""
    python = os.environ.get(variable)
    if python is None:
        pytest.skip(f"{variable} names no interpreter with the library (tools/export_venvs.sh makes them)")
    done = subprocess.run([python, "-W", "ignore", "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_csv_has_nm_and_voxels(proposals: Proposals, tmp_path: Path) -> None:
    with export_proposals("csv", proposals, tmp_path / "p.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert [first[f"offset_{axis}_nm"] for axis in "xyz"] == ["138", "46", "480"]
    assert [first[f"shape_{axis}_nm"] for axis in "xyz"] == ["92", "73.6", "320"]
    assert [first[f"centre_{axis}_nm"] for axis in "xyz"] == ["184", "82.8", "640"]
    assert [first[f"offset_{axis}_vx"] for axis in "xyz"] == ["20", "10", "2"]
    assert [first[f"shape_{axis}_vx"] for axis in "xyz"] == ["20", "16", "8"]
    assert [first[f"centre_{axis}_vx"] for axis in "xyz"] == ["30", "18", "6"]
    assert (first["rank"], second["rank"]) == ("1", "2")
    assert (second["score"], second["reason"]) == ("0.205", REASON)


def test_catmaid_reads_four_columns_without_quotes(proposals: Proposals, tmp_path: Path) -> None:
    text = export_proposals("catmaid", proposals, tmp_path / "p.csv").read_text()
    header, *rows = [line.split(",") for line in text.rstrip("\n").split("\n")]  # no more does CATMAID
    assert header == ["name", "x", "y", "z"]
    assert rows[:3] == [
        ["roi_1 centre", "184", "82.8", "640"],
        ["roi_1 first corner", "138", "46", "480"],
        ["roi_1 last corner", "230", "119.6", "800"],
    ]
    assert len({row[0] for row in rows}) == 6
    assert '"' not in text


def test_webknossos_nml(proposals: Proposals, tmp_path: Path) -> None:
    root = ElementTree.parse(export_proposals("webknossos", proposals, tmp_path / "p.nml")).getroot()
    assert root.find("parameters/experiment").get("name") == "em"
    scale = root.find("parameters/scale").attrib
    assert scale == {"x": "4.6", "y": "4.6", "z": "40.0", "unit": "nanometer"}
    first, second = root.findall("parameters/userBoundingBox")
    keys = ("topLeftX", "topLeftY", "topLeftZ", "width", "height", "depth")
    assert [first.get(key) for key in keys] == ["20", "10", "2", "20", "16", "8"]
    assert (second.get("id"), second.get("name"), second.get("topLeftZ")) == ("2", "roi_2", "12")
    assert [tree.get("name") for tree in root.findall("thing")] == ["roi_1", "roi_2"]
    assert root.find("comments/comment").get("content") == f"roi_1, score 0.41: {REASON}"


def test_webknossos_reads_it(proposals: Proposals, tmp_path: Path) -> None:
    program = """
import json, sys
import webknossos as wk
a = wk.Annotation.load(sys.argv[1])
boxes = [[b.name, [*b.topleft], [*b.size], b.is_visible] for b in a.user_bounding_boxes]
nodes = [[t.name, [*n.position], n.comment] for t in a.skeleton.flattened_trees() for n in t.nodes]
size = a.voxel_size_with_unit
print(json.dumps([a.dataset_name, [*size.factor], str(size.unit.value), [*a.edit_position], boxes, nodes]))
"""
    path = export_proposals("webknossos", proposals, tmp_path / "p.nml", dataset="cortex & more")
    name, scale, unit, position, boxes, nodes = ask("NEUROADDA_WEBKNOSSOS_PYTHON", program, path)
    assert (name, scale, unit) == ("cortex & more", [4.6, 4.6, 40], "nanometer")
    assert boxes == [["roi_1", [20, 10, 2], [20, 16, 8], True], ["roi_2", [0, 0, 12], [16, 16, 8], True]]
    assert position == [30, 18, 6]
    assert [node[:2] for node in nodes] == [["roi_1", [30, 18, 6]], ["roi_2", [8, 8, 16]]]
    assert nodes[1][2] == f"roi_2, score 0.205: {REASON}"


def test_neuroglancer_boxes_lie_over_raw(proposals: Proposals, tmp_path: Path) -> None:
    state = json.loads(export_proposals("neuroglancer", proposals, tmp_path / "p.json", url=URL).read_text())
    assert state == proposals_state(proposals, URL)
    raw, boxes = state["layers"]
    scale_nm = [size * 1e9 for size, unit in state["dimensions"].values()]
    assert scale_nm == pytest.approx(VOXEL_NM)
    assert boxes["source"]["transform"]["outputDimensions"] == state["dimensions"]
    shift = [row[-1] for row in raw["source"]["transform"]["matrix"]]  # raw's first voxel in the viewer's
    first = boxes["annotations"][0]
    assert np.subtract(first["pointA"], shift) == pytest.approx([2, 10, 20])
    assert np.subtract(first["pointB"], first["pointA"]) == pytest.approx([8, 16, 20])
    assert np.subtract(state["position"], shift) == pytest.approx([6, 18, 30])
    assert first["type"] == "axis_aligned_bounding_box"
    assert (first["id"], first["description"]) == ("roi_1", f"roi_1, score 0.41: {REASON}")


def test_neuroglancer_reads_it(proposals: Proposals, tmp_path: Path) -> None:
    program = """
import json, sys
import neuroglancer
def show(state):
    raw, boxes = state.layers
    assert isinstance(boxes.layer, neuroglancer.AnnotationLayer), boxes
    found = [[a.id, a.description, a.point_a.tolist(), a.point_b.tolist()] for a in boxes.annotations
             if isinstance(a, neuroglancer.AxisAlignedBoundingBoxAnnotation)]
    space = boxes.source[0].transform.output_dimensions
    shown = list(state.display_dimensions)
    return [raw.source[0].url, boxes.source[0].url, list(space.names), [*map(float, space.scales)], found, shown]
print(json.dumps([show(neuroglancer.parse_url(sys.argv[2])),
                  show(neuroglancer.ViewerState(json.load(open(sys.argv[1]))))]))
"""
    path = export_proposals("neuroglancer", proposals, tmp_path / "p.json", url=URL)
    link = state_url(proposals_state(proposals, URL))
    from_link, from_file = ask("NEUROADDA_NEUROGLANCER_PYTHON", program, path, link)
    assert from_link == from_file
    raw, source, names, scales, boxes, shown = from_file
    assert (raw, source, names) == (f"zarr://{URL}", "local://annotations", ["z", "y", "x"])
    assert shown == ["x", "y", "z"]
    assert scales == pytest.approx([40e-9, 4.6e-9, 4.6e-9])
    assert boxes[0] == ["roi_1", f"roi_1, score 0.41: {REASON}", [12, 10, 30], [20, 26, 50]]
    assert len(boxes) == 2


def test_crops_are_volumes_of_ours(proposals: Proposals, raw: Volume, tmp_path: Path) -> None:
    folder = export_proposals("crops", proposals, tmp_path / "crops", context_nm=(100, 10, 1000))
    assert sorted(p.name for p in folder.iterdir()) == ["roi_1.zarr", "roi_2.zarr"]
    crop, labels = Volume.open(folder / "roi_1.zarr/0"), Volume.open(folder / "roi_1.zarr/labels/neurons/0", "r+")
    assert crop.voxel_size_nm == labels.voxel_size_nm == VOXEL_NM
    assert labels.roi == proposals.proposals[0].to_roi(raw)
    assert (labels.dtype, labels.read().any()) == (np.uint64, False)
    assert crop.offset_nm == pytest.approx((400, 46 - 13.8, 46))  # clipped, rounded up, clipped
    assert crop.shape_vx == (13, 22, 50)
    assert np.array_equal(crop.read(), raw.read(crop.roi))
    labels.write(labels.roi, np.full(labels.shape_vx, 7, np.uint64))

    attrs = json.loads((folder / "roi_1.zarr/.zattrs").read_text())
    (image,) = attrs["multiscales"]
    scale, translation = image["datasets"][0]["coordinateTransformations"]
    assert (scale["scale"], translation["translation"]) == ([*VOXEL_NM], pytest.approx([420, 34.5, 48.3]))
    assert [(axis["name"], axis["unit"]) for axis in image["axes"]] == [(a, "nanometer") for a in "zyx"]
    assert Proposal(**attrs["neuroadda"]["proposal"]) == proposals.proposals[0]

    with pytest.raises(UserError, match="perhaps labels"):
        export_proposals("crops", proposals, folder, overwrite=True)
    assert Volume.open(labels.path).read().all()


def test_crops_lie_on_the_pyramid_of_their_raw(proposals: Proposals, raw: Volume, tmp_path: Path) -> None:
    """Both are written by one function, so a voxel has the same coordinates in both."""
    folder = export_proposals("crops", proposals, tmp_path / "crops")
    whole = describe_levels({"0": raw}, "em")["datasets"][0]["coordinateTransformations"]
    for proposal in proposals.proposals:
        (image,) = json.loads((folder / f"{proposal.name}.zarr/.zattrs").read_text())["multiscales"]
        crop = image["datasets"][0]["coordinateTransformations"]
        shift_vx = np.subtract(crop[1]["translation"], whole[1]["translation"]) / VOXEL_NM
        assert shift_vx == pytest.approx([s.start for s in raw.to_slices(proposal.to_roi(raw))])


def test_ome_zarr_reads_the_crops(proposals: Proposals, tmp_path: Path) -> None:
    program = """
import json, sys
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from ome_zarr_models import open_ome_zarr
from ome_zarr_models.v04 import Image, ImageLabel
path = sys.argv[1]
raw, *rest = [n for n in Reader(parse_url(path))() if n.data]
(labels,) = [n for n in rest if n.metadata["name"] == "neurons"]
assert isinstance(open_ome_zarr(path, version="0.4"), Image)
assert isinstance(open_ome_zarr(path + "/labels/neurons", version="0.4"), ImageLabel)
show = lambda n: [list(n.data[0].shape), str(n.data[0].dtype), n.metadata["coordinateTransformations"][0],
                  int(n.data[0].sum().compute())]
print(json.dumps([show(raw), show(labels)]))
"""
    folder = export_proposals("crops", proposals, tmp_path / "crops", context_nm=(80, 0, 0))
    raw, labels = ask("NEUROADDA_OME_ZARR_PYTHON", program, folder / "roi_1.zarr")
    written = Volume.open(folder / "roi_1.zarr/0").read()
    assert raw[:2] == [[12, 16, 20], "uint8"]
    assert raw[3] == written.sum()
    assert raw[2][1]["translation"] == pytest.approx([420, 48.3, 140.3])
    assert labels[:2] == [[8, 16, 20], "uint64"]
    assert [t["type"] for t in labels[2]] == ["scale", "translation"]
    assert (labels[2][0]["scale"], labels[2][1]["translation"]) == ([*VOXEL_NM], pytest.approx([500, 48.3, 140.3]))
    assert labels[3] == 0


def test_nothing_is_replaced_unasked(proposals: Proposals, tmp_path: Path) -> None:
    for kind in set(get_args(Export)) - {"crops"}:
        target = tmp_path / NAMES[kind]
        first = export_proposals(kind, proposals, target, url=URL).read_bytes()
        with pytest.raises(UserError, match="exists already"):
            export_proposals(kind, proposals, target, url=URL)
        assert export_proposals(kind, proposals, target, url=URL, overwrite=True).read_bytes() == first
    assert {p.name for p in tmp_path.iterdir()} == {"em.zarr", *NAMES.values()} - {NAMES["crops"]}


def test_what_is_wrong_is_said(proposals: Proposals, raw: Volume, tmp_path: Path) -> None:
    target = tmp_path / "out" / "p"
    with pytest.raises(UserError, match="where raw is served"):
        export_proposals("neuroglancer", proposals, target)
    with pytest.raises(UserError, match="not an http"):
        export_proposals("neuroglancer", proposals, target, url="/data/raw")
    with pytest.raises(UserError, match="not three lengths"):
        export_proposals("crops", proposals, target, context_nm=(-1, 0, 0))
    with pytest.raises(UserError, match="no kind of export"):
        export_proposals("xls", proposals, target)
    outside = proposals.proposals[0].model_copy(update={"offset_nm": (4000.0, 0.0, 46.0)})
    two = proposals.model_copy(update={"proposals": (proposals.proposals[0], outside)})
    for kind in ("csv", "webknossos", "crops"):
        with pytest.raises(UserError, match="outside the volume"):
            export_proposals(kind, two, target)
    other = proposals.model_copy(update={"volume_fingerprint": "another"})
    for kind in ("csv", "catmaid"):
        with pytest.raises(UserError, match="not the volume"):
            export_proposals(kind, other, target)
    assert not target.parent.exists()


@pytest.mark.parametrize("url", ["http://me:secret@host/raw", "https://token@host", "s3://me:secret@host/raw"])
def test_an_address_with_a_password_is_not_handed_on(proposals: Proposals, tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="has a user name or password in it") as error:
        export_proposals("neuroglancer", proposals, tmp_path / "p.json", url=url)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"voxel_size_nm": [40, 0, 4.6]}, "voxel_size_nm.1 should be greater than 0"),
        ({"proposals": "twice"}, "two boxes have the same rank"),
        ({"proposals": "flat"}, "a box has no size"),
    ],
)
def test_proposals_that_cannot_be_are_refused(
    proposals: Proposals, tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    data = proposals.model_dump(mode="json")
    first = data["proposals"][0]
    boxes = {"twice": [first, first], "flat": [first | {"shape_nm": [320, 0, 92]}]}
    change = {key: boxes.get(value, value) if isinstance(value, str) else value for key, value in change.items()}
    (tmp_path / "proposals.json").write_text(json.dumps(data | change))
    with pytest.raises(UserError, match=what):
        read_proposals(tmp_path)
