"""What starts a worker and waits for its end: on this machine, or as a job of a cluster."""

import logging
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from neuroadda.blockwise.execution_config import Execution
from neuroadda.config import Config
from neuroadda.errors import UserError

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LEAVE_SECONDS = 60.0  # for a worker's last records, when all blocks are processed
ANSWER_SECONDS = 60.0  # in which daisy's server answers, on a loaded machine, too
KILLED_SECONDS = 120.0  # in which daisy notices that workers are gone; a cluster takes a while to tell


class WorkerDied(RuntimeError):
    """A worker ended though there were blocks for it; daisy starts another."""


class LauncherConfig(Config):
    """What a launcher has to know of a task.

    Attributes
    ----------
    stage
        Name of the task's stage.
    worker
        A `WorkerConfig` as JSON, for each worker.
    accelerated
        Whether the stage computes on a GPU.
    logs
        Folder with one file a worker.
    preload
        Modules that local workers find imported.
    private
        Folder of this user alone, seen by all nodes, for what jobs have to know.
    run
        Name of all jobs of the run.
    """

    stage: str
    worker: str
    accelerated: bool
    logs: Path
    preload: tuple[str, ...]
    private: Path
    run: str


class Launcher(ABC):
    """Starts workers of one task. daisy calls `run_worker` in a thread for each of them, and again where a worker died.

    Parameters
    ----------
    fail
        Called where no worker can be started, for a reason that only the user can mend.

    Attributes
    ----------
    over
        To be set when daisy has ended the task.
    """

    def __init__(self, execution: Execution, config: LauncherConfig, fail: Callable[[UserError], None]) -> None:
        self.execution, self.config, self.fail = execution, config, fail
        self.over = threading.Event()
        self._watching = threading.Lock()

    def run_worker(self, *, context: Mapping[str, str]) -> None:
        """Start a worker and wait until it has left.

        Parameters
        ----------
        context
            daisy's context of the worker (`daisy.v2.Context`), which says where the scheduler is.

        Raises
        ------
        WorkerDied
            If it did not leave by itself.
        UserError, OSError
            If it cannot be started.
        """
        number = int(context["worker_id"])
        try:
            self.run(context.to_env(), number)  # type: ignore[attr-defined]
        except WorkerDied as error:
            log.warning("%s: worker %d died: %s", self.config.stage, number, error)
            raise
        except UserError as error:
            self.fail(error)
            raise
        except OSError as error:
            self.fail(UserError(f"workers cannot be started: {error.strerror or error}", str(self.config.logs)))
            raise
        finally:
            if self._watching.acquire(blocking=False):  # one thread is enough
                threading.Thread(target=self._end_with_task, args=(context,), daemon=True).start()
        self.dismiss_waiting()

    @abstractmethod
    def run(self, context: str, number: int) -> None:
        """Start a worker and wait for its end.

        Parameters
        ----------
        context
            Its DAISY_CONTEXT.
        number
            Its number in the task.
        """

    @abstractmethod
    def kill_workers(self) -> None:
        """Kill all workers that have not left."""

    def dismiss_waiting(self) -> None:  # noqa: B027 (workers on this machine do not wait)
        """Cancel workers that have not begun, when there are no more blocks for them."""

    def _end_with_task(self, context: Mapping[str, str]) -> None:
        """Watch the end of the task, and end this process where daisy does not come to an end: the run then starts another.

        Workers that stay when no block is left are frozen. They are killed, since daisy would wait for them for ever.
        """
        address = context["hostname"], int(context["port"])
        try:
            while is_serving(address):
                if self.over.wait(POLL_SECONDS):
                    return
        except TimeoutError:
            self._give_up("daisy does not answer")
        if self.over.wait(min(LEAVE_SECONDS, self.execution.block_timeout)):
            return
        self.kill_workers()
        if not self.over.wait(KILLED_SECONDS):
            self._give_up("daisy does not end although all workers are gone")

    def _give_up(self, why: str) -> None:
        log.error("%s: %s; another scheduler goes on", self.config.stage, why)
        os._exit(1)


def is_serving(address: tuple[str, int], patience: float | None = None) -> bool:
    """Tell whether daisy's server serves connections: it does until all blocks are processed.

    Parameters
    ----------
    patience
        Seconds in which it has to answer; by default 60.

    Raises
    ------
    TimeoutError
        If it takes a connection, but does not close it in return.
    """
    try:
        with socket.create_connection(address, timeout=patience or ANSWER_SECONDS) as connection:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
    except ConnectionRefusedError:
        return False
    except ConnectionError:
        pass  # it has closed it
    return True
