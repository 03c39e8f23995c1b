"""What must not be on a page: logins in URLs, and the very words that the ledger's URL holds."""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

LOGIN = re.compile(r"(?<=://)[^\s/@'\"<>]*(?::[^\s@'\"<>]*)?@")
SECRET_OPTION = re.compile("pass|secret|token|key|properties", re.IGNORECASE)
HIDDEN = "***"
SHORTEST = 4  # a shorter word stands in many places by chance


class Redaction:
    """Hides secrets in all that is shown.

    Parameters
    ----------
    url
        Of the ledger: its password and the values of options that hold secrets are hidden wherever they stand.
    """

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.partition("://")
        login = "" if scheme == "sqlite" else rest.rpartition("@")[0]
        options = parse_qsl(urlsplit(url).query)
        words = {login.partition(":")[2], *(value for name, value in options if SECRET_OPTION.search(name))}
        words |= {unquote(word) for word in words}
        self._words = sorted((word for word in words if len(word) >= SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        for word in self._words:
            text = text.replace(word, HIDDEN)
        return LOGIN.sub(f"{HIDDEN}@", text)

    def clean(self, data: Any) -> Any:
        """Return plain data, every text in it without them."""
        match data:
            case str():
                return self(data)
            case dict():
                return {key: self.clean(value) for key, value in data.items()}
            case list() | tuple():
                return [self.clean(value) for value in data]
        return data
