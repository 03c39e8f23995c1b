"""``--to webknossos``: a data set of WEBKNOSSOS: raw, the fragments, and mappings that make segments of them.

The form: docs.webknossos.org, "datasource-properties.json Specification". That file is written last: without it there is no data
set.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuroadda.blockwise.outputs import TAG_FILE, bind_output
from neuroadda.blockwise.task import Task
from neuroadda.config import write_json
from neuroadda.errors import UserError
from neuroadda.publishing.fragment_numbers import find_no_data, number_fragments, read_numbering
from neuroadda.publishing.mags import Mag, WriteMag, plan_mags
from neuroadda.publishing.mapping_stage import WriteMapping
from neuroadda.publishing.publication import WORK, Publication, require_packages
from neuroadda.publishing.scale_stage import make_scale_tasks
from neuroadda.publishing.scales import IMAGES
from neuroadda.publishing.segments import make_row_grid
from neuroadda.publishing.zarr3 import METADATA
from neuroadda.segmentation.components import Components
from neuroadda.segmentation.edited_fragments import EDITS, FRAGMENTS
from neuroadda.volumes.storage.locations import Location, remove, to_location

DATASET, MAPPINGS, CORRECTED = "datasource-properties.json", "agglomerates", "corrected"
NAME, RAW = "webknossos", "raw"
ELEMENTS = {"float32": "float"}  # other types have the same name


def check(publication: Publication, name: str) -> None:
    """Raise UserError if there is no run, a package is missing, or it cannot hold the volumes or the thresholds."""
    plan, raw = publication.require_run(f"--to {name}"), publication.raw
    require_packages(f"--to {name}", "tensorstore")
    assert raw is not None
    if str(raw.dtype) not in IMAGES:
        raise UserError(f"its data type is {raw.dtype}", str(raw.path), f"layers of WEBKNOSSOS are {', '.join(IMAGES)}")
    if min(_plan(publication, RAW, str(raw.dtype))[0].begin_vx) < 0:
        what = f"it begins before voxel 0, at {publication.segmentation.offset_nm} nm, which WEBKNOSSOS does not allow"
        raise UserError(what, str(raw.path), "import it with another --offset")
    limit = plan.config.agglomerate.limit
    if publication.config.thresholds and (highest := max(publication.config.thresholds)) > limit:
        what = f"threshold {highest:g} is above segment.agglomerate.limit, {limit:g}, of the run"
        raise UserError(what, "--thresholds", "choose lower ones, or segment with a higher limit")


def publish(publication: Publication, name: str) -> None:
    """Write ``webknossos/raw``, ``webknossos/fragments`` and the mappings of these."""
    folder = publication.find_folder(name)
    numbers = number_fragments(publication)
    count = int(read_numbering(numbers[0]).first[-1])
    data_type = "uint32" if count < 2**32 else "uint64"
    raw = publication.raw
    assert raw is not None
    of_raw, of_fragments = _plan(publication, RAW, str(raw.dtype)), _plan(publication, FRAGMENTS, data_type)
    _write_layer(publication, folder, of_raw, {"source": publication.source(RAW)})
    given = {"source": publication.source(FRAGMENTS), "numbers": numbers, **find_no_data(publication)}
    _write_layer(publication, folder, of_fragments, given)
    mappings = _write_mappings(publication, folder, numbers, data_type)
    described = [_describe_layer(of_raw, "color"), _describe_layer(of_fragments, "segmentation")]
    attached = [{"name": m, "path": f"./{FRAGMENTS}/{MAPPINGS}/{m}", "dataFormat": "zarr3"} for m in mappings]
    described[1] |= {
        "largestSegmentId": count,
        "attachments": {MAPPINGS: attached},
        "defaultViewConfiguration": {"mapping": {"name": mappings[0], "type": "HDF5"}},
    }
    dataset = {
        "version": 1,
        "id": {"name": folder.parent.absolute().name, "team": ""},
        "scale": {"factor": list(raw.voxel_size_nm[::-1]), "unit": "nanometer"},
        "dataLayers": described,
    }
    write_json(folder / DATASET, dataset)


def is_dataset(folder: Path) -> bool:
    """Tell whether a folder is a data set of WEBKNOSSOS, or of those that we publish one that is not finished."""
    return (folder / DATASET).is_file() or (folder.name == NAME and (folder.parent / WORK).is_dir())


def _plan(publication: Publication, layer: Any, data_type: str) -> list[Mag]:
    config, volume = publication.config, getattr(publication, layer)
    return plan_mags(layer, data_type, volume, publication.segmentation, config.chunk_vx, config.fit_vx)


def _write_layer(publication: Publication, folder: Path, mags: list[Mag], inputs: dict[str, Any]) -> None:
    place = folder / mags[0].layer
    for task, mag in zip(make_scale_tasks(WriteMag, mags, inputs, place), mags, strict=True):
        _run(publication, folder, task)
        write_json(place / mag.key / METADATA, mag.metadata)


def _write_mappings(publication: Publication, folder: Path, numbers: tuple[Path, str], data_type: str) -> list[str]:
    """Write all mappings, remove those of earlier calls, and return the names; the first is the run's segmentation."""
    plan = publication.require_run(MAPPINGS)
    components = plan.task("components")
    bound = components.bound
    assert isinstance(bound, Components)
    given = {n: (to_location(path), components.input_fingerprints[n]) for n, path in components.inputs.items()}
    edits = {name: given.pop(name) for name in (EDITS, FRAGMENTS) if name in given}
    place = folder / FRAGMENTS / MAPPINGS

    def plan_mapping(mapping: str, lut: tuple[Location, str], edits: Mapping[str, Any], base: str = "") -> Task:
        stage = WriteMapping(mapping=mapping, data_type=data_type, blocks=bound.blocks)
        inputs = {"edges": given["edges"], "numbers": numbers, "lut": lut, **edits}
        return Task.make(stage, inputs, place / mapping, make_row_grid(1, 1), base=base)

    tasks = []
    own: tuple[Location, str] = (plan.folder("components"), components.fingerprint)
    if edits:
        base = plan_mapping(CORRECTED, (own[0], components.base), {}).fingerprint
        tasks.append(plan_mapping(CORRECTED, own, edits, base))
    for threshold in dict.fromkeys((bound.threshold, *publication.config.thresholds)):
        mapping, lut = f"threshold_{threshold}", own
        if edits or threshold != bound.threshold:
            stage = bound.model_copy(update={"threshold": threshold})
            task = publication.run(Task.make(stage, given, publication.work / "luts" / mapping, components.grid))
            lut = (Path(task.output), task.fingerprint)
        tasks.append(plan_mapping(mapping, lut, {}))
    for task in tasks:
        _run(publication, folder, task)
    names = [Path(task.output).name for task in tasks]
    for other in place.iterdir():
        if other.name not in names and (other / TAG_FILE).is_file():
            remove(other)
    return names


def _run(publication: Publication, folder: Path, task: Task) -> None:
    """Run a task; where its output is not there yet, there is no data set until all is written."""
    if bind_output(task) is None:
        (folder / DATASET).unlink(missing_ok=True)
    publication.run(task)


def _describe_layer(mags: list[Mag], category: str) -> dict[str, Any]:
    """Return what the data set says of a layer.

    Of magnifications with the same largest factor WEBKNOSSOS takes one alone: the first is named.
    """
    first: dict[int, Mag] = {}
    for mag in mags:
        first.setdefault(max(mag.mag), mag)
    finest = mags[0]
    width, height, depth = finest.shape_vx[::-1]
    return {
        "name": finest.layer,
        "category": category,
        "boundingBox": {"topLeft": list(finest.begin_vx[::-1]), "width": width, "height": height, "depth": depth},
        "elementClass": ELEMENTS.get(finest.data_type, finest.data_type),
        "dataFormat": "zarr3",
        "numChannels": finest.channels or 1,
        "mags": [
            {
                "mag": list(mag.mag[::-1]),
                "path": f"./{mag.layer}/{mag.key}",
                "axisOrder": {"c": 0, "x": 1, "y": 2, "z": 3},
            }
            for mag in first.values()
        ],
    }
