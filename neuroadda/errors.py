"""The errors a user can cause, and the failures a run can end in."""


class UserError(Exception):
    """Something the user gave is wrong: one clear line, exit code 2.

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
        line = what if where is None else f"{where}: {what}"
        super().__init__(line if right is None else f"{line}; {right}")


class RunFailed(Exception):
    """A run ended with work left over: what finished is kept, a rerun goes on from there; exit code 1."""

    exit_code = 1


class PersonNeeded(Exception):
    """A run cannot go on without a person: boxes wait for labels, or no source of a zoo is near; exit code 3."""

    exit_code = 3


class RunStopped(BaseException):
    """A run was stopped by a signal: what finished is kept; exit code is 128 plus the signal's number.

    Not an `Exception`, lest a block that is interrupted be taken for one that failed.
    """

    def __init__(self, signum: int) -> None:
        self.exit_code = 128 + signum
        super().__init__(f"stopped by signal {signum}; run the same command again to go on")
