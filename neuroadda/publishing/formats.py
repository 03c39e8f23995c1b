"""The table of formats, and what a module that publishes one must have."""

import importlib
from typing import Protocol, cast

from neuroadda.errors import UserError
from neuroadda.publishing.publication import Publication

FORMATS: dict[str, str] = {
    "precomputed": "neuroadda.publishing.precomputed",
    "webknossos": "neuroadda.publishing.webknossos",
    "parquet": "neuroadda.publishing.tables",
    "ply": "neuroadda.publishing.mesh_files",
    "obj": "neuroadda.publishing.mesh_files",
    "swc": "neuroadda.publishing.skeleton_files",
}
"""``--to NAME`` to the module that does it; one module may do several."""


class Publisher(Protocol):
    """What such a module has. It writes below ``publication.folder / name``, by tasks that ``publication.run`` runs."""

    def check(self, publication: Publication, name: str) -> None:
        """Raise UserError where it cannot be published; nothing is written before all formats are checked."""

    def publish(self, publication: Publication, name: str) -> None:
        """Write it. What is there already is kept; what was killed goes on."""


def find_publisher(name: str) -> Publisher:
    """Return the module of a format, imported.

    Raises
    ------
    UserError
        If the name is not known.
    """
    if name not in FORMATS:
        raise UserError(f"{name!r} is no format", "--to", f"one of: {', '.join(FORMATS)}")
    return cast(Publisher, importlib.import_module(FORMATS[name]))
