"""Neuroglancer's own pages: those that come with its Python package, which needs no network, else a public instance."""

import importlib.util
import re
from pathlib import Path

NAME = re.compile(r"[a-z0-9][A-Za-z0-9_\-.]*\.(js|css|wasm|html|map)")
TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "wasm": "application/wasm",
    "map": "application/json",
}
INDEX = "index.html"


def find_client() -> Path | None:
    """Return the folder of the pages in the package `neuroglancer` (extra ``view``), which is not imported; None without."""
    spec = importlib.util.find_spec("neuroglancer")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "static" / "client"
    return folder if (folder / INDEX).is_file() else None


def read_client(folder: Path, name: str) -> tuple[bytes, str] | None:
    """Return a file of the pages and its media type; None where there is no such file."""
    name = name or INDEX
    found = NAME.fullmatch(name)
    if found is None or not (folder / name).is_file():
        return None
    return (folder / name).read_bytes(), TYPES[found[1]]
