"""What is run on a spoiled input, and what an import of it has to give."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutations import Rng
from tests.fuzz.places import Imported


@dataclass(frozen=True)
class Command:
    """What is run on a spoiled input.

    Attributes
    ----------
    arguments
        Of the command.
    codes
        Exit codes that are documented for it, beside 0 and 2.
    imported
        Of an import: what must have come in where it is accepted.
    """

    arguments: list[str]
    codes: tuple[int, ...] = ()
    imported: Imported | None = None


Kind = Callable[[Rng, Path], Command]
