"""Faults of what is written and read: the ledger, the outputs, the inputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np

from neuroadda.blockwise.outputs import bind_output
from neuroadda.ledger.open import open_ledger
from neuroadda.ledger.url import SQLITE
from tests.chaos.place import NotNow, Place
from tests.chaos.subject import ChaosFound, Subject


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


def lose_output(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Delete what some done blocks wrote: `ledger verify` finds exactly these, repairs them, and they are done again."""
    if not len(_done(subject, stage)) or len(subject.task(stage).blocks) == 1:
        raise NotNow("nothing is done")
    subject.kill()
    blocks = _done(subject, stage)
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


def poison_block(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Cut a file that a block of the stage reads; it comes back.

    A chunk of an array is seen to be cut only when it is read: the run does all other blocks and ends with an error. A block's file
    of columns is seen to be cut before: its block is done again.
    """
    if _is_done(subject, stage):
        raise NotNow("all is done")
    subject.kill()
    # A killed worker's last records may still be on their way to a server: what has no file is not done for certain.
    todo = [block for block in subject.task(stage).blocks if not _is_written(subject, stage, block)]
    if not todo:
        subject.start()
        raise NotNow("all is done")
    file = _input(subject, stage, draw.choice(todo), draw)
    with _cut(file):
        subject.start()
        code = subject.finish()
        again = "done again" in subject.said()
        if not (code == 0 and again if file.suffix == ".npz" else code in (1, 2)):
            raise ChaosFound(f"{stage} with {file} cut ends with {code}: {subject.said()}")
    subject.start()


def corrupt_checkpoint(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Cut the backbone's weights: refused in one line; they come back."""
    if stage != "predict" or _is_done(subject, stage):
        raise NotNow("nobody reads the weights")
    subject.kill()
    if _is_done(subject, stage):
        subject.start()
        raise NotNow("all is predicted")
    with _cut(place.backbone / "weights.safetensors"):
        _expect_refusal(subject, "weights")
    subject.start()


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


def _is_done(subject: Subject, stage: str) -> bool:
    return len(_done(subject, stage)) == len(subject.task(stage).blocks)


def _is_written(subject: Subject, stage: str, block: int) -> bool:
    task = subject.task(stage)
    return bind_output(task) is not None and (len(task.blocks) == 1 or subject.file(stage, block).exists())


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
