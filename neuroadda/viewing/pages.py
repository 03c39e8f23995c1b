"""HTML pages from the templates beside this file."""

from pathlib import Path

import jinja2


def open_template(name: str, **filters: object) -> jinja2.Template:
    """Return a template that escapes what it is given and fails on what it is not; `filters` are added to jinja's own."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)
