"""``--to ply`` and ``--to obj``: a file for each segment, xyz in nm."""

from neuroadda.publishing.meshes import write_meshes
from neuroadda.publishing.publication import Publication, require_packages


def check(publication: Publication, name: str) -> None:
    """Raise UserError if a package is missing."""
    require_packages(f"--to {name}", "zmesh", "trimesh")


def publish(publication: Publication, name: str) -> None:
    """Write ``<name>/<id>.<name>``."""
    write_meshes(publication, name, publication.folder / name)  # type: ignore[arg-type]
