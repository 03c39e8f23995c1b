"""The `neuroadda` command: one verb a stage. It parses, calls and prints; whatever is slow to import is imported in a verb."""

from neuroadda.cli.main import app, main

__all__ = ["app", "main"]
