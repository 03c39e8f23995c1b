"""Is the run healthy? One sentence, and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from neuroadda.ledger.base import Summary
from neuroadda.locks import End, LockState
from neuroadda.wording import format_seconds

State = Literal["empty", "running", "waiting", "finished", "failed", "stalled", "stopped", "killed"]

QUIET_SECONDS = 120.0  # without a record, at least, before a run is said to stand still
QUIET_BLOCKS = 3.0  # and as many times its longest block
FIRST_SECONDS = 600.0  # as long as no block is done, nobody knows how long one takes
AT_WORK_SECONDS = 3.0  # without a record, of a run that has its lock: records are written twice a second
BETWEEN_SECONDS = 30.0  # a stage that has just begun, or just ended
LOOK = "Look whether the run's processes are alive; if they are not, they were killed."
GO_ON = "Run the same command again to go on: what is done is kept."
MAKE_AGAIN = "The same command makes it again, all of it; what else is done is kept."
WRITE_BACK = "Write the attributes back, or give --overwrite to the same command, which makes it again."


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
    interrupted
        Blocks that are marked as running since an earlier run was killed or stopped; `summary.running` is of the others.
    """

    name: str
    blocks: int
    summary: Summary
    longest: float
    last: float
    interrupted: int = 0

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

    @property
    def is_at_work(self) -> bool:
        """Whether blocks that are marked as running are: else they were interrupted, and are done again by the next run."""
        return self.state not in ("stopped", "killed", "failed", "finished")


def split_running(summary: Summary, started: Iterable[float], lock: LockState | None) -> tuple[Summary, int]:
    """Return a summary whose running blocks are those of the run that holds the lock, and how many others were interrupted.

    Parameters
    ----------
    started
        When each block began that is marked as running, seconds since the epoch.
    """
    if lock is None or lock.state != "held":
        return summary, 0  # `is_at_work` tells it of all
    interrupted = sum(when < lock.since for when in started)
    return summary.model_copy(update={"running": summary.running - interrupted}), interrupted


def judge(pulses: Sequence[Pulse], now: float, lock: LockState | None = None) -> Health:
    """Judge a run by the stage that was last at work, among those that are not done.

    Parameters
    ----------
    now
        Seconds since the epoch.
    lock
        What the lock of the run's folder says: whether a process is at work, or how it ended. Without it, only the age of the
        records tells.
    """
    held = lock is not None and lock.state == "held"
    if lock is not None and lock.state != "held":
        return _judge_ended(pulses, now, lock.state)
    open_ = [pulse for pulse in pulses if not pulse.is_done]
    if held and not open_:
        done = f"all {len(pulses)} stages so far are done" if pulses else "no stage has begun yet"
        return Health("running", f"Running: {done}.", "")
    if not pulses:
        return Health("empty", "Nothing has begun: the ledger holds no stage yet.", "")
    if not open_:
        return _judge_done(pulses, now)
    stage = max(open_, key=lambda pulse: pulse.last)
    # What is recorded from before the lock was taken is another run's.
    last = max(stage.last, lock.since) if lock else stage.last
    summary, quiet = stage.summary, max(0.0, now - last)
    done, ago, failed = _say_done(stage), _ago(quiet), f"{_count(summary.failed)} failed"
    if summary.running and quiet > stage.patience:
        longest = f"; its longest block so far took {format_seconds(stage.longest)}" if summary.done else ""
        look = "The run's own process is there: see its logs; Ctrl-C or SIGTERM stops it." if held else LOOK
        return Health(
            "stalled",
            f"Stalled: {_count(summary.running)} of {stage.name} marked as running, "
            f"but nothing was recorded for {ago}{longest}. {done}.",
            f"{look} {GO_ON}",
        )
    if held and not summary.running and (quiet > AT_WORK_SECONDS or not summary.done):
        return Health(
            "waiting",
            f"Waiting: no block of {stage.name} is at work; {done}."
            + (f" {failed}: see below why." if summary.failed else ""),
            "Workers are starting, or their jobs wait in the cluster's queue: nothing needs to be done.",
        )
    if held or summary.running or (quiet < BETWEEN_SECONDS and not summary.failed):
        return Health(
            "running",
            f"Running: {stage.name} has {done}; the last record is {ago} old"
            + (f". But {failed}: see below why." if summary.failed else ", and nothing failed."),
            "",
        )
    if summary.failed:
        return _judge_failed(stage, quiet)
    return Health(
        "stopped",
        f"Stopped: nothing of {stage.name} is running, and nothing failed; {done}. The last record is {ago} old.",
        GO_ON,
    )


def _judge_ended(pulses: Sequence[Pulse], now: float, end: End) -> Health:
    """Judge a run that no process is at work on."""
    open_ = [pulse for pulse in pulses if not pulse.is_done]
    if end == "finished" and pulses and not open_:
        return _judge_done(pulses, now)
    failed = [pulse for pulse in open_ if pulse.summary.failed]
    if failed and end in ("failed", "finished"):
        stage = max(failed, key=lambda pulse: pulse.last)
        return _judge_failed(stage, max(0.0, now - stage.last))
    state, why = say_end(end)
    if not open_:
        done = (
            f"all {len(pulses)} stages so far are done, and the next has not begun" if pulses else "no stage had begun"
        )
        return Health(state, f"{why}: {done}.", GO_ON)
    stage = max(open_, key=lambda pulse: pulse.last)
    told, summary = [f"{stage.name} has {_say_done(stage)}"], stage.summary
    if summary.running:
        told.append(f"{_count(summary.running)} {'was' if summary.running == 1 else 'were'} interrupted")
    if summary.failed:
        told.append(f"{_count(summary.failed)} failed, see below why")
    ago = _ago(max(0.0, now - stage.last))
    return Health(state, f"{why}: {'; '.join(told)}. The last record is {ago} old.", GO_ON)


def say_end(end: str) -> tuple[State, str]:
    """Return the state of a run that ended before it was done, and what a sentence on it begins with."""
    if end == "killed":
        return "killed", "Killed (by SIGKILL, for want of memory, or with the machine)"
    if end == "failed":
        return "failed", "Failed (the run told its error when it ended)"
    return "stopped", "Stopped"


def _judge_failed(stage: Pulse, quiet: float) -> Health:
    failed = f"{_count(stage.summary.failed)} failed in {stage.name} and none is running"
    return Health(
        "failed",
        f"Failed: {failed}; {_say_done(stage)}. The last record is {_ago(quiet)} old.",
        "Below is why, and how to finish.",
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


def _say_done(stage: Pulse) -> str:
    done, blocks, cut = stage.summary.done, stage.blocks, stage.interrupted
    again = (
        f", {_count(cut)} that {'was' if cut == 1 else 'were'} interrupted in an earlier run to be done again"
        if cut
        else ""
    )
    return f"{done:,} of {_count(blocks)} done ({_percent(done, blocks)}){again}"


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 59.5 else format_seconds(seconds)


def _count(blocks: int) -> str:
    return f"{blocks:,} block{'' if blocks == 1 else 's'}"


def _percent(done: int, blocks: int) -> str:
    # 99.97 % are not 100 %
    return f"{int(1000 * done / max(1, blocks)) / 10:g} %"
