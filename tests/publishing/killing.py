"""Publish in a process that kills itself."""

import signal
import subprocess
import sys
from pathlib import Path

import neuroadda as na
from neuroadda.publishing.publication import PublishConfig

ROOT = Path(na.__file__).parents[1]
KILLED = """
import os, signal, sys
from neuroadda.publishing import {module}
from neuroadda.publishing.publication import PublishConfig
from neuroadda.publishing.publishing import publish_run
number, limit = [0], {limit}
real = {module}.{function}
def counting(*args, **named):
    number[0] += 1
    if number[0] > limit:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **named)
{module}.{function} = counting
publish_run(PublishConfig.model_validate_json(sys.argv[1]))
"""


def publish_until_killed(config: PublishConfig, module: str, function: str, limit: int) -> None:
    """Publish; the process is killed when it calls a function of a module of `publishing` once more than `limit` times."""
    code = KILLED.format(module=module, function=function, limit=limit)
    killed = subprocess.run([sys.executable, "-c", code, config.model_dump_json()], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
