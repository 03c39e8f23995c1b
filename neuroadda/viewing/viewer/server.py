"""The server that a viewer reads volumes from: the folders of what is shown, nothing else, and GET alone.

Where a token is demanded, every address begins with it: a browser sends no cookie or header of ours with what a page of another
origin asks for, and other readers (tensorstore, cloud-volume) know addresses alone.
"""

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from neuroadda.viewing.access import choose_token, is_loopback, is_same_machine, is_token
from neuroadda.viewing.viewer.client import find_client, read_client
from neuroadda.viewing.viewer.files import Mount, parse_range
from neuroadda.viewing.viewer.shown import Shown
from neuroadda.viewing.viewer.view import View
from neuroadda.viewing.web import HEADERS, WebHandler, WebServer
from neuroadda.volumes.neuroglancer import VIEWER

PAGE, EVENTS = "v/view/", "events/view"  # the client's script wants v/ and events/
DATA, STATE, ICON = "data/", "state.json", "favicon.ico"
ERROR = re.compile(r"errors/([1-9]\d{0,8})(/state\.json)?")
POLICY = (  # the client's blosc decoder makes functions of text
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' https: http: data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CROSS_ORIGIN = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Accept-Ranges",
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "600",
}
HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
LONGEST_TARGET = 4000
PIECE_BYTES = 1 << 20
BEAT_SECONDS = 15.0


class ViewServer(WebServer):
    """Serves a view.

    Attributes
    ----------
    url
        What a person opens, with the token where there is one. Below it, ``errors/RANK`` shows a likely error.
    viewer
        Address of the Neuroglancer that is opened; None for the one that is served here.
    """

    def __init__(self, view: View, host: str, port: int, token: str | None, viewer: str | None) -> None:
        self.view, self.client = view, find_client()
        self.viewer = viewer or (None if self.client else VIEWER)
        self.mounts = {
            shown.name: Mount(shown.location.resolve(), shown.levels)
            for shown in view.volumes
            if isinstance(shown.location, Path)
        }
        self.closing = threading.Event()
        super().__init__(_Handler, host, port, token)
        self.prefix = f"/{quote(token, safe='')}/" if token else "/"
        self.url = self.address + self.prefix

    def state(self, address: str | None = None, error: int | None = None) -> dict[str, Any]:
        """Return the viewer's state, for who reaches this server at an address (by default its own), such as through a tunnel.

        `error` is the rank of the likely error that it shows; None for the whole.
        """
        base = f"{address or self.address}{self.prefix}{DATA}"

        def locate(shown: Shown) -> str:
            return base + quote(shown.name, safe="") if shown.name in self.mounts else str(shown.location)

        return self.view.to_state(locate, error)

    def server_close(self) -> None:
        """Stop listening, and end streams."""
        self.closing.set()
        super().server_close()


@contextmanager
def open_view(
    view: View, host: str = "127.0.0.1", port: int = 0, token: str | None = None, viewer: str | None = None
) -> Iterator[ViewServer]:
    """Bind a server of a view; see `choose_token` for `token`. Port 0 is any that is free.

    Parameters
    ----------
    viewer
        Address of a Neuroglancer; by default the one that comes with the extra ``view``, or the public one without it.

    Raises
    ------
    UserError
        If the address cannot be served, or the token is easily guessed.
    """
    with ViewServer(view, host, port, choose_token(host, token), viewer) as server:
        yield server


class _Handler(WebHandler):
    server: ViewServer
    protocol_version = "HTTP/1.1"  # a viewer asks for thousands of chunks
    headers_of_all = HEADERS | {"Content-Security-Policy": POLICY}

    def do_GET(self) -> None:
        if (path := self._admit()) is None:
            return
        if path == "":
            self._send_on(STATE)
        elif path == STATE:
            self._send_state(None)
        elif (found := ERROR.fullmatch(path)) and int(found[1]) in self.server.view.errors:
            self._send_state(int(found[1])) if found[2] else self._send_on(f"{path}/{STATE}")
        elif path.startswith(DATA):
            self._answer_data(path.removeprefix(DATA))
        elif path.startswith(PAGE) and self.server.client is not None:
            file = read_client(self.server.client, path.removeprefix(PAGE))
            self.send(*file) if file else self._refuse_here()
        elif path == ICON:
            self.send_head(HTTPStatus.NO_CONTENT, "image/x-icon", 0, {})
        elif path == EVENTS and self.command == "GET":
            self._stream()
        else:
            self._refuse_here()

    do_HEAD = do_GET

    def do_OPTIONS(self) -> None:
        """Tell a browser whether a page of another origin may ask."""
        if self._admit() is not None:
            self.send_head(HTTPStatus.NO_CONTENT, "text/plain", 0, self._cors())

    def _admit(self) -> str | None:
        """Return the path below the token, without a query, or None once who may not ask is refused."""
        path, token = urlsplit(self.path).path.removeprefix("/"), self.server.token
        first, _, rest = path.partition("/")
        if (refusal := self._find_refusal(first)) is not None:
            self.close_connection = True
            self.refuse(*refusal)
            return None
        return path if token is None else rest

    def _find_refusal(self, first: str) -> tuple[HTTPStatus, str] | None:
        """Return why a request whose path begins with a name is not answered; None where it is."""
        host, origin, token = self.headers.get("Host"), self.headers.get("Origin"), self.server.token
        if len(self.path) > LONGEST_TARGET:
            return HTTPStatus.REQUEST_URI_TOO_LONG, "this address is too long"
        if HOST.fullmatch(host or "") is None:
            return HTTPStatus.BAD_REQUEST, "the request names no host"
        if token is None and not is_same_machine(host):
            return HTTPStatus.FORBIDDEN, "this is for the machine it runs on: use 127.0.0.1"
        if token is not None and not is_token(token, unquote(first)):
            return HTTPStatus.FORBIDDEN, "open the address that `neuroadda view` printed"
        if origin is not None and not self._is_known(origin):
            return HTTPStatus.FORBIDDEN, "a page of this origin may not read here: see --viewer"
        return None

    def _refuse_here(self) -> None:
        # A chunk that is not there is no error for the page that asked: it is empty.
        self.send(b"there is nothing here\n", "text/plain; charset=utf-8", HTTPStatus.NOT_FOUND, self._cors())

    def _is_known(self, origin: str) -> bool:
        """Tell whether a page is the viewer's, or of this machine: any other page that is open in a browser must not read."""
        if origin in (self._address(), self.server.address) or origin == _origin_of(self.server.viewer or ""):
            return True
        try:
            name = urlsplit(origin).hostname
        except ValueError:
            return False
        return name is not None and is_loopback(name)

    def _cors(self) -> dict[str, str]:
        origin = self.headers.get("Origin")
        known = {} if origin is None else {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} | CROSS_ORIGIN
        return known | {"Accept-Ranges": "bytes"}

    def _address(self) -> str:
        return f"http://{self.headers.get('Host')}"

    def _send_state(self, error: int | None) -> None:
        state = self.server.state(self._address(), error)
        self.send(json.dumps(state).encode(), "application/json", headers=self._cors())

    def _send_on(self, path: str) -> None:
        """Lead to the viewer, which then loads the state at a path from here."""
        state = f"{self._address()}{self.server.prefix}{path}"
        page = self.server.prefix + PAGE if self.server.viewer is None else f"{self.server.viewer.rstrip('/')}/"
        self.send(b"", "text/plain", HTTPStatus.SEE_OTHER, {"Location": f"{page}#!{state}"})

    def _answer_data(self, path: str) -> None:
        name, _, rest = path.partition("/")
        mount = self.server.mounts.get(unquote(name))
        found = None if mount is None else mount.open(rest)
        if found is None:
            return self._refuse_here()
        file, zipped = found
        with file:
            self._send_file(file, zipped)

    def _send_file(self, file: BinaryIO, zipped: bool) -> None:
        size, headers = os.fstat(file.fileno()).st_size, self._cors()
        wanted = (0, size) if zipped else parse_range(self.headers.get("Range"), size)
        status = HTTPStatus.OK
        if wanted is None:
            more = headers | {"Content-Range": f"bytes */{size}"}
            return self.send(b"", "text/plain", HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, more)
        first, end = wanted
        if zipped:
            headers["Content-Encoding"] = "gzip"
        elif end - first < size:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        self.send_head(status, "application/octet-stream", end - first, headers)
        if self.command == "HEAD":
            return
        file.seek(first)
        left = end - first
        while left and (piece := file.read(min(PIECE_BYTES, left))):
            self.wfile.write(piece)
            left -= len(piece)
        self.close_connection |= bool(left)  # it became shorter: what is missing must not be taken from the next answer

    def _stream(self) -> None:
        """Hold the stream of events open that the client expects of its Python package; there are none."""
        self.close_connection = True
        self.send_head(HTTPStatus.OK, "text/event-stream", None, {"Connection": "close"})
        while True:
            self.wfile.write(b":\n\n")
            self.wfile.flush()
            if self.server.closing.wait(BEAT_SECONDS):
                return


def _origin_of(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
