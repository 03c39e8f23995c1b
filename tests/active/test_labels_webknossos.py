"""Volume annotations come back from WEBKNOSSOS's own files exactly; a hostile zip does no harm."""

import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numcodecs import Blosc

from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import Proposals
from neuroadda.errors import UserError
from neuroadda.volumes.importing import import_volume
from neuroadda.volumes.readers import webknossos
from tests.active.label_fixtures import SHAPE, check, make_proposals, make_truth, nothing_in

SIDE = 16
NML = """<?xml version="1.0" encoding="utf-8"?>
<things><parameters><experiment name="ds"/><scale x="4.0" y="4.0" z="40.0" unit="nanometer"/></parameters>{}</things>"""
VOLUME = '<volume id="0" location="data_Volume.zip" name="Volume" format="zarr3"{}/>'
CODECS = (
    {"name": "transpose", "configuration": {"order": "F"}},
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "blosc", "configuration": {"cname": "lz4"}},
)
# A program that paints the array truth.npy (xyz) into an annotation with the webknossos package.
PAINT = """
import sys, numpy as np, webknossos as wk
truth = np.load(sys.argv[1])
annotation = wk.Annotation(name="a", dataset_name="ds", voxel_size=(4, 4, 40))
layer = annotation.add_volume_layer("Volume", dtype=truth.dtype)
with layer.edit() as segmentation:
    segmentation.add_mag(1).write(truth, absolute_offset=(0, 0, 0), allow_resize=True)
annotation.save(sys.argv[2])
"""


@pytest.fixture
def proposals(tmp_path: Path) -> Proposals:
    return make_proposals(tmp_path)


@pytest.fixture
def truth() -> np.ndarray:
    return make_truth()


def pack(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def zarr3_members(truth: np.ndarray, prefix: str = "c.", separator: str = ".", **changes: Any) -> dict[str, bytes]:
    """The files of a layer: chunks of 16 voxels a side, those of nothing but 0 left out."""
    meta = {
        "node_type": "array",
        "zarr_format": 3,
        "shape": [1, *SHAPE[::-1]],
        "data_type": "uint64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, SIDE, SIDE, SIDE]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": separator}},
        "fill_value": 0,
        "codecs": CODECS,
        "dimension_names": ["c", "x", "y", "z"],
    }
    members = {
        "volumeAnnotationData/1/zarr.json": json.dumps(meta | changes).encode(),
        "datasource-properties.json": b"{}",
    }
    for z, y, x in product(*(range(-(-n // SIDE)) for n in SHAPE)):
        chunk = np.zeros((SIDE, SIDE, SIDE), "<u8")
        part = truth[tuple(slice(SIDE * i, SIDE * (i + 1)) for i in (z, y, x))]
        chunk[tuple(map(slice, part.shape))] = part
        if chunk.any():
            key = prefix + separator.join(map(str, (0, x, y, z)))
            members[f"volumeAnnotationData/1/{key}"] = Blosc("lz4").encode(chunk)  # C order of zyx is F order of cxyz
    return members


def write_annotation(path: Path, data: bytes, nml: str = VOLUME.format("")) -> Path:
    path.write_bytes(pack({"a.nml": NML.format(nml).encode(), "data_Volume.zip": data}))
    return path


@pytest.mark.parametrize(("prefix", "separator"), [("c.", "."), ("", "."), ("c/", "/")])
def test_zarr_annotation_round_trip(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, prefix: str, separator: str
) -> None:
    data = pack(zarr3_members(truth, prefix, separator))
    found = import_labels(proposals, write_annotation(tmp_path / "a.zip", data), tmp_path / "out")
    check(found, truth)
    assert "labelled voxels outside the boxes" in found[0].notes[0]


def test_only_painted_boxes_come_back(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    truth[9:] = 0
    volume = VOLUME.format(' fallbackLayer="seg"')
    source = write_annotation(tmp_path / "a.zip", pack(zarr3_members(truth)), volume)
    found = import_labels(proposals, source, tmp_path / "out")
    check(found, truth, (1,))
    assert found[0].notes[0].startswith("it changes the segmentation 'seg'")
    with pytest.raises(UserError, match="nothing is labelled: there is nothing but 0 in the box"):
        import_labels(proposals, source, tmp_path / "two", rank=2)
    assert nothing_in(tmp_path / "two")


@pytest.mark.skipif("NEUROADDA_WEBKNOSSOS_PYTHON" not in os.environ, reason="no Python with webknossos is named")
def test_annotation_made_by_its_own_package(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    truth = np.minimum(truth, 70000)
    np.save(tmp_path / "truth.npy", truth.transpose(2, 1, 0).astype(np.uint32))
    command = [os.environ["NEUROADDA_WEBKNOSSOS_PYTHON"], "-c", PAINT, "truth.npy", "a.zip"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    check(import_labels(proposals, tmp_path / "a.zip", tmp_path / "out", dataset="Volume"), truth)


@pytest.mark.skipif(importlib.util.find_spec("wkw") is None, reason="wkw is not installed")
def test_wkw_annotation_round_trip(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    import wkw

    folder = tmp_path / "wkw"
    header = wkw.Header(np.uint64, block_len=SIDE, file_len=1, block_type=wkw.Header.BLOCK_TYPE_LZ4)
    dataset = wkw.Dataset.create(str(folder), header)
    truth[:, :, 48:] = 0
    for z, y, x in product(*(range(0, n, SIDE) for n in SHAPE)):
        chunk = np.zeros((SIDE, SIDE, SIDE), np.uint64)
        part = truth[z : z + SIDE, y : y + SIDE, x : x + SIDE]
        chunk[tuple(map(slice, part.shape))] = part
        if chunk.any():
            dataset.write((x, y, z), np.asfortranarray(chunk.T))
    dataset.close()
    members = {f"1/{p.relative_to(folder)}": p.read_bytes() for p in folder.rglob("*.wkw")}
    source = write_annotation(tmp_path / "a.zip", pack(members))
    check(import_labels(proposals, source, tmp_path / "out"), truth)
    cube = next(name for name in members if "x0" in name)
    source = write_annotation(tmp_path / "a.zip", pack(members | {cube: members[cube][:30]}))
    with pytest.raises(UserError, match="its labels cannot be read"):
        import_labels(proposals, source, tmp_path / "bad")
    assert nothing_in(tmp_path / "bad")


def test_wkw_without_its_package(tmp_path: Path, proposals: Proposals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wkw", None)
    source = write_annotation(tmp_path / "a.zip", pack({"1/header.wkw": b"WKW"}))
    with pytest.raises(UserError, match=r"the package wkw is missing; .* or choose Zarr when downloading"):
        import_labels(proposals, source, tmp_path / "out")


def check_refused(source: Path, proposals: Proposals, message: str, **options: Any) -> None:
    target = source.parent / "refused"
    with pytest.raises(UserError, match=message) as caught:
        import_labels(proposals, source, target, **options)
    assert "\n" not in str(caught.value)
    assert nothing_in(target)


def test_what_is_wrong_with_an_annotation_is_one_line(tmp_path: Path, proposals: Proposals) -> None:
    path, data = tmp_path / "a.zip", pack({"1/readme": b""})
    path.write_bytes(b"PK no zip")
    check_refused(path, proposals, "the zip cannot be opened")
    path.write_bytes(pack({"volumeAnnotationData/1/zarr.json": b""}))
    check_refused(path, proposals, r"there are 0 \.nml files in it; give the zip of one annotation")
    check_refused(write_annotation(path, data, ""), proposals, "the annotation has no volume layer")
    check_refused(
        write_annotation(path, data, '<volume id="0" name="V"/>'), proposals, "no voxels of this layer; include"
    )
    check_refused(write_annotation(path, b"x"), proposals, "Volume: the zip cannot be opened")
    check_refused(write_annotation(path, data), proposals, "no voxels of magnification 1")
    check_refused(write_annotation(path, data), proposals, "no one volume layer 'B'; layers in it: Volume", dataset="B")
    two = VOLUME.format("") + '<volume id="1" location="b.zip" name="Other"/>'
    check_refused(
        write_annotation(path, data, two), proposals, "not said which volume layer.*give one of: Volume, Other"
    )


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "sharded": (
        {"codecs": [{"name": "sharding_indexed", "configuration": {}}]},
        "codec 'sharding_indexed' is not read",
    ),
    "axes": ({"dimension_names": ["c", "t", "y", "x"]}, "its axes are c, t, y, x; one channel"),
    "float": ({"data_type": "float32"}, "the metadata is malformed: data_type"),
    "order": ({"codecs": [{"name": "transpose", "configuration": {"order": [3, 3, 1, 0]}}]}, "do not fit together"),
    "chunks": (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 9999, 9999, 9999]}}},
        "its chunks .* are too large",
    ),
    "smaller": (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 16, 16, 8]}}},
        "a chunk does not unpack to its size",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_zarr3_that_is_not_read(tmp_path: Path, proposals: Proposals, truth: np.ndarray, change: str) -> None:
    changed, message = CHANGES[change]
    source = write_annotation(tmp_path / "a.zip", pack(zarr3_members(truth, **changed)))
    check_refused(source, proposals, message)


def test_voxel_size_of_another_data_set(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    nml = NML.format(VOLUME.format("")).replace('"40.0" unit="nanometer"', '"0.03" unit="micrometer"')
    members = {"a.nml": nml.encode(), "data_Volume.zip": pack(zarr3_members(truth))}
    (tmp_path / "a.zip").write_bytes(pack(members))
    check_refused(
        tmp_path / "a.zip", proposals, r"its voxel size is 30 x 4000 x 4000 nm \(zyx\); raw's is 40 x 4 x 4 nm"
    )


ENTITY = '<!DOCTYPE t [<!ENTITY e SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(tmp_path: Path, proposals: Proposals, encoding: str) -> None:
    nml = f'<?xml version="1.0" encoding="{encoding}"?>{ENTITY}<things>&e;</things>'
    (tmp_path / "a.zip").write_bytes(pack({"a.nml": nml.encode(encoding)}))
    check_refused(tmp_path / "a.zip", proposals, "the NML has a document type|the NML is malformed")


def test_bombs_and_paths_outside_do_no_harm(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = zarr3_members(truth) | {"../../evil": b"x", "/evil": b"x", "volumeAnnotationData/1/../../evil": b"x"}
    source = write_annotation(tmp_path / "a.zip", pack(members))
    check(import_labels(proposals, source, tmp_path / "out"), truth)
    assert not list(tmp_path.parent.rglob("evil"))
    monkeypatch.setattr(webknossos, "MAX_BYTES", 1000)
    check_refused(source, proposals, r"data_Volume\.zip unpacks to more than 1000 bytes")
    monkeypatch.undo()
    bomb = members | {"volumeAnnotationData/1/c.0.1.0.0": bytes(4 * 2**20)}
    check_refused(write_annotation(tmp_path / "a.zip", pack(bomb)), proposals, r"c\.0\.1\.0\.0 unpacks to more than")


def test_damaged_chunk_is_told(tmp_path: Path, proposals: Proposals, truth: np.ndarray) -> None:
    data = bytearray(pack(zarr3_members(truth)))
    data[len(data) // 2] ^= 0xFF
    check_refused(write_annotation(tmp_path / "a.zip", bytes(data)), proposals, "cannot be (unpacked|read)")


@pytest.mark.parametrize("scale", ['unit="parsec"', 'unit="pixel"', 'z="0"', 'y="-4.0"', 'x="nan"', 'x="four"'])
def test_a_scale_that_is_none_names_file_and_option(tmp_path: Path, truth: np.ndarray, scale: str) -> None:
    name = scale.partition("=")[0]
    nml = re.sub(rf'\b{name}="[^"]*"', scale, NML[NML.index("<things>") :], count=1)
    path = tmp_path / "a.zip"
    path.write_bytes(
        pack({"a.nml": nml.format(VOLUME.format("")).encode(), "data_Volume.zip": pack(zarr3_members(truth))})
    )
    with pytest.raises(UserError, match=r"a\.zip.*--voxel-size Z Y X"):
        import_volume(path, tmp_path / "own.zarr/labels")
    assert import_volume(path, tmp_path / "own.zarr/labels", voxel_size_nm=(40, 4, 4)).voxel_size_nm == (40, 4, 4)
