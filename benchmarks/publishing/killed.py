"""Publish, kill all its processes once some files are there, and publish again: the same command, which goes on.

    python -m benchmarks.publishing.killed FOLDER FILES COMMAND ...

FOLDER is watched; the kill comes when it holds FILES files. Prints JSON: whether the kill came before the end.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_SECONDS = 0.05


def main() -> int:
    """Run the command, kill it, and run it again; return its exit code."""
    folder, files, command = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    process = subprocess.Popen(command, start_new_session=True, stdout=sys.stderr)
    while process.poll() is None and count_files(folder) < files:
        time.sleep(LOOK_SECONDS)
    killed = process.poll() is None
    if killed:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while is_there(process.pid):
            time.sleep(LOOK_SECONDS)
    print(json.dumps({"killed": killed, "files": count_files(folder)}))
    return subprocess.run(command, stdout=sys.stderr).returncode


def count_files(folder: Path) -> int:
    """Return the number of whole files in a folder; 0 where there is none."""
    try:
        return sum(not name.startswith(".") and not name.endswith(".__lock") for name in os.listdir(folder))
    except FileNotFoundError:
        return 0


def is_there(group: int) -> bool:
    """Tell whether a process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
