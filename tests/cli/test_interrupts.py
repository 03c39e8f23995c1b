"""Ctrl-C is heard at any moment of a command's start, and a command says at once that it is at work."""

import os
import pty
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from neuroadda.volumes.phantom import PhantomConfig, write_phantom
from tests.waiting import Gate, wait_until

HEAR = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # tests in the background of a shell are deaf to it
LOST = {
    "a destructor": "class Deaf:\n    def __del__(self): interrupt()\nDeaf()\n",
    "a weak reference": "import weakref\nclass Deaf: pass\nd = Deaf()\nr = weakref.ref(d, lambda _: interrupt())\ndel d\n",
    "a garbage collection": "import gc\ngc.callbacks.append(lambda *_: (gc.callbacks.clear(), interrupt()))\ngc.collect()\n",
    "plain code": "interrupt()\n",
}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], preexec_fn=HEAR, capture_output=True, text=True, check=False, env=os.environ
    )


@pytest.mark.parametrize("place", LOST)
def test_an_interrupt_is_heard_wherever_it_comes(place: str) -> None:
    code = (
        "import os, signal, time\n"
        "from neuroadda.cli.interrupts import raise_by_interrupt\n"
        "from neuroadda.cli.main import tell_errors\n"
        "def interrupt(): os.kill(os.getpid(), signal.SIGINT); time.sleep(0)\n"
        "with tell_errors(), raise_by_interrupt():\n"
        + "".join(f"    {line}\n" for line in LOST[place].splitlines())
        + "    while True: time.sleep(0.01)\n"
    )
    ended = run_python(code)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr == "neuroadda: stopped by Ctrl-C (SIGINT); run the same command again to go on\n"


def test_an_interrupt_while_the_command_is_imported_is_told_in_a_line() -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import neuroadda.cli\n"
    )
    ended = run_python(code)
    assert ended.returncode == 130
    assert ended.stderr == "neuroadda: stopped by Ctrl-C (SIGINT); run the same command again to go on\n"


def test_who_ignores_ctrl_c_still_does() -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from neuroadda.cli.interrupts import raise_by_interrupt\n"
        "with raise_by_interrupt(): os.kill(os.getpid(), signal.SIGINT)\n"
        "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)\n"
    )
    assert run_python(code).stdout == "True\n"


@pytest.mark.parametrize("verb", ["segment", "train"])
def test_a_command_tells_that_it_is_at_work_before_it_imports_torch(tmp_path: Path, verb: str) -> None:
    write_phantom(PhantomConfig(shape_vx=(8, 64, 64)), tmp_path / "p.zarr")
    gate = Gate(tmp_path / "gate")
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.waiting import Gate\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'torch': Gate(Path({str(gate.folder)!r})).go_through()\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from neuroadda.cli import main\n"
        "main()\n"
    )
    inputs = {"segment": ["raw", "--backbone", "mouse_cortex_sssem"], "train": ["raw", "p.zarr/labels"]}[verb]
    inputs[0] = "p.zarr/raw"
    ours, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, verb, *inputs, "-o", "out"],
        cwd=tmp_path,
        preexec_fn=HEAR,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    wait_until(lambda: gate.held, process)
    assert os.read(ours, 1000) == b"note: importing torch, which takes some seconds\r\n"
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert b"Traceback" not in os.read(ours, 1000)
    os.close(ours)
    os.close(terminal)
    assert not (tmp_path / "out").exists()
