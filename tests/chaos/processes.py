"""Faults of processes, of the network and of the machine."""

import os
import signal
import time
from random import Random

from tests.chaos.mongo import MongoServer
from tests.chaos.place import NotNow, Place, cut
from tests.chaos.subject import ChaosFound, Subject

NETWORK_SECONDS = 20.0


def kill_worker(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL one worker: the run goes on."""
    _signal(subject, stage, "worker", draw, signal.SIGKILL)


def kill_forkserver(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL the process that forks the workers."""
    _signal(subject, stage, "forkserver", draw, signal.SIGKILL)


def kill_scheduler(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGKILL the scheduler."""
    _signal(subject, stage, "scheduler", draw, signal.SIGKILL)


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
    pid = _signal(subject, stage, "worker", draw, signal.SIGSTOP)
    time.sleep(draw.uniform(0.1, 1.0))
    _send(pid, signal.SIGKILL)


def freeze_worker_for_good(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """SIGSTOP a worker and leave it: the block's time is up some day, and the run ends with all blocks, or says which are left."""
    _signal(subject, stage, "worker", draw, signal.SIGSTOP)
    if subject.finish() != 0:
        subject.start()


def cancel_job(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Cancel a worker's job: another takes its place."""
    if place.slurm is None:
        raise NotNow("workers are no jobs")
    if not (jobs := place.slurm.jobs()):
        raise NotNow("there is no job")
    place.slurm.cancel(draw.choice(jobs))


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


def drop_network(subject: Subject, stage: str, draw: Random, place: Place) -> None:
    """Pull the cable between the run and the ledger's server for 20 s."""
    if place.cable is None or place.mongo is None:
        raise NotNow("there is no network to drop")
    with cut(place.cable):
        time.sleep(NETWORK_SECONDS)


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


def _signal(subject: Subject, stage: str, role: str, draw: Random, signum: int) -> int:
    """Send a signal to a process of the stage, which a run that was just resumed may not have yet."""
    blocks = len(subject.task(stage).blocks)
    subject.wait(lambda: bool(subject.pids(role)) or subject.written(stage) == blocks or subject.ended(), "it hangs")
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
