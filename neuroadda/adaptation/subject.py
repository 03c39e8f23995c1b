"""What a tuning is about, by the folder of an adaptation or of a segmentation."""

from pathlib import Path
from typing import Any

from neuroadda.adaptation.state import BACKBONE
from neuroadda.adaptation.status import SUMMARY
from neuroadda.config import load_config_file
from neuroadda.errors import UserError
from neuroadda.runs.config import find_relocation, read_config, with_places
from neuroadda.runs.folder import CONFIG
from neuroadda.volumes.storage.locations import to_location


def read_subject(place: str) -> dict[str, Any]:
    """Return keys of a `TuneConfig`: of an adaptation its raw, adapted backbone and boxes; of a run its raw and backbone.

    Anything else is taken for raw.

    Raises
    ------
    UserError
        If it is an adaptation without a backbone, or a run of several.
    """
    folder = to_location(place)
    if not isinstance(folder, Path):
        return {"raw": place}
    if (decided := read_config(folder)) is not None:
        keys = {key: decided.get(key) for key in ("raw", "backbone", "no_data", "any_voxel_size")}
        if isinstance(keys["backbone"], list):
            raise UserError(
                "this run has several backbones: a tuning is of one", place, "give RAW LABELS --backbone NAME"
            )
        return keys
    if not (folder / SUMMARY).is_file():
        return {"raw": place}
    if not (folder / BACKBONE).exists():
        raise UserError("this adaptation has no backbone yet", place, "`neuroadda status` tells what it waits for")
    known = load_config_file(folder / CONFIG)
    known = with_places(known, find_relocation(folder).find, ("raw", "no_data"))
    keys = {"raw": known["raw"], "linked": known["labels"]["linked"], "no_data": known.get("no_data")}
    return keys | {"backbone": str(folder / BACKBONE), "proposals": place, "any_voxel_size": True}
