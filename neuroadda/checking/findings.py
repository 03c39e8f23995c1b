"""What checks have found: right, doubtful or wrong, and how to mend it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from neuroadda.errors import SettingError, UserError, collect_warnings, join_errors, warn

Level = Literal["right", "doubtful", "wrong"]
LEVELS: tuple[Level, ...] = ("right", "doubtful", "wrong")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    where
        The key of the config, such as ``segment.raw``, or the file.
    what
        What was found.
    mend
        What would be right; None where all is right.
    """

    level: Level
    where: str
    what: str
    mend: str | None = None


class Findings:
    """Collects findings, in the order of the checks; nothing that is wrong stops the checks that come after it.

    Attributes
    ----------
    for_run
        A run is about to begin. It tells itself whose results lie in its outputs, and does the blocks that can be read.
    dry_run
        Nothing will be written: a disk on which there is no room is only doubtful.
    all
        Every finding.
    facts
        What is known of a volume, where one was looked at: see `neuroadda.volumes.info.describe`.
    """

    def __init__(self, *, for_run: bool = False, dry_run: bool = False) -> None:
        self.for_run, self.dry_run = for_run, dry_run
        self.facts: dict[str, Any] = {}
        self.all: list[Finding] = []
        self._errors: list[UserError] = []
        self._warnings: dict[Finding, tuple[str, str]] = {}

    def __getitem__(self, level: Level) -> list[Finding]:
        """Return the findings of a level."""
        return [finding for finding in self.all if finding.level == level]

    def note(self, where: str, what: str) -> None:
        """Add something that is right."""
        self._add(Finding("right", where, what))

    def doubt(self, where: str, what: str, mend: str) -> None:
        """Add something that is allowed, but may not be what was meant."""
        self._add(Finding("doubtful", where, what, mend))

    def fault(self, where: str, what: str, mend: str) -> None:
        """Add something that is wrong."""
        self.add_error(UserError(what, where, mend), where, mend)

    def add_error(self, error: UserError, where: str, mend: str) -> None:
        """Add the error that a run would end in.

        Parameters
        ----------
        where
            The key that was looked at; its first part is the section that the key of a `SettingError` is in.
        mend
            What is told where the error does not tell it.
        """
        if isinstance(error, SettingError):
            section = where.partition(".")[0]
            where = error.key if error.key.partition(".")[0] == section else f"{section}.{error.key}"
            error = SettingError(error.what, where, error.right)
        what = error.what if error.where in (None, where) else f"{error.where}: {error.what}"
        if self._add(Finding("wrong", where, what, error.right or mend)):
            self._errors.append(error)

    def attempt(
        self, where: str, mend: str, function: Callable[P, T], *arguments: P.args, **named: P.kwargs
    ) -> T | None:
        """Return what a function returns; a `UserError` is a fault, its warnings are doubts. None where it fails.

        Parameters
        ----------
        where, mend
            As `add_error`.
        """
        with collect_warnings() as warnings:
            try:
                return function(*arguments, **named)
            except UserError as error:
                self.add_error(error, where, mend)
            except OSError as error:
                self.add_error(UserError(f"it cannot be read ({error.strerror or error})", where, mend), where, mend)
            finally:
                for what, place in warnings:
                    doubt = Finding("doubtful", where, what if place == where else f"{place}: {what}", mend)
                    self._warnings[doubt] = what, place
                    self._add(doubt)
        return None

    def enforce(self) -> None:
        """Log what is doubtful, a warning each.

        Raises
        ------
        UserError
            If something is wrong: the first fault with its mend, and what the others are.
        """
        if self._errors:
            raise join_errors(self._errors, "`neuroadda check`") from (
                self._errors[0] if len(self._errors) > 1 else None
            )
        for finding in self["doubtful"]:
            warn(*self._warnings.get(finding, (f"{finding.what}; {finding.mend}", finding.where)))

    def add_all(self, others: "Findings", without: str | None = None) -> None:
        """Add all findings of others, but for those in which a text occurs."""
        self.all += [one for one in others.all if without is None or without not in f"{one.where} {one.what}"]
        self._errors += others._errors
        self._warnings |= others._warnings

    def to_data(self) -> list[dict[str, Any]]:
        """Return all findings as plain data, what is wrong last."""
        return [asdict(finding) for level in LEVELS for finding in self[level]]

    def _add(self, finding: Finding) -> bool:
        new = finding not in self.all
        if new:
            self.all.append(finding)
        return new
