"""``--to precomputed``: Neuroglancer's format: raw, affinities, segmentation with its properties, meshes and skeletons.

The ``info`` of each volume is written last: without it no reader takes what is there for a volume.
"""

from typing import Any

from neuroadda.blockwise.outputs import bind_output
from neuroadda.config import dump_json
from neuroadda.errors import UserError
from neuroadda.publishing.meshes import write_meshes
from neuroadda.publishing.precomputed_scales import PrecomputedScale, WritePrecomputed, describe_scales, plan_scales
from neuroadda.publishing.publication import Publication, require_packages
from neuroadda.publishing.scale_stage import make_scale_tasks
from neuroadda.publishing.scales import IMAGES, Layer
from neuroadda.publishing.segment_table import Chosen, describe_segments
from neuroadda.publishing.segments import list_segments
from neuroadda.publishing.skeletons import write_skeletons
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.locations import Location, remove
from neuroadda.volumes.storage.placing import write_file

INFO, MESH, SKELETONS, PROPERTIES = "info", "mesh", "skeletons", "segment_properties"


def check(publication: Publication, name: str) -> None:
    """Raise UserError if a package is missing or a volume cannot be written so."""
    config = publication.config
    require_packages(f"--to {name}", "tensorstore", *(["zmesh"] if config.meshes else []))
    if config.affs:
        publication.require_run("--affs")
    for layer, volume in _list_layers(publication):
        if layer != "segmentation" and str(volume.dtype) not in IMAGES:
            what = f"its data type is {volume.dtype}"
            raise UserError(what, str(volume.path), f"precomputed images are {', '.join(IMAGES)}")
        _plan(publication, layer, volume)


def publish(publication: Publication, name: str) -> None:
    """Write ``precomputed/raw``, ``affs`` (if wanted) and ``segmentation``."""
    for layer, volume in _list_layers(publication):
        folder, scales = publication.folder / name / layer, _plan(publication, layer, volume)
        for task in make_scale_tasks(WritePrecomputed, scales, {"source": publication.source(layer)}, folder):
            if bind_output(task) is None:
                remove(folder / INFO)
            publication.run(task)
        more = _write_segments(publication, folder) if layer == "segmentation" else {}
        write_file(folder / INFO, dump_json(describe_scales(scales) | more))


def _write_segments(publication: Publication, folder: Location) -> dict[str, Any]:
    """Write properties, meshes and skeletons; return what ``info`` says of them."""
    config, found = publication.config, {PROPERTIES: PROPERTIES}
    table, _, _ = list_segments(publication)
    rows = Chosen(min_size=config.min_size, ids=None).find_rows(table)
    properties = describe_segments(table, rows, publication.segmentation.voxel_size_nm)
    write_file(folder / PROPERTIES / INFO, dump_json(properties))
    if config.meshes and write_meshes(publication, "precomputed", folder / MESH):
        found[MESH] = MESH
    if config.skeletons and write_skeletons(publication, "precomputed", folder / SKELETONS):
        found[SKELETONS] = SKELETONS
    return found


def _list_layers(publication: Publication) -> list[tuple[Layer, Volume]]:
    layers: dict[Layer, Volume | None] = {
        "raw": publication.raw,
        "affs": publication.affs if publication.config.affs else None,
        "segmentation": publication.segmentation,
    }
    return [(layer, volume) for layer, volume in layers.items() if volume is not None]


def _plan(publication: Publication, layer: Layer, volume: Volume) -> list[PrecomputedScale]:
    config = publication.config
    return plan_scales(layer, volume, publication.segmentation, config.chunk_vx, config.fit_vx, config.shard_above)
