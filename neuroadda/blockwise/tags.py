"""What an output carries to say which task made it, and of which blocks."""

import json
from pathlib import Path
from typing import Any

from neuroadda.blockwise.blockset import BlockSet
from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import fingerprint
from neuroadda.volumes.nodes import is_array, read_attributes
from neuroadda.volumes.places import Place

TAG_FILE = "task.json"


def read_tag(output: Place) -> dict[str, Any] | None:
    """Return the tag of an output array or folder; None when nothing is there, empty when it has none.

    A tag without an array is what is left where one was being made or removed: nothing is there.
    """
    if is_array(output):
        return read_attributes(output)
    try:
        return dict(json.loads((output / TAG_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None if not output.exists() or read_attributes(output).get("instance") else {}


def read_key(output: Place) -> str | None:
    """Return the ledger's key of the task that made an output; None where there is no output of a task."""
    tag = read_tag(output) or {}
    return fingerprint(tag["fingerprint"], tag["instance"]) if tag.get("instance") else None


def blocks_in(folder: Path, grid: BlockGrid) -> BlockSet:
    """Return the blocks that a finished task with that grid has left files of in its folder."""
    tissue = (read_tag(folder) or {}).get("tissue")
    return BlockSet.full(len(grid)) if tissue is None else BlockSet.load(tissue, len(grid))
