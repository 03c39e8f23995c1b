"""Wait for what other processes and threads do. A test that needs them in the middle of something holds them there by a gate."""

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 600.0  # ends a test that hangs; no test may depend on it
LOOK_SECONDS = 0.01
ALL = 2**31


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen[Any] | None = None, seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once a condition holds.

    Raises
    ------
    AssertionError
        If the process ends before, or after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        # A process may fulfil the condition and end between two looks.
        if process is not None and process.poll() is not None and not condition():
            raise AssertionError(f"the process ended with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(LOOK_SECONDS)


class Gate:
    """Lets a number of passes through and holds all others, in any process, until the test allows more.

    Parameters
    ----------
    folder
        Where the gate keeps its files. A gate that was never told how many to allow holds all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._allowed, self._passed, self._held = folder / "allowed", folder / "passed", folder / "held"
        self._held.mkdir(parents=True, exist_ok=True)

    def allow(self, number: int = ALL) -> None:
        """Allow so many passes since the gate was made; by default, all."""
        partial = self.folder / ".allowed"
        partial.write_text(str(number))
        partial.replace(self._allowed)

    def go_through(self) -> None:
        """Return when this pass is allowed; be among `held` until then."""
        if self._try():
            return
        waiting = self._held / f"{os.getpid()}-{threading.get_ident()}"
        waiting.touch()
        try:
            wait_until(self._try)
        finally:
            waiting.unlink(missing_ok=True)

    @property
    def passed(self) -> int:
        """How many went through."""
        return self._passed.stat().st_size if self._passed.exists() else 0

    @property
    def held(self) -> list[int]:
        """The living processes that are held now."""
        pids = {int(file.name.partition("-")[0]) for file in self._held.iterdir()}
        return sorted(pid for pid in pids if is_alive(pid))

    def _try(self) -> bool:
        with open(self._passed, "ab") as passed:  # a byte a pass
            fcntl.flock(passed, fcntl.LOCK_EX)
            allowed = int(self._allowed.read_text()) if self._allowed.exists() else 0
            if os.fstat(passed.fileno()).st_size >= allowed:
                return False
            passed.write(b".")
            return True


@contextmanager
def meanwhile(act: Callable[[], None], gate: Gate) -> Iterator[None]:
    """Act in a thread, then open the gate; what fails in the thread fails here."""

    def act_and_open() -> None:
        try:
            act()
        finally:
            gate.allow()

    with ThreadPoolExecutor(1) as pool:
        acted = pool.submit(act_and_open)
        yield
        acted.result()


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that have not been waited for.

    From the parent that each process names: the kernel's list of children is by thread, and incomplete while threads end.
    """
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may end meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return sorted(found)


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    return [one for child in children(pid) for one in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    """Tell whether a process has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until_gone(pids: list[int]) -> None:
    """Wait until all of these processes have ended: the kernel takes a moment to end what has lost its parent."""
    wait_until(lambda: not any(map(is_alive, pids)))
