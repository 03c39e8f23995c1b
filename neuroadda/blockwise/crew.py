"""The crew of a run: one process that keeps workers at work for one task after another, through a launcher.

Local workers are its forks. A worker that starts from nothing imports for about a second of processor time, as much as many a task
has to do. The crew has no threads, so that it may fork; daisy's server has many, and is another process.
"""

import re
import traceback
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from neuroadda.blockwise.execution import Execution
from neuroadda.blockwise.launchers.base import Orders
from neuroadda.blockwise.launchers.open import open_launcher
from neuroadda.errors import UserError


@dataclass
class Crew:
    """Workers for the tasks that posts tell of (see `post`).

    Attributes
    ----------
    logs
        Folder that gets a folder of logs for each task, with one file a worker.
    run
        What jobs of the run are called on a cluster.
    private
        Folder of the user alone, seen by all nodes, for the orders of jobs.
    """

    execution: Execution
    logs: Path
    run: str
    private: Path
    _died: dict[str, int] = field(default_factory=dict, init=False)
    _is_given_up: bool = field(default=False, init=False)

    def serve(self, address: str, scheduler: Connection) -> None:
        """Work for one post after another, until the process is killed.

        The scheduler is told None when posts may come, and a UserError once when workers cannot be started.
        """
        with Listener(address, "AF_UNIX") as listener:
            scheduler.send(None)
            while True:
                try:
                    with listener.accept() as post:
                        context, orders = post.recv()
                        try:
                            is_done = not self._is_given_up and self._employ(context, orders)
                        except (UserError, OSError) as error:
                            self._is_given_up, is_done = True, False
                            scheduler.send(_tell(error, self.logs))
                        post.send(is_done)
                except (EOFError, OSError):  # the post was killed: daisy sends another, or gives the task up
                    traceback.print_exc()

    def _employ(self, context: str, orders: Orders) -> bool:
        """Keep workers at work until all have left by themselves; false when too many died."""
        name, key = orders["stage"], orders["key"]
        logs = self.logs / name
        logs.mkdir(parents=True, exist_ok=True)
        address = re.sub(r"worker_id=-?\d+", "worker_id=-1", context)  # daisy counts on none of them
        at_work = set(range(min(self.execution.workers, orders["count"])))
        with closing(open_launcher(self.execution, address, orders, logs, self.private, self.run)) as launcher:
            for number in at_work:
                launcher.start(number)
            while at_work:
                for number, (how, detail) in launcher.wait().items():
                    at_work.remove(number)
                    if how == "left":
                        at_work.difference_update(launcher.dismiss_waiting())
                        continue
                    print(f"{name}: worker {number} {how}: {detail}", flush=True)
                    self._died[key] = self._died.get(key, 0) + (how == "died")
                    if self._died[key] <= self.execution.worker_restarts:
                        launcher.start(number)
                        at_work.add(number)
        return self._died.get(key, 0) <= self.execution.worker_restarts


def _tell(error: UserError | OSError, logs: Path) -> tuple[str, str | None, str | None]:
    """Return the arguments of the UserError that says why no worker can be started."""
    if isinstance(error, UserError):
        return error.what, error.where, error.right
    return f"workers cannot be started: {error.strerror or error}", str(error.filename or logs), None
