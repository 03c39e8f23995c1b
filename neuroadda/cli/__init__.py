"""The `neuroadda` command: one verb a stage. It parses, calls and prints; whatever is slow to import is imported in a verb."""

from neuroadda.cli.interrupts import quit_by_interrupt

with quit_by_interrupt():
    from neuroadda.cli.main import app, main

__all__ = ["app", "main"]
