"""What a run stands on, and what may be done to it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.mongo import MongoServer
from tests.chaos.slurm import Slurm
from tests.chaos.subject import Subject

TWO_HOSTS = Path(__file__).parents[2] / "tools" / "two_hosts.sh"
CABLE = "NEUROADDA_CHAOS_CABLE"
DISK_BYTES = 96 << 20


class NotNow(Exception):
    """This fault cannot be done at this moment."""


@dataclass(frozen=True)
class Place:
    """What a run stands on.

    Attributes
    ----------
    backbone
        Folder of the network.
    mongo
        The server of the ledger; None for SQLite.
    disk
        Where the run lies, if that can be filled.
    cable
        Name of the network between the run's host and the server's; None where there is one host.
    slurm
        What runs the workers; None where they are processes of this machine.
    """

    backbone: Path
    mongo: MongoServer | None
    disk: Path | None
    cable: str | None
    slurm: Slurm | None


# Done to a run that is at work in the stage named, and leaves it at work again. It raises `ChaosFound` where the run does not
# answer as promised, and `NotNow` where there is nothing to do it to.
Fault = Callable[[Subject, str, Random, Place], None]


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small disk in memory; None where that is not allowed."""
    disk = folder / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield disk if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(disk)], check=True)


def run_on_two_hosts(command: list[str]) -> int | None:
    """Run a command on the first of two hosts (network namespaces), with `CABLE` set; None where there cannot be two."""
    if os.geteuid() != 0 or not TWO_HOSTS.is_file():
        return None
    name = f"chaos{os.getpid()}"
    if subprocess.run([str(TWO_HOSTS), "start", name], capture_output=True, check=False).returncode != 0:
        return None
    try:
        return subprocess.call([str(TWO_HOSTS), "head", name, *command], env=os.environ | {CABLE: name})
    finally:
        subprocess.run([str(TWO_HOSTS), "stop", name], check=True)


def on_the_other_host(cable: str | None) -> list[str]:
    """Return what a command is to begin with to run on the second host."""
    return [] if cable is None else [str(TWO_HOSTS), "node", cable]


@contextmanager
def cut(cable: str) -> Iterator[None]:
    """Pull the cable between the two hosts."""
    subprocess.run([str(TWO_HOSTS), "cut", cable], check=True)
    try:
        yield
    finally:
        subprocess.run([str(TWO_HOSTS), "mend", cable], check=True)
