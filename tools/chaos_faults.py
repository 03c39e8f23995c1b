"""What may happen to a run. Each fault is done to a `Subject` that is at work, and leaves it at work again.

A fault raises `ChaosFound` where the run does not answer as promised, and `NotNow` where there is nothing to do it to.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from chaos_mongo import MongoServer
from chaos_subject import ChaosFound, Subject

from neuroadda.blockwise.ledger.open import SQLITE, open_ledger
from neuroadda.blockwise.outputs import bind_output

Fault = Callable[[Subject, str, Random, "Place"], None]


class NotNow(Exception):
    """This fault cannot be done at this moment."""


@dataclass(frozen=True)
class Place:
    """What a run stands on: where its inputs lie, the server of its ledger (None: SQLite), and its disk, if that can be filled."""

    backbone: Path
    mongo: MongoServer | None
    disk: Path | None


# processes


def kill_worker(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL one worker: the run goes on."""
    _signal(subject, "worker", draw, signal.SIGKILL)


def kill_helper(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL what stands between scheduler and workers."""
    _signal(subject, "helper", draw, signal.SIGKILL)


def kill_scheduler(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL the scheduler."""
    _signal(subject, "scheduler", draw, signal.SIGKILL)


def kill_run(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL the main process: nothing is left of the run, and it is resumed."""
    subject.kill()
    subject.start()


def stop_run(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGINT or SIGTERM, as people and queues stop a run."""
    subject.stop(draw.choice((signal.SIGINT, signal.SIGTERM)))
    subject.start()


def freeze_worker(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGSTOP a worker, and after a moment SIGKILL."""
    pid = _signal(subject, "worker", draw, signal.SIGSTOP)
    time.sleep(draw.uniform(0.1, 1.0))
    _send(pid, signal.SIGKILL)


def freeze_worker_for_good(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGSTOP a worker and leave it: the block's time is up some day, and the run ends with all blocks, or says which are left."""
    _signal(subject, "worker", draw, signal.SIGSTOP)
    if subject.finish() != 0:
        subject.start()


# the ledger


def kill_mongo(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL the ledger's server and start it again on the same data after a moment."""
    server = _server(place)
    server.kill()
    time.sleep(draw.uniform(0.0, 2.0))
    server.start()


def freeze_mongo(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGSTOP the ledger's server for some seconds: to its clients, a network that is silent."""
    with _server(place).frozen():
        time.sleep(draw.uniform(1.0, 4.0))


def lose_ledger(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Delete the ledger of a killed run; it is rebuilt from what is written."""
    subject.kill()
    _delete_ledger(subject, place)
    _rebuild(subject)
    subject.start()


def corrupt_ledger(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Overwrite the ledger's pages: the run says in one line that it is not intact; it is moved away and rebuilt."""
    if place.mongo is not None:
        raise NotNow("MongoDB minds its own files")
    subject.kill()
    file = Path(subject.plan.config.ledger_url.removeprefix(SQLITE))
    open_ledger(subject.plan.config.ledger_url).close()  # folds what is in the log into the file
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:100] + draw.randbytes(size - 100))
    for log in ("-wal", "-shm"):
        file.with_name(file.name + log).unlink(missing_ok=True)
    _expect_refusal(subject, "no intact SQLite database")
    _delete_ledger(subject, place)
    _rebuild(subject)
    subject.start()


# what is written


def lose_output(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Delete what some done blocks wrote: `ledger verify` finds exactly these, repairs them, and they are done again."""
    subject.kill()
    blocks = _done(subject, stage)
    if not len(blocks) or len(subject.task(stage).blocks) == 1:
        subject.start()
        raise NotNow("nothing is done")
    lost = sorted(draw.sample(blocks.tolist(), min(len(blocks), draw.randint(1, 5))))
    for block in lost:
        subject.file(stage, block).unlink()
    code, told = subject.call("ledger", "verify", str(subject.folder))
    named = (
        f"block{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}: done, but not all of their output is there"
    )
    if code != 1 or f"{stage}: {named}" not in told:
        raise ChaosFound(f"lost blocks {lost} of {stage}, but verify says ({code}): {told}")
    for arguments in (("--repair",), ()):
        code, told = subject.call("ledger", "verify", str(subject.folder), *arguments)
        if code != 0:
            raise ChaosFound(f"verify {arguments} ends with {code}: {told}")
    subject.start()


# what is read


def poison_block(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Cut a file that a block of the stage reads: the run does all other blocks and ends with an error; the file comes back."""
    subject.kill()
    todo = sorted(set(subject.task(stage).blocks) - set(_done(subject, stage).tolist()))
    if not todo:
        subject.start()
        raise NotNow("all is done")
    with _cut(_input(subject, stage, draw.choice(todo), draw)):
        subject.start()
        code = subject.finish()
        if code not in (1, 2):
            raise ChaosFound(f"{stage} with a poisonous block ends with {code}: {subject.said()}")
    subject.start()


def corrupt_checkpoint(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Cut the backbone's weights: refused in one line; they come back."""
    if stage != "predict":
        raise NotNow("nobody reads the weights")
    subject.kill()
    if len(_done(subject, stage)) == len(subject.task(stage).blocks):
        subject.start()
        raise NotNow("all is predicted")
    with _cut(place.backbone / "weights.safetensors"):
        _expect_refusal(subject, "weights")
    subject.start()


# the machine


def fill_disk(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Fill the disk: the run ends and says so, and goes on when there is room again."""
    if place.disk is None:
        raise NotNow("only root can give a run a small disk of its own")
    ballast = place.disk / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    code = subject.finish()
    ballast.unlink()
    if code == 0:
        raise NotNow("it was done before the disk was full")
    if code not in (1, 2):
        raise ChaosFound(f"on a full disk it ends with {code}: {subject.said()}")
    subject.start()


FAULTS: dict[str, Fault] = {
    "kill a worker": kill_worker,
    "kill a helper": kill_helper,
    "kill the scheduler": kill_scheduler,
    "kill the run": kill_run,
    "stop the run": stop_run,
    "freeze a worker, then kill it": freeze_worker,
    "freeze a worker for good": freeze_worker_for_good,
    "kill MongoDB": kill_mongo,
    "freeze MongoDB": freeze_mongo,
    "lose the ledger": lose_ledger,
    "corrupt the ledger": corrupt_ledger,
    "lose output": lose_output,
    "poison a block": poison_block,
    "corrupt the checkpoint": corrupt_checkpoint,
    "fill the disk": fill_disk,
}


def _signal(subject: Subject, role: str, draw: Random, signum: int) -> int:
    pids = subject.pids(role)
    if not pids:
        raise NotNow(f"there is no {role}")
    pid = draw.choice(pids)
    _send(pid, signum)
    return pid


def _send(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        raise NotNow("it has ended by itself") from None


def _server(place: Place) -> MongoServer:
    if place.mongo is None:
        raise NotNow("the ledger is SQLite")
    return place.mongo


def _done(subject: Subject, stage: str) -> np.ndarray:
    """Return the blocks of a stage that the ledger has as done."""
    bound = bind_output(subject.task(stage))
    if bound is None:
        return np.zeros(0, np.int64)
    ledger = open_ledger(subject.plan.config.ledger_url)
    try:
        return np.flatnonzero(ledger.done_mask(bound.key, len(bound.grid)))
    finally:
        ledger.close()


def _delete_ledger(subject: Subject, place: Place) -> None:
    if place.mongo is not None:
        place.mongo.drop()
        return
    file = Path(subject.plan.config.ledger_url.removeprefix(SQLITE))
    for name in (file.name, f"{file.name}-wal", f"{file.name}-shm"):
        file.with_name(name).unlink(missing_ok=True)


def _rebuild(subject: Subject) -> None:
    for verb in ("rebuild", "verify"):
        code, told = subject.call("ledger", verb, str(subject.folder))
        if code != 0:
            raise ChaosFound(f"ledger {verb} ends with {code}: {told}")


def _input(subject: Subject, stage: str, block: int, draw: Random) -> Path:
    """Return a file without which a block cannot be done."""
    task = subject.task(stage)
    if stage == "predict":
        z, y, x = task.grid[block].position
        return Path(task.inputs["raw"]) / str(z) / str(y) / str(x)
    if stage == "components":
        return subject.file("edges", draw.randrange(len(subject.task("edges").grid)))
    if stage.startswith("agglomerate-") and stage != "agglomerate-0":
        below = f"agglomerate-{int(stage.rpartition('-')[2]) - 1}"
        counts = subject.task(below).grid.counts
        position = [
            min(2 * p + draw.randrange(2), n - 1) for p, n in zip(task.grid[block].position, counts, strict=True)
        ]
        return subject.file(below, int(np.ravel_multi_index(position, counts)))
    read = {
        "fragments": ["predict"],
        "edges": ["predict", "fragments"],
        "agglomerate-0": ["edges"],
        "relabel": ["fragments"],
    }
    return subject.file(draw.choice(read[stage]), block)


@contextmanager
def _cut(file: Path) -> Iterator[None]:
    """Keep a file cut to its first half."""
    whole = file.read_bytes()
    kept = file.with_name(f".{file.name}.cut")
    kept.write_bytes(whole[: len(whole) // 2])
    kept.replace(file)
    try:
        yield
    finally:
        kept.write_bytes(whole)
        kept.replace(file)


def _expect_refusal(subject: Subject, told: str) -> None:
    """Start the run, which must end with exit code 2 and a last line that tells why."""
    subject.start()
    code = subject.finish()
    said = subject.said().rstrip().rpartition("\n")[2]
    if code != 2 or told not in said:
        raise ChaosFound(f"it should have been refused ({told}), but ends with {code}: {subject.said()}")
