"""What our web servers have in common: they answer GET alone, change nothing, and keep what they are asked to themselves."""

import gzip
import socket
import sys
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from neuroadda.errors import UserError

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
IDLE_SECONDS = 30
WORTH_ZIPPING = 1000
ZIPPED_ALREADY = ("image/png", "application/octet-stream")


class WebServer(ThreadingHTTPServer):
    """Listens on an address; `serve_forever` serves it.

    Attributes
    ----------
    address
        ``http://host:port``, as a browser can open it.
    token
        What is demanded; None where only this machine gets here.

    Raises
    ------
    UserError
        If the address cannot be served.
    """

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler], host: str, port: int, token: str | None) -> None:
        self.token = token
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), handler)
        except (OSError, OverflowError) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UserError(
                f"this address cannot be served: {what}", f"{host}:{port}", "give another --host or --port"
            ) from error
        # "All addresses" is none that a browser could open.
        shown = socket.gethostname() if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self.server_port}"

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback of an error, unless the client has closed the connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            traceback.print_exc()


class WebHandler(BaseHTTPRequestHandler):
    """Sends whole bodies, with headers that let a browser do as little as possible."""

    server_version, sys_version = "neuroadda", ""
    timeout = IDLE_SECONDS
    headers_of_all: Mapping[str, str] = HEADERS

    def refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer with a line of text."""
        self.send(f"{why}\n".encode(), "text/plain; charset=utf-8", status)

    def send(
        self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer with a body of a media type, zipped where that is worth it."""
        more = dict(headers or {})
        zips = "gzip" in (self.headers.get("Accept-Encoding") or "")
        if kind not in ZIPPED_ALREADY and len(body) > WORTH_ZIPPING and zips:
            body = gzip.compress(body, 1)
            more["Content-Encoding"] = "gzip"
        self.send_head(status, kind, len(body), more)
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_head(self, status: HTTPStatus, kind: str, length: int | None, headers: Mapping[str, str]) -> None:
        """Begin an answer; the length is None for one without end."""
        self.send_response(status)
        size = {} if length is None else {"Content-Length": str(length)}
        for name, value in {**self.headers_of_all, "Content-Type": kind, **headers, **size}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing: an address may hold the token."""
