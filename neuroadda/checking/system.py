"""What this machine is, and which releases are installed."""

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from neuroadda.processes import count_cores
from neuroadda.wording import format_bytes


def name_processor() -> str:
    """Return the processor's name; empty where it is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def describe_machine() -> dict[str, str]:
    """Return the system, the processor, its cores, the memory, and the GPUs that torch sees."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.platform(),
        "processor": name_processor(),
        "cores": f"{os.cpu_count()}, {count_cores()} of them for this process",
        "memory": format_bytes(memory),
        "GPUs": _name_gpus(),
    }


def list_versions() -> dict[str, str]:
    """Return the releases of Python, of neuroadda, and of each package that it or an extra of it requires, if it is installed."""
    found = {"Python": platform.python_version(), "from": sys.executable}
    for name in ("neuroadda", *_list_required()):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _list_required() -> list[str]:
    try:
        required = requires("neuroadda") or []
    except PackageNotFoundError:  # run from a folder of its sources
        return []
    return sorted({re.split(r"[^\w.-]", line)[0].lower() for line in required})


def _name_gpus() -> str:
    try:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except Exception as error:  # a broken installation of torch or of a driver is what a report is to tell
        return f"{type(error).__name__}: {error}"
    return ", ".join(names) or "none"
