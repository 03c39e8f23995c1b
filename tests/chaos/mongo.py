"""A MongoDB server to be killed and started again on the same port and data."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import find_port

PATIENCE_SECONDS = 60.0


class MongoServer:
    """`secantusd-py`, which speaks MongoDB's protocol; `start` it first.

    Parameters
    ----------
    host
        Address that it listens on.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self._folder, self._host = folder, host
        folder.mkdir(parents=True)
        self._port = find_port(host)
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def is_installed() -> bool:
        """Tell whether there is such a server."""
        return _program() is not None

    @property
    def url(self) -> str:
        """URL of the database."""
        return f"mongodb://{self._host}:{self._port}/chaos?directConnection=true&retryWrites=false"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(_program()), "--host", self._host, "--port", str(self._port)]
        with open(self._folder / "server.log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--storage-path", str(self._folder / "data")],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((self._host, self._port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "server.log").read_text()[-500:])
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it without a warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it from answering."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def drop(self) -> None:
        """Delete the database."""
        from pymongo import MongoClient

        with MongoClient(self.url) as client:
            client.drop_database("chaos")


def _program() -> str | None:
    return shutil.which("secantusd-py", path=f"{Path(sys.executable).parent}") or shutil.which("secantusd-py")
