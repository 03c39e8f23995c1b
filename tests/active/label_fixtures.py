"""Two proposed boxes in a volume with exact truth, and a folder served on loopback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from neuroadda.active.labels import Imported
from neuroadda.active.proposals import Pool, Proposal, Proposals
from neuroadda.volumes.arrays import Volume

NM = (40.0, 4.0, 4.0)
OFFSET = (400.0, 80.0, 120.0)
SHAPE = (20, 48, 64)
BOX = (6, 16, 24)
FIRST = {1: (3, 10, 20), 2: (11, 30, 35)}


def place_nm(first_vx: tuple[int, ...]) -> tuple[Any, ...]:
    """World place of a voxel of raw."""
    return tuple(o + f * v for o, f, v in zip(OFFSET, first_vx, NM, strict=True))


def make_proposals(folder: Path) -> Proposals:
    """Write the raw volume and return two boxes in it."""
    raw = Volume.create(folder / "volumes.zarr" / "raw", SHAPE, NM, np.uint8, offset_nm=OFFSET)
    shape_nm: Any = tuple(b * v for b, v in zip(BOX, NM, strict=True))
    boxes = [
        Proposal(rank=r, offset_nm=place_nm(f), shape_nm=shape_nm, score=0.5, reason="-") for r, f in FIRST.items()
    ]
    return Proposals(
        volume=str(raw.path),
        volume_fingerprint=raw.fingerprint,
        voxel_size_nm=NM,
        backbone="b",
        backbone_digest="0",
        strategy="median",
        seed=0,
        pool=Pool(candidates=2, lowest=0.1, median=0.5, highest=0.9),
        proposals=tuple(boxes),
    )


def make_truth() -> np.ndarray:
    """Ids for the whole of raw, small ones and one near 2^63."""
    truth = np.random.default_rng(3).integers(0, 5, SHAPE).astype(np.uint64)
    truth[truth == 4] = 2**63 - 1
    return truth


def cut(truth: np.ndarray, rank: int) -> np.ndarray:
    """The part of the truth that lies in a box."""
    return truth[tuple(slice(f, f + n) for f, n in zip(FIRST[rank], BOX, strict=True))]


def check(found: list[Imported], truth: np.ndarray, ranks: tuple[int, ...] = (1, 2)) -> None:
    """What was imported is exactly the truth in the boxes, in its place."""
    assert [one.rank for one in found] == list(ranks)
    for one in found:
        volume, expected = Volume.open(one.path), cut(truth, one.rank)
        assert (volume.voxel_size_nm, volume.offset_nm, volume.dtype) == (NM, place_nm(FIRST[one.rank]), np.uint64)
        np.testing.assert_array_equal(volume.read(), expected)
        assert one.ids == len(np.unique(expected[expected > 0]))
        assert one.labelled_fraction == np.mean(expected > 0)


def nothing_in(folder: Path) -> bool:
    """Tell whether neither labels nor anything half-written lie in a folder."""
    return not folder.exists() or not list(folder.iterdir())


class _Quiet(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path.lstrip("/"))  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; yield its URL and the list of what was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        server.asked = asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()
