"""The dashboard's web server: it answers GET alone, and changes nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from neuroadda.errors import UserError
from neuroadda.viewing.access import COOKIE, choose_token, is_same_machine, is_token, read_token
from neuroadda.viewing.dashboard.facts import Facts
from neuroadda.viewing.web import HEADERS, WebHandler, WebServer

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page-detail.js": ("page-detail.js", "text/javascript; charset=utf-8"),
    "/page-training.js": ("page-training.js", "text/javascript; charset=utf-8"),
    "/page-draw.js": ("page-draw.js", "text/javascript; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LONGEST_TARGET = 1000


class Dashboard(WebServer):
    """A run's page at an address.

    Attributes
    ----------
    url
        Of the page, with the token that opens it.
    """

    def __init__(self, facts: Facts, host: str, port: int, token: str | None) -> None:
        self.facts = facts
        super().__init__(_Handler, host, port, token)
        self.url = f"{self.address}/" + (f"?token={quote(token)}" if token else "")


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


class _Handler(WebHandler):
    server: Dashboard
    headers_of_all = HEADERS | {"Content-Security-Policy": POLICY}

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        asked = {key: values[-1] for key, values in parse_qs(target.query).items()}
        if len(self.path) > LONGEST_TARGET:
            return self.refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "this address is too long")
        if self.server.token is None:
            if not is_same_machine(self.headers.get("Host")):
                return self.refuse(HTTPStatus.FORBIDDEN, "this dashboard is for the machine it runs on: use 127.0.0.1")
        elif is_token(self.server.token, asked.get("token")):
            # The address of the page that is kept, shared or shown must not hold the token.
            cookie = f"{COOKIE}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            return self.send(b"", "text/plain", HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie})
        elif not is_token(self.server.token, read_token(self.headers)):
            return self.refuse(
                HTTPStatus.FORBIDDEN,
                "This dashboard needs its token: open the address that `neuroadda dashboard` printed, ?token=... included.",
            )
        try:
            self._answer(target.path, asked)
        except UserError as error:
            self.refuse(HTTPStatus.NOT_FOUND, str(error))

    do_HEAD = do_GET

    def _answer(self, path: str, asked: dict[str, str]) -> None:
        facts = self.server.facts
        if path in FILES:
            name, kind = FILES[path]
            self.send((Path(__file__).parent / name).read_bytes(), kind)
        elif path == "/overview":
            self.send(json.dumps(facts.overview()).encode(), "application/json")
        elif path == "/detail":
            self.send(json.dumps(facts.detail(asked.get("stage", ""))).encode(), "application/json")
        elif path == "/slice":
            block = asked.get("block", "")
            picture = facts.slice(asked.get("stage", ""), int(block) if block.isdecimal() else -1)
            self.send(picture, "image/png")
        elif path == "/curves":
            self.send(json.dumps(facts.trainings.curves(asked.get("training", ""))).encode(), "application/json")
        elif path == "/picture":
            self.send(facts.trainings.picture(asked.get("training", "")), "image/png")
        elif path == "/favicon.ico":
            self.send(b"", "image/x-icon", HTTPStatus.NO_CONTENT)
        else:
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
