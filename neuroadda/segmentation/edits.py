"""Edits: what proofreaders have decided of a run's fragments, which are one neuron and which are not."""

import json
from typing import Final, Literal

from pydantic import Field

from neuroadda.config import Config, ZyxFloat, fingerprint
from neuroadda.errors import UserError

Kind = Literal["merge", "split"]
MERGE: Final = "merge"
SPLIT: Final = "split"


class Edit(Config):
    """A decision on two fragments.

    Attributes
    ----------
    id
        1, 2, ... in the order of the file.
    kind
        "merge": both are of one neuron. "split": they are of two.
    fragments
        Ids of the two.
    made_of
        Fingerprint of the fragments that have these ids.
    points
        A place in each (zyx, nm), where fragments that are made again are looked up once more; None where only ids were given.
    who
        Who decided.
    when
        UTC, ISO 8601.
    """

    id: int = Field(ge=1)
    kind: Kind
    fragments: tuple[int, int]
    made_of: str
    points: tuple[ZyxFloat, ZyxFloat] | None = None
    who: str
    when: str

    def is_of(self, fragments: str) -> bool:
        """Tell whether its ids are those of the fragments with a fingerprint; else it is stale."""
        return self.made_of == fragments

    def describe(self) -> str:
        """Return such as ``split 3 (ann, 2026-11-29T03:22:44Z)``."""
        return f"{self.kind} {self.id} ({self.who}, {self.when})"


class Undo(Config):
    """An edit is no longer meant: its id, who said so, and when."""

    undo: int
    who: str
    when: str


class Edits(Config):
    """Edits that components are made with.

    Attributes
    ----------
    edits
        In force, by id.
    """

    edits: tuple[Edit, ...]

    def digest(self, fragments: str) -> str:
        """Return the sha256 of what is decided of the fragments with a fingerprint.

        Who decided, when, and in which order is no part of it.
        """
        return fingerprint(sorted({self._say(edit, fragments) for edit in self.edits}))

    @staticmethod
    def _say(edit: Edit, fragments: str) -> tuple[str, str]:
        pair = edit.fragments if edit.is_of(fragments) else edit.points
        return edit.kind, json.dumps(sorted(pair or ()))

    def check_fresh(self, fragments: str) -> None:
        """Raise UserError if an edit is stale and has no points by which its fragments could be looked up."""
        stale = [edit for edit in self.edits if not edit.is_of(fragments) and edit.points is None]
        if stale:
            what = f"{stale[0].describe()} is stale: its fragments {' and '.join(map(str, stale[0].fragments))} were made again"
            more = f", as are {len(stale) - 1} others" if len(stale) > 1 else ""
            right = f"`neuroadda edits undo RUN {stale[0].id}`, and decide it by points"
            raise UserError(what + more + ", and it has no points", "edits", right)
