"""Verbs on domains: how far volumes are from each other and from the zoo."""

import typer

domains = typer.Typer(
    no_args_is_help=True, help="Distances between domains: which backbones are near, and the tree of domains."
)
