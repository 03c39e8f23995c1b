"""A worker as a job of a cluster. It reads the file that is its argument, and ends soon after the scheduler has ended."""

import json
import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path

from neuroadda.errors import UserError
from neuroadda.processes import print_lossy

log = logging.getLogger(__name__)

CONNECT_SECONDS = 60.0
LEAVE_SECONDS = 10.0
# Of a silent connection: seconds before it is probed, between probes, and number of probes before it is closed.
KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}


def connect(context: str) -> socket.socket:
    """Return a connection to the scheduler of a DAISY_CONTEXT. Nothing is sent on it; its end tells that the scheduler has ended.

    Raises
    ------
    UserError
        If the scheduler does not answer.
    """
    told = dict(part.split("=", 1) for part in context.split(":"))
    host, port = told["hostname"], int(told["port"])
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
            break
        except OSError as error:
            if isinstance(error, ConnectionRefusedError) or time.monotonic() > deadline:
                what = f"{socket.gethostname()} finds no scheduler at {host}:{port} ({error.strerror or error})"
                right = "give an address of its machine that the nodes reach, unless the run is over"
                raise UserError(what, "execution.host", right) from error
            time.sleep(1)
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEP_ALIVE.items():
        if hasattr(socket, option):  # Linux
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return connection


def leave_with(connection: socket.socket) -> None:
    """End this process a little after the connection has ended, since nobody waits for its block any more.

    At the end of a run, that leaves time for the last records.
    """

    def watch() -> None:
        try:
            connection.recv(1)
        except OSError as error:
            log.warning("the scheduler is lost: %s", error)
        time.sleep(LEAVE_SECONDS)
        log.warning("the scheduler has gone; so does this worker")
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run a worker as the file says that is the only argument."""
    print_lossy()
    place = Path(sys.argv[1])
    try:
        told = json.loads(place.read_text())
        leave_with(connect(told["context"]))
    except OSError as error:
        sys.exit(f"the job's file cannot be read: {error}; do the nodes see that folder, or is the run over?")
    except UserError as error:
        sys.exit(str(error))
    os.environ |= told["environment"] | {"DAISY_CONTEXT": told["context"]}
    Path(told["begun"]).touch()
    from neuroadda.blockwise.worker import WorkerConfig, work  # it takes a while, and depends on the environment

    work(WorkerConfig.model_validate_json(told["worker"]))


if __name__ == "__main__":
    main()
