"""What the workers of a task have used, by the ledger."""

from dataclasses import dataclass

from neuroadda.ledger.base import Ledger


@dataclass(frozen=True)
class Usage:
    """What the workers of a task have used: processor time, together, and the most memory that one of them held at once."""

    cpu_seconds: float
    peak_bytes: int | None


def sum_usage(ledger: Ledger, fingerprint: str) -> Usage:
    """Return what a task's workers have used, from the records of its blocks.

    A worker tells what it has used so far, since its start: the last word of each counts.
    """
    seconds, peaks = dict[tuple[str, int], float](), [0]
    for columns in ledger.columns(fingerprint):
        for worker in columns.workers:
            place = worker.host, worker.pid
            seconds[place] = max(seconds.get(place, 0.0), worker.cpu_seconds or 0.0)
            peaks.append(worker.peak_bytes or 0)
    return Usage(sum(seconds.values()), max(peaks) or None)
