"""Hold the writes of other programs by a gate, whatever stage or library makes them: the audit hook of Python sees every `open`."""

import os
import re
import sys
from pathlib import Path

from tests.waiting import Gate

ROOT = Path(__file__).parents[1]
NUMBERED = re.compile(r"\.?\d")  # a chunk's or a block's file, or the temporary one that becomes it; no metadata


def hold_writes(target: Path, gate: Gate) -> dict[str, str]:
    """Return the environment of a program in which each file goes through the gate when it is opened to be written.

    The gate's folder is on the program's path: there is a `sitecustomize`, which every Python process imports first.

    Parameters
    ----------
    target
        The file to hold, or a folder, of which all numbered files are held.
    """
    code = f"from tests import holding\nholding.install({str(target)!r}, {str(gate.folder)!r})\n"
    (gate.folder / "sitecustomize.py").write_text(code)
    path = [str(gate.folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path)}


def install(target: str, gate_folder: str) -> None:
    """Hold the writes of this process and of those that it forks."""
    gate = Gate(Path(gate_folder))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event != "open":
            return
        path, _, flags = arguments
        if not isinstance(path, str) or not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
            return
        folder, _, name = path.rpartition("/")
        if path == target or (f"{folder}/".startswith(f"{target}/") and NUMBERED.match(name)):
            gate.go_through()

    sys.addaudithook(hook)
