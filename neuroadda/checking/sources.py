"""Look at a file or folder of a foreign format, as `neuroadda import` would."""

from pathlib import Path
from typing import Any

from neuroadda.checking.findings import Findings
from neuroadda.volumes.contents.kinds import describe_label_signs, guess_kind
from neuroadda.volumes.importing import take_source
from neuroadda.volumes.readers import open_source
from neuroadda.volumes.storage.locations import Location, to_location
from neuroadda.volumes.storage.nodes import GROUP_METADATA, find_n5, is_array
from neuroadda.volumes.storage.urls import LAYERS

IMPORT = "see `neuroadda import --help` for the option that says it"


def is_source(place: Location | str) -> bool:
    """Tell whether a place is none of ours, but may be imported."""
    if isinstance(place, str) and place.startswith(LAYERS):
        return True
    location = to_location(place)
    if not isinstance(location, Path) or not location.exists():
        return False
    ours = is_array(location) or find_n5(location) or any((location / name).is_file() for name in GROUP_METADATA)
    return location.is_file() or not ours


def check_source(findings: Findings, where: str, place: Location | str) -> None:
    """Look at what a foreign file says of itself, and at a few sections: is it raw?"""
    facts = findings.attempt(where, IMPORT, _describe, place)
    if facts is None:
        return
    notes, signs = facts.pop("notes"), facts.pop("signs")
    findings.facts = facts
    for note in notes:
        findings.doubt(where, note, IMPORT)
    if facts["voxel_size_nm"] is None:
        findings.doubt(where, "it does not say its voxel size", "give --voxel-size Z Y X (nm) when you import it")
    if signs is not None:
        findings.doubt(where, signs, "say --kind raw or --kind labels when you import it")
    if facts["dtype"].startswith("float"):
        findings.doubt(
            where, f"its data type is {facts['dtype']}", "scale raw to uint8 first; labels are whole numbers"
        )
    findings.note(where, f"`neuroadda import {where} volume.zarr/raw` makes it a volume that runs read")


def _describe(place: Location | str) -> dict[str, Any]:
    with open_source(place) as opened:
        kind = guess_kind(opened)
        source = take_source(opened, kind)
        return {
            "path": str(source.location),
            "dataset": source.dataset,
            "datasets": list(source.datasets),
            "shape": list(source.shape),
            "dtype": str(source.dtype),
            "voxel_size_nm": None if source.voxel_size_nm is None else list(source.voxel_size_nm),
            "offset_nm": None if source.offset_nm is None else list(source.offset_nm),
            "attributes": source.attributes,
            "notes": list(source.notes),
            "signs": describe_label_signs(opened) if kind == "raw" else None,
        }
