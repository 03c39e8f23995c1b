"""Who may look: everybody on this machine, or whoever knows the token."""

import hmac
import ipaddress
import secrets
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from neuroadda.errors import UserError

COOKIE = "neuroadda_dashboard"
SHORTEST_TOKEN = 16
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def choose_token(host: str, given: str | None) -> str | None:
    """Return the token that is demanded: the given one, a new one where the network can reach `host`, else None.

    Raises
    ------
    UserError
        If the given one is easily guessed.
    """
    if given is None:
        return None if is_loopback(host) else secrets.token_urlsafe(24)
    if len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise UserError(
            f"a token has at least {SHORTEST_TOKEN} letters, without spaces", "--token", "leave it out to get one"
        )
    return given


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_same_machine(host_header: str | None) -> bool:
    """Tell whether a request names this machine: another name that leads here is a page's trick (DNS rebinding)."""
    try:
        name = urlsplit(f"//{host_header}").hostname
    except ValueError:
        return False
    return name in LOCAL_NAMES or (name is not None and is_loopback(name))


def is_token(token: str, told: str | None) -> bool:
    """Compare in a time that says nothing of where they differ."""
    return told is not None and hmac.compare_digest(told.encode(), token.encode())


def read_token(headers: Message) -> str | None:
    """Return the token that a request's cookie or ``Authorization: Bearer`` tells."""
    kind, _, bearer = (headers.get("Authorization") or "").partition(" ")
    if kind.lower() == "bearer":
        return bearer.strip()
    try:
        cookie = SimpleCookie(headers.get("Cookie") or "").get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None


def warn_of_network(
    host: str, server: str = "dashboard", sees: str = "the run's paths, errors and pictures"
) -> str | None:
    """Return what must be said loudly where others reach `host`; None for this machine alone."""
    if is_loopback(host):
        return None
    return (
        f"WARNING: this {server} is open to the network ({host}): whoever has the address below, or listens on the way, sees "
        f"{sees}. It is not encrypted; ssh -L to a {server} on 127.0.0.1 is."
    )
