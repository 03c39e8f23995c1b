"""A volume of which a mask leaves little: what has no tissue is not done, and what has is as if all were done."""

from pathlib import Path

import numpy as np
import pytest

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.outputs import bind_output
from neuroadda.errors import forget_warnings
from neuroadda.evaluation.cost import finished_stages
from neuroadda.ledger.open import open_ledger
from neuroadda.runs.status import read_status
from neuroadda.segmentation.blockfiles import block_file
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, make_plan, segment_volume
from neuroadda.volumes.arrays import Volume
from tests.segmentation import synthetic
from tests.segmentation.synthetic import BLOCK_VX, write_backbone, write_raw

ARRAYS = ("predict", "fragments", "relabel")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    raw = write_raw(folder / "raw.zarr/raw")
    write_backbone(folder / "backbone")
    coarse = np.zeros((8, 23, 25), np.uint8)
    coarse[0:2, 7:18, 1:15] = 1  # blocks 1, 2 of y and 0, 1 of x, of which parts only
    coarse[7, 22, 24] = 7  # the last block
    nm = [v * f for v, f in zip(raw.voxel_size_nm, (3, 4, 4), strict=True)]
    mask = Volume.create(
        folder / "mask.zarr/coarse", coarse.shape, nm, np.uint8, offset_nm=raw.offset_nm, chunk_vx=(2, 8, 8)
    )
    mask.data[0:2, 7:18, 1:15] = coarse[0:2, 7:18, 1:15]  # other chunks are not written
    mask.data[7, 22, 24] = 7
    fine = coarse.repeat(3, 0).repeat(4, 1).repeat(4, 2)[:, :90, :100]
    mask = Volume.create(folder / "mask.zarr/fine", fine.shape, raw.voxel_size_nm, np.uint8, offset_nm=raw.offset_nm)
    mask.write(mask.roi, fine)
    return folder


def configure(inputs: Path, output: Path, mask: str | None, **options) -> SegmentConfig:
    return synthetic.configure(inputs, output, mask=mask and str(inputs / "mask.zarr" / mask), **options)


def voxels(plan: Plan) -> dict[str, bytes]:
    return {name: Volume.open(plan.output(name)).read().tobytes() for name in ARRAYS}


def do_every_block(plan: Plan) -> None:
    """Do all blocks of the grids, with tissue or without, and each masked voxel by voxel."""
    for task in plan.tasks:
        task = task.model_copy(update={"tissue": None})
        task.__dict__.pop("blocks", None)
        task.bound.create_output(task)
        function = task.bound.open(task)
        for index in range(len(task.grid)):
            function(task.grid[index])


@pytest.fixture(scope="module")
def sparse(inputs, tmp_path_factory) -> Plan:
    return segment_volume(configure(inputs, tmp_path_factory.mktemp("sparse"), "coarse"))


def test_only_blocks_with_tissue_are_known_to_anyone(inputs, sparse):
    # Of x in steps of 32 voxels: the mask's tissue is 4 .. 60 in x, 28 .. 72 in y, 0 .. 6 in z.
    tissue = [0, 1, 4, 5, 8, 9, 35]
    ledger, fine = open_ledger(sparse.config.ledger_url), sparse.task("predict").grid
    for task in sparse.tasks:
        times = [a // b for a, b in zip(task.grid.block_vx, BLOCK_VX, strict=True)]  # more than 1 on upper levels
        places = [[p // t for p, t in zip(fine[i].position, times, strict=True)] for i in tissue]
        expected = sorted({task.grid.at((z, y, x)).index for z, y, x in places})
        if task.name == "components":
            expected = [0]
        assert list(task.blocks) == expected
        key = bind_output(task).key
        assert [row["block"] for row in ledger.blocks(key)] == expected
        assert ledger.task(key).blocks == ledger.summary(key).done == len(expected)
        assert ledger.task(key).voxels == ledger.summary(key).voxels == task.voxels
    ledger.close()
    assert [stage.summary.done for stage in finished_stages(sparse)] == [len(task.blocks) for task in sparse.tasks]
    assert [row["blocks"] for row in sparse.describe()] == [len(task.blocks) for task in sparse.tasks]
    status = read_status(str(Path(sparse.config.output)))
    assert [(row["blocks"], row["done"]) for row in status] == [(len(task.blocks),) * 2 for task in sparse.tasks]
    assert not block_file(sparse.output("edges"), 2).exists()


def test_tissue_is_as_if_every_block_were_done(inputs, tmp_path, sparse):
    whole = make_plan(configure(inputs, tmp_path, "fine"))
    do_every_block(whole)
    assert voxels(whole) == voxels(sparse)
    inside = Volume.open(inputs / "mask.zarr/fine").read() > 0
    segmentation = Volume.open(sparse.output("relabel")).read()
    assert len(np.unique(segmentation)) > 4
    assert not segmentation[~inside].any()
    affs = Volume.open(sparse.output("predict")).read()
    unmasked = Volume.open(
        segment_volume(configure(inputs, tmp_path / "all", None), upto="predict").output("predict")
    ).read()
    assert (affs == unmasked * inside).all()


def test_a_coarse_mask_is_its_upsampled_one(inputs, tmp_path, sparse):
    fine = segment_volume(configure(inputs, tmp_path, "fine"))
    assert [list(task.blocks) for task in fine.tasks] == [list(task.blocks) for task in sparse.tasks]
    assert voxels(fine) == voxels(sparse)


def test_a_resumed_run_does_what_is_left_of_the_tissue(inputs, tmp_path, sparse):
    config = configure(inputs, tmp_path, "coarse")
    segment_volume(config, upto="fragments")
    ledger = open_ledger(config.ledger_url)
    task = bind_output(make_plan(config).task("fragments"))
    kept = ledger.blocks(task.key)
    with ledger._connection() as connection:  # as if killed before these were on record
        connection.execute("DELETE FROM blocks WHERE fingerprint = ? AND block IN (4, 35)", (task.key,))
    plan = segment_volume(configure(inputs, tmp_path, "coarse", execution=Execution(workers=2)), upto="fragments")
    again = {row["block"]: row for row in ledger.blocks(task.key)}
    assert sorted(again) == [row["block"] for row in kept]
    assert [row["block"] for row in kept if again[row["block"]]["finished"] != row["finished"]] == [4, 35]
    assert (Volume.open(plan.output("fragments")).read() == Volume.open(sparse.output("fragments")).read()).all()
    ledger.close()


def test_a_mask_counts_in_every_fingerprint_and_no_mask_in_none(inputs, tmp_path, sparse):
    none, mask = (make_plan(configure(inputs, tmp_path, name)) for name in (None, "fine"))
    for plain, masked, coarse in zip(none.tasks, mask.tasks, sparse.tasks, strict=True):
        assert len({plain.fingerprint, masked.fingerprint, coarse.fingerprint}) == 3
        assert plain.tissue is None
    edited = Volume.open(inputs / "mask.zarr/fine", "r+")
    before = edited.read()
    edited.data[20, 20, 20] = 1  # a block more, and nothing else about the file tells
    try:
        changed = make_plan(configure(inputs, tmp_path, "fine"))
    finally:
        edited.write(edited.roi, before)
    assert changed.task("predict").fingerprint != mask.task("predict").fingerprint


def test_a_mask_without_tissue_is_a_volume_without_neurons(inputs, tmp_path, caplog):
    raw = Volume.open(inputs / "raw.zarr/raw")
    Volume.create(tmp_path / "mask.zarr/mask", raw.shape_vx, raw.voxel_size_nm, np.uint8, offset_nm=raw.offset_nm)
    given = {name: str(inputs / path) for name, path in (("raw", "raw.zarr/raw"), ("backbone", "backbone"))}
    forget_warnings()
    plan = segment_volume(configure(tmp_path, tmp_path / "run", "mask", **given))
    assert f"{tmp_path / 'mask.zarr/mask'}: the mask is 0 everywhere in [" in caplog.text
    assert not Volume.open(plan.output("relabel")).read().any()


def test_a_lost_file_of_a_block_with_tissue_is_not_taken_for_none(inputs, tmp_path):
    config = configure(inputs, tmp_path, "coarse")
    plan = segment_volume(config, upto="edges")
    lost = block_file(plan.output("edges"), 5)
    kept = lost.read_bytes()
    lost.unlink()
    segment_volume(config)  # which does the block again
    assert lost.read_bytes() == kept
