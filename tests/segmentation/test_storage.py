"""From affinities to a segmentation and its score, without torch: with every line of zarr, and in shards where it has them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from neuroadda.blockwise.engine import run_task
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.outputs import bind_output
from neuroadda.blockwise.task import Task
from neuroadda.config import fingerprint
from neuroadda.errors import RunFailed, UserError
from neuroadda.evaluation.contingency import count_overlaps
from neuroadda.evaluation.metrics import score
from neuroadda.ledger.open import open_ledger
from neuroadda.segmentation.agglomerate import AgglomerateLevel, count_levels, level_grid
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.edges import CollectEdges
from neuroadda.segmentation.fragments import Fragments, context_vx
from neuroadda.segmentation.relabel import Relabel
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.nodes import ZARR3, check_shards
from tests.segmentation.synthetic import VOXEL_SIZE_NM, phantom_affs
from tests.volumes.funlib_arrays import check_opened_by_funlib

SHAPE, BLOCK_VX, CHUNK_VX = (20, 90, 90), (8, 40, 40), (8, 20, 20)
needs_shards = pytest.mark.skipif(not ZARR3, reason="zarr 2 has no shards")


@pytest.fixture(scope="module")
def truth_and_affs(tmp_path_factory):
    labels, voxels = phantom_affs(SHAPE)
    affs = Volume.create(
        tmp_path_factory.mktemp("inputs") / "affs.zarr/affs",
        SHAPE,
        VOXEL_SIZE_NM,
        np.uint8,
        channels=3,
        attrs={"fingerprint": fingerprint("affs")},
    )
    affs.write(affs.roi, voxels)
    return labels, affs


def make_tasks(affs: Volume, folder: Path, shard: bool) -> list[Task]:
    parameters = Fragments(seed_distance_vx=4, boundary=0.5).resolve(affs.voxel_size_nm)

    def grid(context=(0, 0, 0)) -> BlockGrid:
        return BlockGrid.make(affs.roi, affs.voxel_size, BLOCK_VX, context)

    def bind(stage, inputs: dict, name: str, blocks: BlockGrid | None = None) -> Task:
        chunk_vx = CHUNK_VX if blocks is None or len(blocks) > 1 else None
        return Task.make(stage, inputs, folder / name, blocks or grid(), chunk_vx, shard=shard)

    of_affs = {"affs": (affs.path, affs.fingerprint)}
    fragments = bind(parameters, of_affs, "volumes.zarr/fragments", grid(context_vx(parameters, affs.voxel_size_nm)))
    of_fragments = {"fragments": (folder / "volumes.zarr/fragments", fragments.fingerprint)}
    edges = bind(CollectEdges(), of_affs | of_fragments, "edges")
    of_edges = {"edges": (folder / "edges", edges.fingerprint)}
    below, levels = of_edges["edges"], {}
    for level in range(count_levels(grid())):
        stage = AgglomerateLevel(limit=0.95, level=level, blocks=grid())
        task = bind(stage, {"below": below}, f"merges/{level}", level_grid(grid(), level))
        below, levels[task.name] = (folder / f"merges/{level}", task.fingerprint), task
    of_levels = {name: (Path(task.output), task.fingerprint) for name, task in levels.items()}
    whole = BlockGrid.make(affs.roi, affs.voxel_size, SHAPE)
    lut = bind(Components(threshold=0.3, blocks=grid()), of_edges | of_levels, "lut", whole)
    of_lut = {"lut": (folder / "lut", lut.fingerprint)}
    return [
        fragments,
        edges,
        *levels.values(),
        lut,
        bind(Relabel(), of_fragments | of_lut, "volumes.zarr/segmentation"),
    ]


def run(tasks: list[Task], folder: Path, execution: Execution) -> Volume:
    for task in tasks:
        run_task(task, f"sqlite:///{folder / 'ledger.db'}", execution, folder / "logs")
    return Volume.open(tasks[-1].output)


@pytest.fixture(scope="module")
def undisturbed(truth_and_affs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(make_tasks(truth_and_affs[1], folder, shard=False), folder, Execution(launcher="serial"))


@pytest.mark.system
def test_a_segmentation_without_torch(truth_and_affs, undisturbed, tmp_path):
    labels, affs = truth_and_affs
    found = run(make_tasks(affs, tmp_path, shard=False), tmp_path, Execution(workers=2))
    assert np.array_equal(found.read(), undisturbed.read())
    assert score(count_overlaps(found.read(), labels)).voi < 1.0


def test_funlib_persistence_opens_every_array_of_a_run(truth_and_affs, undisturbed):
    fragments = Volume.open(undisturbed.path.with_name("fragments"))
    for volume in (truth_and_affs[1], fragments, undisturbed):
        check_opened_by_funlib(volume)


def test_both_lines_of_zarr_write_these_very_bytes(tmp_path):
    volume = Volume.create(tmp_path / "a.zarr/a", (4, 8, 8), (40, 4, 4), np.uint64, chunk_vx=(4, 8, 4), attrs={"b": 1})
    volume.write(volume.roi, np.arange(256, dtype=np.uint64).reshape(4, 8, 8) // 3)
    files = {str(f.relative_to(tmp_path)): f.read_bytes() for f in sorted(tmp_path.rglob("*")) if f.is_file()}
    assert json.loads(files["a.zarr/.zgroup"]) == {"zarr_format": 2}
    assert hashlib.sha256(b"".join(files.values())).hexdigest() == (
        "8465d622753122f72c62fae17d6d5ab3564bde638b610b0fd265bde8584e2044"
    ), list(files)


@needs_shards
def test_a_block_is_a_shard(truth_and_affs, undisturbed, tmp_path):
    tasks = make_tasks(truth_and_affs[1], tmp_path, shard=True)
    found = run(tasks, tmp_path, Execution(workers=2))
    assert np.array_equal(found.read(), undisturbed.read())
    assert tuple(found.chunk_vx) == CHUNK_VX
    for task in (tasks[0], tasks[-1]):
        files = [f for f in (Path(task.output) / "c").rglob("*") if f.is_file()]
        assert len(files) == len(task.grid)


@needs_shards
def test_a_broken_run_of_shards_goes_on(truth_and_affs, undisturbed, tmp_path, monkeypatch):
    tasks = make_tasks(truth_and_affs[1], tmp_path, shard=True)
    write = Volume.write

    def write_some(self: Volume, roi, data) -> None:
        if roi.begin[1] > 0:
            raise OSError("the disk went away")
        write(self, roi, data)

    monkeypatch.setattr(Volume, "write", write_some)
    with pytest.raises(RunFailed):
        run(tasks[:1], tmp_path, Execution(launcher="serial", retries=0, same_error_limit=100))
    monkeypatch.setattr(Volume, "write", write)
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    done = ledger.done_mask(bind_output(tasks[0]).key, len(tasks[0].grid))
    ledger.close()
    assert 0 < done.sum() < len(done)
    assert np.array_equal(run(tasks, tmp_path, Execution(launcher="serial")).read(), undisturbed.read())


@pytest.mark.skipif(ZARR3, reason="zarr 3 has shards")
def test_shards_need_zarr_3(tmp_path):
    with pytest.raises(UserError, match="has no shards"):
        check_shards()
    with pytest.raises(UserError, match="has no shards"):
        Volume.create(tmp_path / "a.zarr/a", (8, 8, 8), (4, 4, 4), np.uint8, chunk_vx=(4, 4, 4), shard_vx=(8, 8, 8))
