"""A segmentation that chaos is done to: started and resumed, watched by its files, its processes known by a mark of their own."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from neuroadda.blockwise.task import Task
from neuroadda.segmentation.blockfiles import block_file
from neuroadda.segmentation.config import SegmentConfig
from neuroadda.segmentation.pipeline import Plan, make_plan
from neuroadda.volumes.arrays import Volume
from neuroadda.volumes.storage.stored import stored_file

MARK = "NEUROADDA_CHAOS"  # a variable of all processes of a run
PATIENCE_SECONDS = 180.0  # without any progress
LOOK_SECONDS = 0.001
LEFT_BY_KILLED = re.compile(r".*\.partial|\..*\.npz\.\d+|\.partial-.*")  # temporary names, which no reader sees
TAGS = (".zattrs", "task.json")  # they name the instance


class ChaosFound(AssertionError):
    """A promise that did not hold."""


class Subject:
    """A run of one config, in its own folder.

    Parameters
    ----------
    mark
        Tells its processes from all others, whoever started them and in whatever group they are.
    prefix
        What its commands begin with, such as what runs them on another host.
    """

    def __init__(self, config: SegmentConfig, mark: str, prefix: Sequence[str] = ()) -> None:
        self.config, self.plan, self._mark = config, make_plan(config), mark
        self._command = [*prefix, sys.executable, "-m", "neuroadda.cli"]
        self.folder = Path(config.output)
        self._file = self.folder.with_name(f"{self.folder.name}.json")
        self._file.write_text(json.dumps({"segment": config.model_dump(mode="json")}))
        self._errors = self.folder.with_name(f"{self.folder.name}.err")
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    # the run

    def start(self) -> None:
        """Start the run, or resume it."""
        with open(self._errors, "ab") as errors:
            self._process = subprocess.Popen(
                [*self._command, "segment", "-c", str(self._file)],
                stdout=errors,
                stderr=errors,
                env=self._environment,
            )
        self.starts += 1

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The run's main process."""
        assert self._process is not None
        return self._process

    def ended(self) -> bool:
        """Tell whether the main process has ended."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill the main process: all others must follow."""
        self.process.kill()
        self.process.wait()
        self.wait_until_gone()

    def stop(self, signum: int) -> None:
        """Ask the run to stop: it must end as the signal says, and leave nothing."""
        self.process.send_signal(signum)
        self.wait(self.ended, "it does not stop")
        if self.process.returncode not in (128 + signum, -signum, 0):
            raise ChaosFound(f"stopped by {signum}, it ends with {self.process.returncode}: {self.said()}")
        self.wait_until_gone()

    def finish(self) -> int:
        """Wait until the run ends by itself; return its exit code."""
        self.wait(self.ended, "it hangs")
        self.wait_until_gone()
        return int(self.process.returncode)

    def said(self) -> str:
        """Return the last of what the run said."""
        return self._errors.read_text(errors="replace")[-1500:]

    def call(self, *arguments: str) -> tuple[int, str]:
        """Run another command on it."""
        environment = self._environment | {"NEUROADDA_LEDGER": self.plan.config.ledger_url}
        told = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, env=environment, check=False
        )
        return told.returncode, told.stdout + told.stderr

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {MARK: self._mark}

    # its progress

    def task(self, stage: str) -> Task:
        """Return a stage's task."""
        return self.plan.task(stage)

    def written(self, stage: str) -> int:
        """Return how many blocks' files a stage has, or 0; the lookup table's stage has one when its folder is there."""
        output = Path(self.task(stage).output)
        if len(self.task(stage).blocks) == 1:
            return int(output.exists())
        names = (name for _, _, names in os.walk(output) for name in names if name not in TAGS)
        found = sum(not name.startswith(".") and not LEFT_BY_KILLED.fullmatch(name) for name in names)
        return found

    def file(self, stage: str, block: int) -> Path:
        """Return the file in which a stage keeps a block: chunks are as large as blocks."""
        task = self.task(stage)
        if stage in ("predict", "fragments", "relabel"):
            return Path(str(stored_file(Volume.open(task.output), task.grid[block].position)))
        return block_file(Path(task.output), block)

    def wait(self, condition: Callable[[], bool], trouble: str) -> None:
        """Wait for something; it is trouble when nothing at all is written meanwhile, for long."""
        deadline, seen = time.monotonic() + PATIENCE_SECONDS, -1
        while not condition():
            time.sleep(LOOK_SECONDS)
            if time.monotonic() > deadline:
                now = sum(self.written(task.name) for task in self.plan.tasks)
                if now == seen:
                    raise ChaosFound(f"{trouble}: {self.members()}: {self.said()}\n{self.stacks()}")
                deadline, seen = time.monotonic() + PATIENCE_SECONDS, now

    # its processes

    def members(self) -> dict[int, str]:
        """Return the run's living processes: main, scheduler, forkserver or worker."""
        found = {pid: name for pid, name in self._marked() if name != "other"}
        return found

    def pids(self, role: str) -> list[int]:
        """Return the living processes of a role."""
        return sorted(pid for pid, name in self.members().items() if name == role)

    def stacks(self) -> str:
        """Return what every thread of the run is doing, where `py-spy` is installed."""
        if (program := shutil.which("py-spy")) is None:
            return "install py-spy to see the stacks of processes that hang"
        commands = [[program, "dump", "--native", "--pid", str(pid)] for pid in self.members()]
        return "\n".join(subprocess.run(c, capture_output=True, text=True, check=False).stdout for c in commands)

    def wait_until_gone(self) -> None:
        """Wait until no process of the run is left."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := self._marked():
            if time.monotonic() > deadline:
                raise ChaosFound(f"left over: {left}")
            time.sleep(LOOK_SECONDS)

    def end(self) -> None:
        """Kill whatever is left, for the next run's sake."""
        for pid, _ in self._marked():
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(pid, signal.SIGKILL)

    def _marked(self) -> list[tuple[int, str]]:
        """Return pid and role of every living process that carries the mark."""
        mark, found = f"{MARK}={self._mark}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                line = (folder / "cmdline").read_bytes()
                state, parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if state in "ZX":
                continue
            found.append((int(folder.name), _role(int(folder.name), int(parent), int(group), line)))
        return found


def _role(pid: int, parent: int, group: int, line: bytes) -> str:
    """The scheduler leads a group and starts the forkserver, which forks the workers; on a cluster, jobs are the workers."""
    if b"neuroadda.blockwise.scheduler" in line:
        return "scheduler" if pid == group else "other"
    if b"multiprocessing.forkserver" in line:
        return "forkserver" if parent == group else "worker"
    if b"neuroadda.blockwise.worker_job" in line:
        return "worker"
    return "main" if b"segment" in line else "other"


def digest(config: SegmentConfig) -> dict[str, str]:
    """Return the sha256 of every file of the run's outputs but the tags."""
    folder = Path(config.output)
    files = (
        f for name in ("volumes.zarr", "edges", "merges", "lut") for f in (folder / name).rglob("*") if f.is_file()
    )
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in files
        if f.name not in TAGS and not LEFT_BY_KILLED.fullmatch(f.name)
    }


def stages_of(plan: Plan) -> list[str]:
    """Return the names of the stages, in their order."""
    return [task.name for task in plan.tasks]
