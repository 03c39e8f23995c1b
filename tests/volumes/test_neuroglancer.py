import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.neuroglancer import Layer, neuroglancer_state, state_url


def layers() -> list[Layer]:
    return [
        Layer("raw", "http://localhost:8000/v.zarr/raw/", "raw", (30, 6, 6), (300, 0, 60)),
        Layer("affs", "http://localhost:8000/v.zarr/affs", "affs", (30, 6, 6), (300, 0, 60)),
        Layer("seg", "http://localhost:8000/v.zarr/seg", "labels", (30, 12, 12), (300, 0, 60)),
    ]


def locate(layer: dict, index: list[float]) -> list[float]:
    """Where a voxel of a layer lies, nm zyx, by the layer's own transform."""
    transform = layer["source"]["transform"]
    out = np.array(transform["matrix"]) @ [*index, 1]
    scale = [size for size, unit in transform["outputDimensions"].values()]
    return (out * scale * 1e9)[-3:].tolist()


def test_layers_lie_where_their_volumes_do() -> None:
    raw, affs, seg = neuroglancer_state(layers())["layers"]
    assert locate(raw, [2, 10, 10]) == pytest.approx([360, 60, 120])
    assert locate(affs, [1, 2, 10, 10]) == pytest.approx([360, 60, 120])
    assert locate(seg, [2, 5, 5]) == pytest.approx([360, 60, 120])
    assert [layer["type"] for layer in (raw, affs, seg)] == ["image", "image", "segmentation"]
    assert raw["source"]["url"] == "zarr://http://localhost:8000/v.zarr/raw"
    assert list(affs["source"]["transform"]["outputDimensions"]) == ["c^", "z", "y", "x"]
    assert "getDataValue(2)" in affs["shader"]


def test_position_is_in_the_viewers_voxels() -> None:
    assert neuroglancer_state(layers())["position"] == pytest.approx([10, 0, 10])
    state = neuroglancer_state(layers(), position_nm=(600, 60, 90), voxel_size_nm=(10, 10, 10))
    assert state["position"] == pytest.approx([60, 6, 9])
    assert state["dimensions"]["z"] == [pytest.approx(1e-8), "m"]
    assert state["displayDimensions"] == ["x", "y", "z"]


def test_a_volume_becomes_a_layer(tmp_path: Path) -> None:
    volume = Volume.create(tmp_path / "v.zarr/raw", (4, 8, 8), (40, 4.5, 4.5), np.uint8, offset_nm=(80, 9, 0))
    layer = Layer.of(volume, "raw", "https://host/v.zarr/raw", "raw")
    assert (layer.voxel_size_nm, layer.offset_nm) == ((40, 4.5, 4.5), (80, 9, 0))


def test_the_address_carries_the_state() -> None:
    state = neuroglancer_state(layers())
    address = state_url(state, "https://viewer.example/")
    head, fragment = address.split("/#!")
    assert head == "https://viewer.example"
    assert json.loads(unquote(fragment)) == json.loads(json.dumps(state))
    assert not set(fragment) & set(' "<>#{}')


def test_bad_layers_are_refused() -> None:
    with pytest.raises(UserError, match="nothing to view"):
        neuroglancer_state([])
    with pytest.raises(UserError, match="share a name"):
        neuroglancer_state([layers()[0], layers()[0]])
    with pytest.raises(UserError, match="not an http"):
        neuroglancer_state([Layer("raw", "/data/v.zarr/raw", "raw", (1, 1, 1))])
