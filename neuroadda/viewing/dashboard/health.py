"""Is the run healthy? One sentence, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from neuroadda.blockwise.ledger.base import Summary
from neuroadda.formats import format_seconds

State = Literal["empty", "running", "finished", "failed", "stalled", "stopped"]

QUIET_SECONDS = 120.0  # without a record, at least, before a run is said to stand still
QUIET_BLOCKS = 3.0  # and as many times its longest block
FIRST_SECONDS = 600.0  # as long as no block is done, nobody knows how long one takes
BETWEEN_SECONDS = 30.0  # a stage that has just begun, or just ended
GO_ON = "Run the same command again to go on: what is done is kept."


@dataclass(frozen=True)
class Pulse:
    """What is looked at of a stage.

    Attributes
    ----------
    blocks
        To be done.
    longest
        Seconds that its longest block took.
    last
        Its last record, or when it was begun; seconds since the epoch.
    """

    name: str
    blocks: int
    summary: Summary
    longest: float
    last: float

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self.summary.done >= self.blocks

    @property
    def patience(self) -> float:
        """Seconds without a record after which it stands still."""
        return max(QUIET_SECONDS, QUIET_BLOCKS * self.longest) if self.summary.done else FIRST_SECONDS


@dataclass(frozen=True)
class Health:
    """How a run does: the sentence says why, the advice what to do (which may be nothing)."""

    state: State
    sentence: str
    advice: str


def judge(pulses: Sequence[Pulse], now: float) -> Health:
    """Judge a run by the stage that was last at work, among those that are not done."""
    if not pulses:
        return Health("empty", "Nothing has begun: the ledger holds no stage yet.", "")
    open_ = [pulse for pulse in pulses if not pulse.is_done]
    if not open_:
        return _judge_done(pulses, now)
    stage = max(open_, key=lambda pulse: pulse.last)
    summary, quiet = stage.summary, max(0.0, now - stage.last)
    done = f"{summary.done:,} of {_count(stage.blocks)} done ({_percent(summary.done, stage.blocks)})"
    ago = _ago(quiet)
    failed = f"{_count(summary.failed)} failed"
    if summary.running and quiet > stage.patience:
        longest = f"; its longest block so far took {format_seconds(stage.longest)}" if summary.done else ""
        return Health(
            "stalled",
            f"Stalled: {_count(summary.running)} of {stage.name} marked as running, "
            f"but nothing was recorded for {ago}{longest}. {done}.",
            f"Look whether the run's processes are alive; if they are not, they were killed. {GO_ON}",
        )
    if summary.running or (quiet < BETWEEN_SECONDS and not summary.failed):
        return Health(
            "running",
            f"Running: {stage.name} has {done}; the last record is {ago} old"
            + (f". But {failed}: see below why." if summary.failed else ", and nothing failed."),
            "",
        )
    if summary.failed:
        return Health(
            "failed",
            f"Failed: {failed} in {stage.name} and none is running; {done}. The last record is {ago} old.",
            "Below is why, and how to finish.",
        )
    return Health(
        "stopped",
        f"Stopped: nothing of {stage.name} is running, and nothing failed; {done}. The last record is {ago} old.",
        GO_ON,
    )


def _judge_done(pulses: Sequence[Pulse], now: float) -> Health:
    blocks = sum(pulse.blocks for pulse in pulses)
    quiet = max(0.0, now - max(pulse.last for pulse in pulses))
    stages = "the one stage in the ledger is" if len(pulses) == 1 else f"all {len(pulses)} stages in the ledger are"
    return Health(
        "finished",
        f"Finished: {stages} done ({_count(blocks)}); the last block was {_ago(quiet)} ago.",
        "A stage that has not begun is not in the ledger: the last one should be the one you asked for.",
    )


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 59.5 else format_seconds(seconds)


def _count(blocks: int) -> str:
    return f"{blocks:,} block{'' if blocks == 1 else 's'}"


def _percent(done: int, blocks: int) -> str:
    # 99.97 % are not 100 %
    return f"{int(1000 * done / max(1, blocks)) / 10:g} %"
