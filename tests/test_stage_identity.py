"""A task's identity: kind, version, parameters, inputs and grid, and nothing else. A file that is moved changes no fingerprint."""

import importlib
import pkgutil

import pytest
from funlib.geometry import Coordinate, Roi

import neuroadda
from neuroadda.active.uncertainty import Uncertainty
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.blockwise.task import STAGES, Stage, Task
from neuroadda.forecast.overhead import Empty
from neuroadda.prediction.predict import Predict
from neuroadda.publishing.fragment_numbers import NumberFragments, PlaceFragments
from neuroadda.publishing.mags import Mag, WriteMag
from neuroadda.publishing.mapping_stage import WriteMapping
from neuroadda.publishing.meshes import JoinMeshes, MeshBlocks
from neuroadda.publishing.precomputed_scales import PrecomputedScale, WritePrecomputed
from neuroadda.publishing.segment_table import Chosen
from neuroadda.publishing.segments import ListSegments, MeasureSegments
from neuroadda.publishing.skeletons import WriteSkeletons
from neuroadda.publishing.tables import WriteTables
from neuroadda.pyramids.downsampling import CopyLabels, Downsample
from neuroadda.segmentation.agglomerate import AgglomerateLevel
from neuroadda.segmentation.by_waterz import AgglomerateByWaterz
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.edges import CollectEdges
from neuroadda.segmentation.fragments import Fragments
from neuroadda.segmentation.relabel import Relabel

GRID = BlockGrid.make(Roi((0, 0, 0), (80, 320, 320)), Coordinate(10, 5, 5), (4, 32, 32), (1, 8, 8))
CHOSEN = Chosen(min_size=1000, ids=None)
SCALE = PrecomputedScale(
    layer="segmentation",
    data_type="uint64",
    channels=None,
    begin_vx=(0, 0, 0),
    shape_vx=(8, 64, 64),
    voxel_size_nm=(30, 6, 6),
    chunk_vx=(4, 32, 32),
    shard_bits=0,
)
MAG = Mag(
    layer="fragments",
    data_type="uint32",
    channels=None,
    begin_vx=(0, 0, 0),
    shape_vx=(8, 64, 64),
    voxel_size_nm=(30, 6, 6),
    chunk_vx=(4, 32, 32),
    mag=(1, 1, 1),
)
# A digest changes only with the stage's version or parameters: users' finished outputs depend on it.
FROZEN: dict[str, tuple[Stage, str]] = {
    "predict": (
        Predict(tile_vx=(4, 32, 32), device="cpu", precision="float32"),
        "9bb485b3b830a5b0e424a67dcb175281b952bf9c1be842b7f6450ee90b4606b7",
    ),
    "fragments of ascent": (
        Fragments(method="ascent", sections=False),
        "ea8c20c988dbc32eca19d8e2b34a88e13e9302d04e8ad0c6b04014e7e85e3e42",
    ),
    "fragments of seeds": (
        Fragments(method="seeds", sections=True),
        "19a9ec804ea7b8d19d5fa4933dd3c6948fe74bfb162420fa56d45ae9129eb229",
    ),
    "edges": (CollectEdges(), "92cb8873c0568bee2e3a7c87ea21c18c1938d5301449441813c25f3bc7b34ee1"),
    "agglomerate": (
        AgglomerateLevel(limit=0.8, level=0, blocks=GRID),
        "bf1ef00d1826bc799c91b9f525f976e92e912446f5ff5279d4d6a555cf3dac28",
    ),
    "waterz": (
        AgglomerateByWaterz(limit=0.8, scoring="waterz:mean"),
        "1a30f231fd58dcd277d76b7371c50a51c2cff47b21566c26438d14ca491758d3",
    ),
    "components": (
        Components(threshold=0.5, blocks=GRID),
        "af4960f63fb40011dbbc6b1412ffb5428540a4fd83be868020a10f7f045f5793",
    ),
    "relabel": (Relabel(), "8159d02d498df8cbe87ae201af3748bc92ae606d7515762c586e11870ac21f16"),
    "downsample": (
        Downsample(method="mean", factor=(1, 2, 2)),
        "0ba8294203367c8c11c2c82b9daa88c6fa6ab23410fbd4a9a14da62f23eabfd8",
    ),
    "copy_labels": (CopyLabels(), "98ddd80714e2fbc353f639779c48d944462515a005f8b3f92bee112ff8e70381"),
    "uncertainty": (
        Uncertainty(cell_vx=(4, 8, 8), fragments=Fragments(method="seeds")),
        "170285759155dfe9b57dd9b55a235c203b85f34e2b133eafaede17f15e1beb68",
    ),
    "precomputed": (
        WritePrecomputed(scale=SCALE, finer=None, factor=(1, 1, 1), method="mode"),
        "2b477351197ddd80704f319e3b7300ff6db8bcf2478f10f3afd0e48d97eb1a4d",
    ),
    "measure_segments": (MeasureSegments(), "7b5b9f51407d36c2b6633691b2e64eb8dcbb611053127db32dc8e63cdab5d66c"),
    "list_segments": (ListSegments(blocks=GRID), "f15dc298027c874cb1be7b6723095de2ddcb24b4f10d20a89116db9fba9420cc"),
    "mesh_blocks": (
        MeshBlocks(chosen=CHOSEN, voxel_size_nm=(30, 6, 6), max_error_nm=30),
        "130ae7546ef2b6b59d0c28c0d6037c432f93f4d2c673329a319356877d395346",
    ),
    "join_meshes": (
        JoinMeshes(form="ply", chosen=CHOSEN, blocks=GRID, voxel_size_nm=(30, 6, 6), max_error_nm=30),
        "300f4392565a556d2dd2b850ec874d037ed8ee9f79947ea02f483e6f1baa5fbb",
    ),
    "skeletons": (
        WriteSkeletons(form="swc", chosen=CHOSEN, blocks=GRID, voxel_size_nm=(30, 6, 6)),
        "fb486985bfe8d878f30d6756dbb27359d2b4a6d0917adb25208f1bf1b50781f7",
    ),
    "fragment_places": (PlaceFragments(), "63705ecd327fd50c1c782a5483b6a5833e9e0d1b61504fe37c0f2bb4f8abe6ad"),
    "fragment_numbers": (
        NumberFragments(blocks=GRID),
        "ea26399d91275bb10e50d4031e1e9e0cbb002ae672cc2d2a7780d4669f7ab142",
    ),
    "webknossos_layer": (
        WriteMag(scale=MAG, finer=None, factor=(1, 1, 1), method="mode"),
        "5942502f9d558c5992bea963ec5283c5b4d6bbedc22f914e79da20b0b86113ce",
    ),
    "webknossos_mapping": (
        WriteMapping(mapping="threshold_0.5", data_type="uint32", blocks=GRID),
        "29c5c5ae250c293261046d5f60c32aa347c8d5af11378a1e786e2395046d423a",
    ),
    "tables": (WriteTables(blocks=GRID), "326a7f4538b1c91119f495719f66f44f4cb5f6a09de2df037257dc9c9c6995ac"),
    "empty": (Empty(), "91751156b191b634cd715e95565e6636451b7f86a2f9875e4208a8ebf63dfafb"),
}


def bind(stage: Stage) -> Task:
    return Task.make(stage, {"source": ("in.zarr/source", "sha256-of-source")}, "out.zarr/made", GRID, (4, 32, 32))


@pytest.mark.parametrize("name", FROZEN)
def test_the_digest_of_a_stage_is_frozen(name):
    stage, digest = FROZEN[name]
    assert stage.kind == name.split()[0]
    assert bind(stage).fingerprint == digest


def test_scorings_are_not_taken_for_each_other():
    """The default is no part of the edges' identity; it was there before the others."""
    assert "scoring" not in bind(CollectEdges(scoring="mean")).parameters
    scorings = ("mean", "contraharmonic", "quantile_75", "quantile_76", "quantile_75_root")
    tasks = [bind(CollectEdges(scoring=scoring)) for scoring in scorings]
    assert len({task.fingerprint for task in tasks}) == len(scorings)
    assert [task.bound.scoring for task in tasks] == list(scorings)


def test_every_stage_of_the_package_is_frozen():
    for module in pkgutil.walk_packages(neuroadda.__path__, "neuroadda."):
        if ".kernels" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = {kind for kind, stage in STAGES.items() if stage.__module__.startswith("neuroadda.")}
    assert ours == {name.split()[0] for name in FROZEN}


def test_where_a_stage_lies_is_no_part_of_its_identity():
    task = bind(Relabel())
    fields = task.model_dump()
    moved = Task.model_validate(fields | {"implementation": "elsewhere.relabelling:Relabelling"})
    assert moved.fingerprint == task.fingerprint
    other = {"kind": "other", "version": task.version + 1, "parameters": {"a": 1}, "input_fingerprints": {}}
    for key, value in other.items():
        assert Task.model_validate(fields | {key: value}).fingerprint != task.fingerprint


def test_a_kind_belongs_to_one_stage():
    with pytest.raises(TypeError, match="two stages are of the kind 'relabel'"):
        type("Other", (Stage,), {"__module__": __name__, "__annotations__": {}, "kind": "relabel"})
    assert STAGES["relabel"] is Relabel
