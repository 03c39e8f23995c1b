"""What must not be shown or passed on: logins in URLs, secret options, and the very words of known secrets wherever they stand."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

LOGIN = re.compile(r"(?<=://)[^\s/@'\"<>]*(?::[^\s@'\"<>]*)?@")
SECRET_OPTION = re.compile("pass|secret|token|key|properties", re.IGNORECASE)
SECRET_VARIABLE = re.compile("pass|secret|token|key|credential|auth", re.IGNORECASE)
SECRET_KEY = re.compile("pass(word|phrase)|secret|token", re.IGNORECASE)
QUERY = re.compile(r"([?&][^=&\s]*(?:pass|secret|token|key|sig|credential)[^=&\s]*=)[^&\s'\"<>]+", re.IGNORECASE)
HIDDEN = "***"
SHORTEST = 4  # a shorter word stands in many places by chance
SHORTEST_VALUE = 6  # of a variable, such as "true"


class Redaction:
    """Hides secrets in all that is shown.

    Parameters
    ----------
    url
        Of the ledger: its password and the values of options that hold secrets are hidden wherever they stand.
    environment
        Variables: hidden are the values of those whose names say that they are secret, and the passwords of URLs in others.
    """

    def __init__(self, url: str = "", environment: Mapping[str, str] | None = None) -> None:
        words = set(_list_words(url))
        for name, value in (environment or {}).items():
            words |= set(_list_words(value)) if "://" in value else set()
            words |= {value} if SECRET_VARIABLE.search(name) and len(value) >= SHORTEST_VALUE else set()
        words |= {unquote(word) for word in words} | {quote(word, safe="") for word in words}
        self._words = sorted((word for word in words if len(word) >= SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return QUERY.sub(rf"\g<1>{HIDDEN}", LOGIN.sub(f"{HIDDEN}@", text))

    def clean(self, data: Any) -> Any:
        """Return plain data, every text in it without them."""
        match data:
            case str():
                return self(data)
            case dict():
                return {key: HIDDEN if _is_secret(key, value) else self.clean(value) for key, value in data.items()}
            case list() | tuple():
                return [self.clean(value) for value in data]
        return data


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and bool(SECRET_KEY.search(str(key)))


def _list_words(url: str) -> Iterator[str]:
    """Yield the password of a URL, and the values of its options that hold secrets."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return
    yield rest.rpartition("@")[0].partition(":")[2]
    try:
        options = parse_qsl(urlsplit(url).query)
    except ValueError:  # no URL after all
        return
    yield from (value for name, value in options if SECRET_OPTION.search(name))
