"""The errors a user can cause, the failures a run can end in, and warnings."""

import errno
import logging
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

LONGEST_PART = 400
FULL_ERRNOS = frozenset({errno.EDQUOT, errno.ENOSPC})  # of a full disk, and of a quota that is used up
RIGHT_SPACE = "make space on its disk, and give the same command"
WARNINGS = "neuroadda.warnings"  # the logger of `warn`
_collected: ContextVar["list[tuple[str, str]] | None"] = ContextVar("collected", default=None)


def shorten(text: str) -> str:
    """Return text as one line of at most 400 characters, from which the middle is left out if need be."""
    line = " ".join(text.splitlines())
    if len(line) <= LONGEST_PART:
        return line
    half = LONGEST_PART // 2 - 3
    return f"{line[:half]} ... {line[-half:]}"


class UserError(Exception):
    """Something the user gave is wrong: one clear line, exit code 2. What is longer than `shorten` allows is shortened.

    Parameters
    ----------
    what
        What is wrong.
    where
        The file, key or argument it was found in.
    right
        What would be right.
    """

    exit_code = 2

    def __init__(self, what: str, where: str | None = None, right: str | None = None) -> None:
        self.what, self.where, self.right = what, where, right
        line = shorten(what) if where is None else f"{shorten(where)}: {shorten(what)}"
        super().__init__(line if right is None else f"{line}; {shorten(right)}")


def join_errors(errors: Sequence[UserError], told_by: str = "") -> UserError:
    """Return one error, still of one line, that tells the first with its mend, and what the others are.

    Parameters
    ----------
    told_by
        What tells the mend of each, if something does.
    """
    first, *others = errors
    if not others:
        return first
    told = "; ".join(shorten(one.what if one.where == first.where else f"{one.where}: {one.what}") for one in others)
    right = "" if first.right is None else f"{first.right}; "
    joined = UserError(first.what, first.where, f"{right}also wrong{told_by and f' (see {told_by})'}: {told}")
    joined.args = (f"{UserError(first.what, first.where)}; {' '.join(str(joined.right).splitlines())}",)
    return joined


def warn(what: str, where: str) -> None:
    """Log a warning: something is allowed, but may not be what was meant. The same line is logged once a process.

    Parameters
    ----------
    what
        One sentence.
    where
        The file, key or argument it was found in.
    """
    collected = _collected.get()
    if collected is None:
        _log_once(what, where)
    elif (what, where) not in collected:
        collected.append((what, where))


@cache
def _log_once(what: str, where: str) -> None:
    logging.getLogger(WARNINGS).warning("%s: %s", shorten(where), shorten(what))


def forget_warnings() -> None:
    """Let warnings that were logged before be logged again, as in a new process."""
    _log_once.cache_clear()


@contextmanager
def collect_warnings() -> Iterator[list[tuple[str, str]]]:
    """Yield a list that takes the warnings of the block, each as (what, where); none is logged."""
    collected: list[tuple[str, str]] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)


class SettingError(UserError):
    """A setting of a config is wrong: `where` is its key, below the section that `in_section` names."""

    def __init__(self, what: str, key: str, right: str | None = None) -> None:
        super().__init__(what, key, right)
        self.key = key


@contextmanager
def in_section(section: str, keep: Collection[str] = ()) -> Iterator[None]:
    """Put the name of a section before the key of a `SettingError` of the block; also a decorator.

    Parameters
    ----------
    keep
        First parts of keys that are not in the section.
    """
    try:
        yield
    except SettingError as error:
        if error.key.split(".")[0] in keep:
            raise
        raise SettingError(error.what, f"{section}.{error.key}", error.right) from error


class RunFailed(Exception):
    """A run ended with work left over: what finished is kept, a rerun goes on from there; exit code 1."""

    exit_code = 1


class PersonNeeded(Exception):
    """A run cannot go on without a person: such as to label boxes; exit code 3."""

    exit_code = 3


class RunStopped(BaseException):
    """A run was stopped by a signal: what finished is kept; exit code is 128 plus the signal's number.

    Not an `Exception`: a block that is interrupted must not count as failed.
    """

    def __init__(self, signum: int) -> None:
        self.signum, self.exit_code = signum, 128 + signum
        by = "Ctrl-C (SIGINT)" if signum == signal.SIGINT else signal.Signals(signum).name
        super().__init__(f"stopped by {by}; run the same command again to go on")
