"""The dashboard's web server: it answers GET alone, and changes nothing."""

import gzip
import json
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from neuroadda.errors import UserError
from neuroadda.viewing.dashboard.access import COOKIE, choose_token, is_loopback, is_same_machine, is_token, read_token
from neuroadda.viewing.dashboard.facts import Facts

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page-detail.js": ("page-detail.js", "text/javascript; charset=utf-8"),
    "/page-training.js": ("page-training.js", "text/javascript; charset=utf-8"),
    "/page-draw.js": ("page-draw.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LONGEST_TARGET = 1000
IDLE_SECONDS = 30
WORTH_ZIPPING = 1000


class Dashboard(ThreadingHTTPServer):
    """A run's page at an address; `serve_forever` serves it.

    Attributes
    ----------
    url
        Of the page, with the token that opens it.
    token
        What is demanded; None where only this machine gets here.
    """

    daemon_threads = True

    def __init__(self, facts: Facts, host: str, port: int, token: str | None) -> None:
        self.facts, self.token = facts, token
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UserError(
                f"this address cannot be served: {what}", f"{host}:{port}", "give another --host or --port"
            ) from error
        # "All addresses" is none that a browser could open.
        shown = socket.gethostname() if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.server_port}/" + (f"?token={quote(token)}" if token else "")

    def server_bind(self) -> None:
        """Bind without asking a name server who we are."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a bug; one who hangs up is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            traceback.print_exc()


@contextmanager
def open_dashboard(
    where: str | Path, host: str = "127.0.0.1", port: int = 0, token: str | None = None, ledger: str | None = None
) -> Iterator[Dashboard]:
    """Bind a dashboard of a run's or a training's folder, or a ledger's URL; see `choose_token`. Port 0 is any that is free.

    Raises
    ------
    UserError
        If there is neither a ledger nor a training, the address cannot be served, or the token is easily guessed.
    """
    token = choose_token(host, token)
    facts = Facts(str(where), ledger)
    try:
        with Dashboard(facts, host, port, token) as dashboard:
            yield dashboard
    finally:
        facts.close()


class _Handler(BaseHTTPRequestHandler):
    server: Dashboard
    server_version, sys_version = "neuroadda", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        asked = {key: values[-1] for key, values in parse_qs(target.query).items()}
        if len(self.path) > LONGEST_TARGET:
            return self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "this address is too long")
        if self.server.token is None:
            if not is_same_machine(self.headers.get("Host")):
                return self._refuse(HTTPStatus.FORBIDDEN, "this dashboard is for the machine it runs on: use 127.0.0.1")
        elif is_token(self.server.token, asked.get("token")):
            # The address of the page that is kept, shared or shown must not hold the token.
            cookie = f"{COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            return self._send(b"", "text/plain", HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie})
        elif not is_token(self.server.token, read_token(self.headers)):
            return self._refuse(
                HTTPStatus.FORBIDDEN,
                "This dashboard needs its token: open the address that `neuroadda dashboard` printed, ?token=... included.",
            )
        try:
            self._answer(target.path, asked)
        except UserError as error:
            self._refuse(HTTPStatus.NOT_FOUND, str(error))

    do_HEAD = do_GET

    def _answer(self, path: str, asked: dict[str, str]) -> None:
        facts = self.server.facts
        if path in FILES:
            name, kind = FILES[path]
            self._send((Path(__file__).parent / name).read_bytes(), kind)
        elif path == "/overview":
            self._send(json.dumps(facts.overview()).encode(), "application/json")
        elif path == "/detail":
            self._send(json.dumps(facts.detail(asked.get("stage", ""))).encode(), "application/json")
        elif path == "/slice":
            block = asked.get("block", "")
            picture = facts.slice(asked.get("stage", ""), int(block) if block.isdecimal() else -1)
            self._send(picture, "image/png")
        elif path == "/curves":
            self._send(json.dumps(facts.trainings.curves(asked.get("training", ""))).encode(), "application/json")
        elif path == "/picture":
            self._send(facts.trainings.picture(asked.get("training", "")), "image/png")
        elif path == "/favicon.ico":
            self._send(b"", "image/x-icon", HTTPStatus.NO_CONTENT)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(f"{why}\n".encode(), "text/plain; charset=utf-8", status)

    def _send(
        self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = HEADERS | {"Content-Type": kind} | (headers or {})
        if kind != "image/png" and len(body) > WORTH_ZIPPING and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing: an address may hold the token."""


def warn_of_network(host: str) -> str | None:
    """Return what must be said loudly where others reach `host`; None for this machine alone."""
    if is_loopback(host):
        return None
    return (
        f"WARNING: this dashboard is open to the network ({host}): whoever has the address below, or listens on the way, sees the "
        "run's paths, errors and pictures. It is not encrypted; ssh -L to a dashboard on 127.0.0.1 is."
    )
