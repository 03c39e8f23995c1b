"""Verbs on a zoo of pretrained backbones."""

import typer

zoo = typer.Typer(no_args_is_help=True, help="A zoo of pretrained backbones.")
