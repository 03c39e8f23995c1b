"""The command itself: its verbs, and how errors are told."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any

import typer
from typer.main import get_command

from neuroadda import __version__
from neuroadda.cli import (
    active,
    adaptation,
    checking,
    dashboard,
    failures,
    proofreading,
    publishing,
    pyramids,
    reporting,
    runs,
    training,
    tuning,
    view,
    volumes,
)
from neuroadda.cli.domains import domains, rank
from neuroadda.cli.edits import edits
from neuroadda.cli.interrupts import raise_by_interrupt
from neuroadda.cli.ledger import ledger
from neuroadda.cli.verbosity import QUIET, VERBOSE, is_quiet, print_traceback, take_verbosity
from neuroadda.cli.working import Silence, WorkLines
from neuroadda.cli.zoo import zoo
from neuroadda.errors import FULL_ERRNOS, RIGHT_SPACE, WARNINGS, PersonNeeded, RunFailed, RunStopped, UserError
from neuroadda.observing import watched_by
from neuroadda.wording import format_text

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From raw electron microscopy to neurons, with as few human labels as possible.",
    epilog="Exit codes: 0 done; 1 something is left over, see `neuroadda status`; 2 what was given is wrong; 3 a person is needed; "
    "130 and 143 stopped, the same command goes on. See docs/exit_codes.md.",
)
app.add_typer(volumes.app)
app.add_typer(checking.app)
app.add_typer(pyramids.app)
app.add_typer(publishing.app)
app.add_typer(training.app)
app.add_typer(runs.app)
app.add_typer(failures.app)
app.add_typer(reporting.app)
app.add_typer(dashboard.app)
app.add_typer(view.app)
app.add_typer(active.app)
app.add_typer(adaptation.app)
app.add_typer(tuning.app)
app.add_typer(proofreading.app)
app.add_typer(active.proposals, name="proposals")
zoo.command()(rank)
app.add_typer(zoo, name="zoo")
app.add_typer(domains, name="domains")
app.add_typer(edits, name="edits")
app.add_typer(ledger, name="ledger")


def main() -> None:
    """Run the command."""
    _show_warnings()
    with take_verbosity(sys.argv[1:]) as arguments:
        observer = Silence() if is_quiet() else WorkLines()
        with tell_errors(), raise_by_interrupt(), watched_by(observer):
            build_command()(arguments)


@cache
def build_command() -> Callable[[Sequence[str]], Any]:
    """Return all verbs with their options, built once however often `main` is called."""
    return get_command(app)


@contextmanager
def tell_errors() -> Iterator[None]:
    """Tell an error that is no bug in a line, and end with its own `exit_code` (see `neuroadda.errors`)."""
    try:
        yield
    except (UserError, RunFailed, PersonNeeded, RunStopped) as error:
        print_traceback(error)
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        print_traceback(error)
        lacking = UserError(
            "the package torch is missing", sys.prefix, "pip install torch; docs/install.md has its builds"
        )
        _fail(str(lacking), lacking.exit_code)
    except KeyboardInterrupt:
        _fail("stopped; run the same command again to go on", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno not in FULL_ERRNOS:
            raise
        print_traceback(error)
        full = UserError(f"it cannot be written: {error.strerror}", error.filename, RIGHT_SPACE)
        _fail(str(full), full.exit_code)


def _show_warnings() -> None:
    """Print the library's warnings to stderr, a line each; what else it logs goes where Python has it go."""
    logger = logging.getLogger(WARNINGS)
    if not logger.handlers:
        logger.addHandler(_WarningLine())


class _WarningLine(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"neuroadda: warning: {format_text(record.getMessage())}", file=sys.stderr)


def _fail(message: str, code: int) -> None:
    print(f"neuroadda: {format_text(message)}", file=sys.stderr)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    quiet: Annotated[bool, typer.Option(QUIET, help="Print no progress and no notes. Also after a verb.")] = False,
    verbose: Annotated[bool, typer.Option(VERBOSE, help="Print logs and tracebacks, too. Also after a verb.")] = False,
) -> None:
    """From raw electron microscopy to neurons, with as few human labels as possible."""
    if show:
        print(f"neuroadda {__version__}")
        raise typer.Exit
