"""Addresses of volumes in a viewer: names are percent-encoded, so that a server finds the folder."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from neuroadda.errors import UserError
from neuroadda.viewing.viewer.addresses import served_address


@pytest.mark.parametrize("name", ["gel #1", "what?", "0.2%41", "a b", "größe", "a&b=c", "a+b", "a'b\"c", "plain"])
def test_any_name_is_found_below_the_address(tmp_path: Path, name: str) -> None:
    address = served_address(tmp_path / name / "v.zarr/raw", tmp_path, "http://127.0.0.1:8000/")
    parts = urlsplit(address)
    assert (parts.netloc, parts.query, parts.fragment) == ("127.0.0.1:8000", "", "")
    assert unquote(parts.path) == f"/{name}/v.zarr/raw"
    assert not set(address) & set(" \"<>'")
    if name == "plain":
        assert address == "http://127.0.0.1:8000/plain/v.zarr/raw"


@pytest.mark.parametrize(
    ("base", "begin"),
    [
        ("http://host/my data", "http://host/my%20data/raw"),
        ("https://me@host:8000/a%20b/?x=1&y=<2>", "https://me@host:8000/a%20b/?x=1&y=%3C2%3E/raw"),
        ("http://[::1]:80/größe", "http://[::1]:80/gr%C3%B6%C3%9Fe/raw"),
    ],
)
def test_an_address_is_encoded_once(tmp_path: Path, base: str, begin: str) -> None:
    assert served_address(tmp_path / "raw", tmp_path, base) == begin


def test_what_is_not_served_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it is not below .*; give another --root"):
        served_address(tmp_path / "raw", tmp_path / "run", "http://127.0.0.1:8000")
