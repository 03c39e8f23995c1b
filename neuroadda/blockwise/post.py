"""Where daisy reaches the crew. It starts a process for this, so nothing heavy is imported here."""

import os
from multiprocessing.connection import Client
from typing import Any


def hold_post(address: str, orders: dict[str, Any]) -> None:
    """Tell the crew where a task's blocks are dealt out, and stay until its workers have left.

    Raises
    ------
    RuntimeError
        If too many of them died; daisy then gives the task up.
    """
    with Client(address, "AF_UNIX") as crew:
        crew.send((os.environ["DAISY_CONTEXT"], orders))
        if not crew.recv():
            raise RuntimeError("too many workers died")
