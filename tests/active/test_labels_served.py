"""A segmentation at a URL comes back exactly, only what is needed is fetched, and nothing that is served is run."""

import base64
import gzip
import json
import math
import struct
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroadda.active.labels import import_labels
from neuroadda.active.proposals import Proposals
from neuroadda.errors import UserError
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.readers.precomputed import Scale, decode_chunk
from tests.active.label_fixtures import (
    BOX,
    FIRST,
    NM,
    OFFSET,
    SHAPE,
    check,
    make_proposals,
    make_truth,
    nothing_in,
    serving,
)

WIDTHS = (0, 1, 2, 4, 8, 16, 32)  # bits that the ids of a block may have
CHUNK = (8, 16, 32)
BLOCK = (2, 4, 8)
# A chunk of 5 x 9 x 11 voxels of uint64, blocks of 2 x 4 x 8, written by compressed-segmentation 2.3.3.
OTHERS = (
    "0RR91C;$KgBme*aE&u=kE&u=kC;$KgFaQ7mE&u=kGynhqC;$KgGynhqE&u=kH~;_uC;$KgH~;_uE&u=kJOBUyC;$KgJOBUyE&u=kKmY&$C;$KgKmY&$"
    "E&u=kL;wH)C;$KgL;wH)E&u=kNB{r;C;$KgNB{r;E&u=kOaK4?C;$KgOaK4?E&u=kPyhe`BuOMmBuOMmBuPn<k|ZQa00000000001poj5009613IG5A"
    "00IC2000000000$BuOMmBuOMmNs^KzBuPn<BuM}O00000k|Y2C00000BuSDaNs=T<BuOMmBuOMmk|arzBuSDaBuOMmBuOMmNs<5n00000BuM}O00000"
    "BuPn<k|ZQa0000000000Ns^KzBuPn<0000000000k|Y2C000000000000000"
)


@pytest.fixture
def proposals(tmp_path: Path) -> Proposals:
    return make_proposals(tmp_path)


@pytest.fixture
def truth() -> np.ndarray:
    return make_truth()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as (url, asked):
        yield folder, url, asked


def encode(chunk: np.ndarray, block: tuple[int, ...] = BLOCK) -> bytes:
    """Write the compressed segmentation encoding plainly: each block has its own table."""
    words, rest, item = [], [], chunk.dtype.itemsize // 4
    grid = [range(0, n, b) for n, b in zip(chunk.shape, block, strict=True)]
    heads = 2 * math.prod(map(len, grid))
    for begin in product(*grid):
        part = chunk[tuple(slice(f, f + n) for f, n in zip(begin, block, strict=True))]
        part = np.pad(part, [(0, n - s) for n, s in zip(block, part.shape, strict=True)], mode="edge")
        ids, index = np.unique(part.ravel(), return_inverse=True)
        width = next(w for w in WIDTHS if 2**w >= len(ids))
        table = heads + len(rest)
        rest += [int(i) >> 32 * k & 0xFFFFFFFF for i in ids for k in range(item)]
        words += [table | width << 24, heads + len(rest)]
        for group in np.array_split(index, -(-len(index) * width // 32)) if width else ():
            rest.append(sum(int(i) << k * width for k, i in enumerate(group)))
    return struct.pack(f"<{1 + len(words) + len(rest)}I", 1, *words, *rest)


def decode(data: bytes, shape: tuple[int, ...], block: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Decode a chunk of compressed segmentation."""
    size: Any = shape[::-1]
    scale = Scale(
        key="s",
        size=size,
        resolution=(1, 1, 1),
        chunk_sizes=(size,),
        encoding="compressed_segmentation",
        compressed_segmentation_block_size=block[::-1],  # type: ignore[arg-type]
    )
    return decode_chunk(data, shape, dtype.name, scale)  # type: ignore[arg-type]


def write_precomputed(folder: Path, truth: np.ndarray, encoding: str = "raw", **changes: Any) -> None:
    scale = {
        "key": "4_4_40",
        "size": SHAPE[::-1],
        "resolution": NM[::-1],
        "voxel_offset": [round(o / v) for o, v in zip(OFFSET, NM, strict=True)][::-1],
        "chunk_sizes": [CHUNK[::-1]],
        "encoding": encoding,
        "compressed_segmentation_block_size": BLOCK[::-1],
    }
    coarse = scale | {"key": "8_8_40", "resolution": [8, 8, 40], "size": [32, 24, 20]}
    info = {"@type": "neuroglancer_multiscale_volume", "type": "segmentation", "num_channels": 1}
    info |= {"data_type": truth.dtype.name, "scales": [coarse, scale | changes]}
    (folder / "4_4_40").mkdir(parents=True)
    (folder / "info").write_text(json.dumps(info | {k: v for k, v in changes.items() if k in info}))
    offset = [round(o / v) for o, v in zip(OFFSET, NM, strict=True)]
    for begin in product(*(range(0, n, c) for n, c in zip(SHAPE, CHUNK, strict=True))):
        chunk = truth[tuple(slice(b, b + c) for b, c in zip(begin, CHUNK, strict=True))]
        ends = [b + n for b, n in zip(begin, chunk.shape, strict=True)]
        name = "_".join(f"{b + o}-{e + o}" for b, e, o in list(zip(begin, ends, offset, strict=True))[::-1])
        data = encode(chunk) if encoding == "compressed_segmentation" else np.ascontiguousarray(chunk).tobytes()
        (folder / "4_4_40" / name).write_bytes(gzip.compress(data) if encoding == "raw" and begin[2] else data)


def touched() -> set[tuple[int, ...]]:
    """First voxels of the chunks that the boxes touch."""
    grid = product(*(range(0, n, c) for n, c in zip(SHAPE, CHUNK, strict=True)))
    return {g for g in grid if any(_meet(g, first) for first in FIRST.values())}


def _meet(chunk: tuple[int, ...], box: tuple[int, ...]) -> bool:
    return all(c < b + n and c + m > b for c, m, b, n in zip(chunk, CHUNK, box, BOX, strict=True))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
def test_precomputed_round_trip(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, served: Any, encoding: str, dtype: Any
) -> None:
    folder, url, asked = served
    truth = (truth if dtype == np.uint64 else np.minimum(truth, 2**32 - 4)).astype(dtype)
    write_precomputed(folder / "seg", truth, encoding)
    found = import_labels(proposals, f"precomputed://{url}/seg", tmp_path / "out")
    check(found, truth.astype(np.uint64))
    assert found[0].notes == ()
    chunks = [name for name in asked if name.startswith("seg/4_4_40/")]
    assert len(set(chunks)) == len(touched()) < len(list((folder / "seg" / "4_4_40").iterdir()))
    assert not [name for name in asked if "8_8_40" in name]
    check(import_labels(proposals, f"{url}/seg/|neuroglancer-precomputed:", tmp_path / "again", rank=2), truth, (2,))


def test_chunks_that_are_missing_are_empty(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, served: Any
) -> None:
    folder, url, _ = served
    truth[:8] = 0
    write_precomputed(folder, truth)
    for path in (folder / "4_4_40").glob("*_10-18"):
        path.unlink()
    check(import_labels(proposals, url, tmp_path / "out"), truth)


@given(st.data())
def test_compressed_segmentation_decodes_what_was_encoded(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(3))
    block = tuple(data.draw(st.sampled_from([1, 2, 4, 8])) for _ in range(3))
    dtype = np.dtype(data.draw(st.sampled_from(["<u4", "<u8"])))
    ids = data.draw(st.integers(1, 400))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    chunk = (rng.integers(0, ids, shape) * (2**50 + 3)).astype(dtype)
    if math.prod(block) * 16 % 32 == 0:
        np.testing.assert_array_equal(decode(encode(chunk, block), shape, block, dtype), chunk)


def test_compressed_segmentation_of_another_library() -> None:
    z, y, x = np.indices((5, 9, 11)).astype(np.uint64)
    expected = (z * y + x) % np.uint64(3) * np.uint64(2**40 + 5)
    expected[:, :, 8:] = 2**62
    found = decode(base64.b85decode(OTHERS), (5, 9, 11), BLOCK, np.dtype("<u8"))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scheme", ["zarr://", ""])
def test_zarr_round_trip(tmp_path: Path, proposals: Proposals, truth: np.ndarray, served: Any, scheme: str) -> None:
    folder, url, asked = served
    volume = Volume.create(folder / "s.zarr" / "seg", SHAPE, NM, np.uint64, offset_nm=OFFSET, chunk_vx=CHUNK)
    volume.data[:] = truth
    check(import_labels(proposals, f"{scheme}{url}/s.zarr", tmp_path / "out", dataset="seg"), truth)
    chunks = {name for name in asked if name[-1].isdigit()}
    assert len(chunks) == len(touched())


def check_refused(url: str, proposals: Proposals, target: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        import_labels(proposals, url, target)
    assert "\n" not in str(caught.value)
    assert nothing_in(target)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "sharded": (
        {"sharding": {"@type": "neuroglancer_uint64_sharded_v1"}},
        "its chunks are in shards, which are not read",
    ),
    "jpeg": ({"encoding": "jpeg"}, "its encoding is jpeg of uint64; raw or compressed_segmentation"),
    "voxel size": (
        {"resolution": [4, 4, 30]},
        r"no scale of raw's voxel size, 40 x 4 x 4 nm \(zyx\); scales in it: 40 x 8 x 8 nm \(zyx\), 30 x 4 x 4 nm",
    ),
    "channels": ({"num_channels": 2}, "it has 2 channels"),
    "chunks": ({"chunk_sizes": [[4096, 4096, 4096]]}, "its chunk size is missing or too large"),
    "chunk": ({"chunk_sizes": [[16, 16, 16]]}, "nothing is labelled|cannot be read"),
    "metadata": ({"size": "large"}, "info: the metadata is malformed: scales.1.size"),
    "elsewhere": ({"voxel_offset": [0, 0, 5000]}, "it overlaps none of the boxes"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_precomputed_that_is_not_read(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, served: Any, change: str
) -> None:
    folder, url, _ = served
    changes, message = CHANGES[change]
    write_precomputed(folder, truth, **changes)
    check_refused(url, proposals, tmp_path / "out", message)


@pytest.mark.parametrize("encoding", ["raw", "compressed_segmentation"])
@pytest.mark.parametrize("data", [b"", b"\x01\0\0\0", b"\x01\0\0\0" * 9, b"\xff" * 64, b"\x1f\x8b" * 20], ids=repr)
def test_damaged_chunks_are_told(
    tmp_path: Path, proposals: Proposals, truth: np.ndarray, served: Any, encoding: str, data: bytes
) -> None:
    folder, url, _ = served
    write_precomputed(folder, truth, encoding)
    for path in (folder / "4_4_40").iterdir():
        path.write_bytes(data)
    check_refused(url, proposals, tmp_path / "out", "its labels cannot be read")


def test_bombs_are_refused(tmp_path: Path, proposals: Proposals, truth: np.ndarray, served: Any) -> None:
    folder, url, _ = served
    write_precomputed(folder, truth)
    bomb = gzip.compress(bytes(64 * 2**20))
    for path in (folder / "4_4_40").iterdir():
        path.write_bytes(bomb)
    check_refused(url, proposals, tmp_path / "out", "a chunk unpacks to more than")
    for path in (folder / "4_4_40").iterdir():
        path.write_bytes(bytes(4 * 2**20))
    check_refused(url, proposals, tmp_path / "out", "the file has more than .* bytes")


def test_nothing_that_is_served_is_run(tmp_path: Path, proposals: Proposals, served: Any) -> None:
    folder, url, _ = served
    meta = {"zarr_format": 2, "shape": SHAPE, "chunks": CHUNK, "order": "C", "fill_value": 0}
    pickles: Any = {"filters": [{"id": "pickle"}], "compressor": None, "dtype": "<u8"}
    for change, message in (
        (pickles, "metadata is malformed: filters"),
        (pickles | {"filters": None, "compressor": {"id": "pickle"}}, "its compressor 'pickle' is not read"),
        (pickles | {"dtype": "|O", "fill_value": "gASVAAAA"}, "metadata is malformed: dtype"),
        (pickles | {"filters": None, "chunks": [4096, 4096, 4096]}, "its chunks .* are too large"),
    ):
        (folder / ".zarray").write_text(json.dumps(meta | change))
        check_refused(url, proposals, tmp_path / "out", message)


def test_url_that_leads_nowhere(tmp_path: Path, proposals: Proposals, served: Any) -> None:
    folder, url, _ = served
    check_refused(url, proposals, tmp_path / "out", "there is no segmentation here; give the URL of the folder")
    (folder / "info").write_text("{")
    check_refused(url, proposals, tmp_path / "out", "info: the metadata is malformed")
    with serving(folder) as (gone, _):
        pass
    check_refused(gone.replace("http://", "http://me:secret@"), proposals, tmp_path / "out", "it cannot be read")
    with pytest.raises(UserError) as caught:
        import_labels(proposals, gone.replace("http://", "http://me:secret@"), tmp_path / "out")
    assert "secret" not in str(caught.value)
