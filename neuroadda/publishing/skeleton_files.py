"""``--to swc``: a file for each segment; x, y, z and radius in nm."""

from neuroadda.publishing.publication import Publication
from neuroadda.publishing.skeletons import write_skeletons


def check(publication: Publication, name: str) -> None:
    """Accept: nothing is needed that is not installed with neuroadda."""


def publish(publication: Publication, name: str) -> None:
    """Write ``swc/<id>.swc``."""
    write_skeletons(publication, "swc", publication.folder / name)
