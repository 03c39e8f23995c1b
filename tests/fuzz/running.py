"""The command on one input, in a process of its own that is forked from one with everything imported: its end is the verdict."""

import multiprocessing
import os
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 240.0
LIMIT_BYTES = 4 * 2**30
LONGEST_LINE = 1300
USERS_FAULT = 2
PRELOAD = (
    *("neuroadda.cli.main", "neuroadda.flow", "neuroadda.training.trainer", "neuroadda.zoo.adding"),
    *("neuroadda.domains.tree", "neuroadda.viewing.domain_figures", "neuroadda.viewing.contact_sheet"),
    *(
        "neuroadda.active.labels",
        "neuroadda.active.exports",
        "neuroadda.evaluation.measure",
        "neuroadda.viewing.run_report",
    ),
    *("neuroadda.volumes.importing", "neuroadda.segmentation.pipeline", "zarr", "h5py", "tifffile", "torch"),
)
PROGRESS = re.compile(r"note: |[\w-]+: \d+/\d+ blocks")

Tree = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes
    ----------
    code
        Exit code; negative for a signal, None if it was killed for taking too long.
    out, err
        What it printed.
    """

    code: int | None
    out: str
    err: str


def run_forked(arguments: list[str], folder: Path) -> Ended:
    """Run the command's own `main` in `folder`, in a process forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    outputs = folder.parent / "out", folder.parent / "err"
    process = context.Process(target=_main, args=(arguments, folder, *outputs))
    process.start()
    process.join(LIMIT_SECONDS)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    return Ended(code, *(path.read_text(errors="replace") for path in outputs))


def run_subprocess(arguments: list[str], folder: Path) -> Ended:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "neuroadda.cli", *arguments]
    environment = os.environ | _environment(folder) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired as late:
        return Ended(None, *((text or b"").decode(errors="replace") for text in (late.stdout, late.stderr)))
    return Ended(ended.returncode, *(text.decode(errors="replace") for text in (ended.stdout, ended.stderr)))


def _environment(folder: Path) -> dict[str, str]:
    return {"NEUROADDA_CACHE": str(folder.parent / "cache"), "PYTHONUTF8": "1"}


def _main(arguments: list[str], folder: Path, out: Path, err: Path) -> None:
    from neuroadda.cli import main

    for path, stream in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(folder)
    os.environ.update(_environment(folder))
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = ["neuroadda", *arguments]
    main()


def list_tree(folder: Path) -> Tree:
    """Return size and time of change of every file below `folder`; of folders, that they are there."""
    found = {str(path.relative_to(folder)): (path, path.lstat()) for path in folder.rglob("*")}
    return {name: (0, 0) if path.is_dir() else (s.st_size, s.st_mtime_ns) for name, (path, s) in found.items()}


def judge(ended: Ended, before: Tree, after: Tree, codes: tuple[int, ...]) -> str | None:
    """Return what is wrong with how a command ended, None if it is as promised.

    Parameters
    ----------
    before, after
        The folder it ran in.
    codes
        Exit codes that are documented for its verb, beside 0 and 2.
    """
    if ended.code is None:
        return f"it did not end in {LIMIT_SECONDS:.0f} s"
    if "Traceback (most recent call last)" in ended.err + ended.out:
        return "a traceback"
    if ended.code not in (0, USERS_FAULT, *codes):
        return f"exit code {ended.code}"
    if any(name.endswith((".partial", ".old")) for name in after):
        return "something half-written is left"
    if ended.code != USERS_FAULT:
        return None
    told = [line for line in ended.err.splitlines() if line.strip() and not PROGRESS.match(line)]
    told = [line for line in told if not line.startswith("neuroadda: warning: ")]
    if len(told) != 1 or not told[0].startswith("neuroadda: "):
        return f"{len(told)} lines on what is wrong"
    if len(told[0]) > LONGEST_LINE:
        return f"a line of {len(told[0])} characters"
    changed = sorted({name for name, _ in before.items() ^ after.items()})
    return f"it failed and left {', '.join(changed[:5])}" if changed else None
