"""What a page on this machine finds: a folder for pages of any origin, and a Neuroglancer. Both on loopback alone."""

import functools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from tests.walks.browser import Browser

PANEL = "(r => [r.x, r.y, r.width, r.height])(document.querySelector('.neuroglancer-rendered-data-panel').getBoundingClientRect())"
VIEWER = """
import importlib.metadata, json, signal, sys
import neuroglancer
signal.alarm(600)
neuroglancer.set_server_bind_address("127.0.0.1")
viewer = neuroglancer.Viewer()
print(json.dumps([viewer.get_viewer_url(), importlib.metadata.version("neuroglancer")]), flush=True)
for link in sys.stdin:
    viewer.set_state(neuroglancer.parse_url(link.strip()))
    viewer.screenshot()  # answered by the browser once all that is visible is drawn
    print(json.dumps("drawn"), flush=True)
"""


class _Shared(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder; yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Shared, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Neuroglancer:
    """The viewer that comes with the `neuroglancer` package of another interpreter.

    Attributes
    ----------
    address
        Of its page.
    version
        Of the package.
    """

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-c", VIEWER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.address, self.version = self._answer()

    def __enter__(self) -> "Neuroglancer":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def show(self, link: str, browser: Browser, picture: Path) -> np.ndarray:
        """Show the state of a link in a browser that is at `address`; once all is drawn, write a picture of it.

        Returns
        -------
        int16 array
            yx and RGB: the panel of sections.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(link + "\n")
        self._answer()
        x, y, width, height = browser.ask(PANEL)
        seen = browser.picture(picture).astype(np.int16)
        return seen[round(y) : round(y + height), round(x) : round(x + width)]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("Neuroglancer has ended, or drew nothing for ten minutes")
        return json.loads(line)
