"""What both stores share: records as plain data, the rule by which they add up, failures in groups."""

import json
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from neuroadda.ledger.base import STATUSES, BlockColumns, BlockRecord, FailureGroup, Worker

BLOCK_FIELDS = (
    "block",
    "status",
    "tries",
    "worker",
    "started",
    "finished",
    "seconds",
    "voxels",
    "results",
    "failure",
)

LATEST = 512  # blocks done last, from which the rate is measured
NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


def to_json(value: Any) -> str:
    """Return JSON text; NumPy scalars and arrays become plain numbers and lists."""
    return _ENCODER.encode(value)


def _unwrap(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"the ledger cannot store a {type(value).__name__}")


_ENCODER = json.JSONEncoder(default=_unwrap)  # `json.dumps` would make a new one for every value


def to_plain(value: Any) -> Any:
    """Return a copy made of dict, list, str, int, float, bool and None alone."""
    return json.loads(to_json(value))


def block_document(record: BlockRecord) -> dict[str, Any]:
    """Return what is stored of a record (`BLOCK_FIELDS`); ``tries`` is what it adds to the stored count."""
    return {
        "block": record.block,
        "status": record.status,
        "tries": record.attempts,
        "worker": vars(record.worker),
        "started": record.started,
        "finished": record.finished,
        "seconds": record.seconds,
        "voxels": record.voxels,
        "results": record.results,
        "failure": record.failure and vars(record.failure),
    }


def coalesce(records: Iterable[BlockRecord]) -> list[BlockRecord]:
    """Return one record a block that says all they say in turn: the last counts, done stays, attempts add up."""
    merged: dict[tuple[str, int], BlockRecord] = {}
    for record in records:
        key = record.fingerprint, record.block
        merged[key] = follow(merged.get(key), record)
    return list(merged.values())


def follow(earlier: BlockRecord | None, later: BlockRecord) -> BlockRecord:
    """Return one record that says what `earlier` and then `later` say of the same block."""
    if earlier is None:
        return later
    kept = earlier if earlier.status == "done" and later.status != "done" else later
    return kept.model_copy(update={"attempts": earlier.attempts + later.attempts})


def group_failures(failed: Iterable[tuple[int, dict[str, Any] | None]]) -> list[FailureGroup]:
    """Group (block, failure) by error type and message: largest first, each as its lowest block tells it.

    Numbers in a message, such as a block's place, make no other error.
    """
    unknown = {"type": "unknown", "message": "", "traceback": ""}
    groups: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for block, stored in failed:
        failure = stored or unknown
        groups.setdefault((failure["type"], NUMBER.sub("#", failure["message"])), {})[block] = failure
    found = [FailureGroup(**blocks[min(blocks)], blocks=sorted(blocks)) for blocks in groups.values()]
    return sorted(found, key=lambda group: (-len(group.blocks), group.blocks[0]))


def measure_rate(latest: Sequence[tuple[float, float, int]]) -> float | None:
    """Return voxels a second, from (started, finished, voxels) of the `LATEST` blocks done last, in any order.

    Blocks done side by side share their time, and time in which none was at work does not count: the rate is that of all workers
    together, whatever they wait for, and of the last run where it was stopped and goes on.
    """
    by_finish = sorted(latest, key=lambda block: block[1])
    begin = min((started for started, _, _ in by_finish), default=0.0)
    if len(by_finish) == LATEST:  # there may be earlier ones: the first of these only says when the others count from
        begin = by_finish.pop(0)[1]
    seconds, upto = 0.0, begin
    for started, finished in sorted((max(started, begin), finished) for started, finished, _ in by_finish):
        seconds += max(0.0, finished - max(started, upto))
        upto = max(upto, finished)
    return sum(voxels for _, _, voxels in by_finish) / seconds if seconds > 0 else None


def to_columns(
    rows: Sequence[Sequence[Any]], identify: Callable[[Any], Hashable], parse: Callable[[Any], dict[str, Any]]
) -> BlockColumns:
    """Turn rows (block, status, when, seconds, worker) into columns.

    Parameters
    ----------
    identify
        What tells stored workers apart.
    parse
        A stored worker as plain data; called once for each that is told apart, since it costs more than all else.
    """
    blocks, names, whens, seconds, stored = zip(*rows, strict=True)
    code = {name: place for place, name in enumerate(STATUSES)}
    statuses, when = np.array([code[name] for name in names], np.uint8), np.array(whens, np.float64)
    keys = [identify(worker) for worker in stored]
    # A worker's last finished block knows most of it.
    order = np.lexsort((when, statuses == code["done"])).tolist()
    latest = {keys[row]: stored[row] for row in order}
    place_of = {key: place for place, key in enumerate(latest)}
    return BlockColumns(
        np.array(blocks, np.int64),
        statuses,
        when,
        np.array(seconds, np.float64),
        np.array([place_of[key] for key in keys], np.int64),
        tuple(Worker(**parse(worker)) for worker in latest.values()),
    )
