"""Valid input of every kind that a user can hand in, small; every path in it is relative to the folder that it lies in."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile
from numcodecs import Blosc
from PIL import Image

TESTS = Path(__file__).parents[1]

from neuroadda.active.proposals import Pool, Proposal, Proposals  # noqa: E402
from neuroadda.backbones.checkpoint import load_backbone  # noqa: E402
from neuroadda.domains.embedding import embed_volume  # noqa: E402
from neuroadda.domains.patches import PatchConfig  # noqa: E402
from neuroadda.volumes.arrays import Volume  # noqa: E402
from neuroadda.zoo.adding import write_index  # noqa: E402
from neuroadda.zoo.embeddings import save_embeddings  # noqa: E402
from tests.fuzz.foreign import write_foreign  # noqa: E402
from tests.segmentation.synthetic import VOXEL_SIZE_NM, smooth_noise  # noqa: E402
from tests.zoo.small_zoo import write_trained  # noqa: E402

SHAPE = (8, 40, 40)
BOX = (4, 16, 16)
OFFSET_NM = (60.0, 12.0, 0.0)
ENTRIES = ("fly", "mouse", "generalist")
NEWICK = "((fly:1,'a worm'[&c]:1.5):1,mouse:2.25);\n"
NML = """<?xml version="1.0" encoding="utf-8"?>
<things><parameters><experiment name="ds"/><scale x="6.0" y="6.0" z="30.0" unit="nanometer"/></parameters>
<volume id="0" location="data_Volume.zip" name="Volume" format="zarr3"/></things>
"""
ZARR3: dict[str, Any] = {
    "node_type": "array",
    "zarr_format": 3,
    "shape": [1, *SHAPE[::-1]],
    "data_type": "uint64",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 16, 16, 16]}},
    "fill_value": 0,
    "codecs": [
        {"name": "transpose", "configuration": {"order": "F"}},
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "blosc", "configuration": {"cname": "lz4"}},
    ],
    "dimension_names": ["c", "x", "y", "z"],
}


def write_goods(folder: Path) -> None:
    """Write everything."""
    labels = np.random.default_rng(0).integers(1, 5, SHAPE).astype(np.uint64)
    for name, data in (("raw", (smooth_noise(SHAPE, (1, 4, 4)) * 255).astype(np.uint8)), ("labels", labels)):
        attrs = {"fingerprint": f"{name} of the fuzz"}  # not its path's, which is another in every run
        volume = Volume.create(
            folder / "v.zarr" / name, SHAPE, VOXEL_SIZE_NM, data.dtype, offset_nm=OFFSET_NM, attrs=attrs
        )
        volume.write(volume.roi, data)
    write_zoo(folder)
    write_proposals(folder / "asked")
    write_labels(folder / "given", labels)
    write_foreign(folder / "foreign")
    (folder / "life.nwk").write_text(NEWICK)
    (folder / "annotation.zip").write_bytes(pack(annotation_members(labels)))


def write_zoo(folder: Path) -> None:
    """Write three entries, ranked by a common network, and a backbone beside them."""
    write_trained(folder / "backbone", "fly", voxel_size_nm=VOXEL_SIZE_NM)
    for seed, name in enumerate(ENTRIES):
        write_trained(folder / "zoo" / name, name, seed, voxel_size_nm=VOXEL_SIZE_NM)
    volume = Volume.open(folder / "v.zarr/raw")
    reference = load_backbone(folder / "zoo/generalist")
    for seed, name in enumerate(ENTRIES):
        config = PatchConfig(count=24, seed=seed)
        networks = {"own": load_backbone(folder / "zoo" / name), "reference": reference}
        save_embeddings(folder / "zoo" / name, embed_volume(volume, networks, config))
    write_index(folder / "zoo")


def write_proposals(folder: Path) -> None:
    """Write two boxes in the raw volume."""
    shape_nm = tuple(b * v for b, v in zip(BOX, VOXEL_SIZE_NM, strict=True))
    boxes = tuple(
        Proposal(rank=rank, offset_nm=offset, shape_nm=shape_nm, score=0.5, reason="unsure")
        for rank, offset in ((1, OFFSET_NM), (2, (180.0, 132.0, 120.0)))
    )
    Proposals(
        volume="v.zarr/raw",
        volume_fingerprint="raw of the fuzz",
        voxel_size_nm=VOXEL_SIZE_NM,
        backbone="b",
        backbone_digest="0",
        strategy="median",
        seed=0,
        pool=Pool(candidates=2, lowest=0.1, median=0.5, highest=0.9),
        proposals=boxes,
    ).save(folder)


def write_labels(folder: Path, labels: np.ndarray) -> None:
    """Write the labels in every file format that is imported; those of the whole volume, and a crop of the first box."""
    folder.mkdir()
    np.save(folder / "labels.npy", labels)
    crop = labels[tuple(map(slice, BOX))]
    np.save(folder / "roi_1.npy", crop)
    with h5py.File(folder / "labels.h5", "w") as file:
        file.create_dataset("volumes/labels/neuron_ids", data=labels, chunks=(4, 16, 16), compression="gzip")
        file["volumes/labels/neuron_ids"].attrs.update({"resolution": VOXEL_SIZE_NM, "offset": OFFSET_NM})
    tifffile.imwrite(folder / "labels.tif", labels.astype(np.uint16), imagej=True)
    tifffile.imwrite(folder / "labels.ome.tif", labels.astype(np.uint16), compression="zlib", metadata={"axes": "ZYX"})
    (folder / "sections").mkdir()
    for z, section in enumerate(labels.astype(np.uint8)):
        Image.fromarray(section).save(folder / "sections" / f"z{z}.png")


def annotation_members(labels: np.ndarray) -> dict[str, bytes]:
    """Return the files of a WEBKNOSSOS download: an NML, and a zip of voxels."""
    chunks = {"volumeAnnotationData/1/zarr.json": json.dumps(ZARR3).encode()}
    padded = np.pad(labels, [(0, -n % 16) for n in labels.shape])
    for z, y, x in np.ndindex(*(n // 16 for n in padded.shape)):
        chunk = padded[tuple(slice(16 * i, 16 * i + 16) for i in (z, y, x))].astype("<u8")
        chunks[f"volumeAnnotationData/1/c.0.{x}.{y}.{z}"] = Blosc("lz4").encode(np.ascontiguousarray(chunk))
    return {"a.nml": NML.encode(), "data_Volume.zip": pack(chunks)}


def pack(members: dict[str, bytes]) -> bytes:
    """Return a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Return what is in a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}
