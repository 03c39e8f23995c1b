"""What a run needs of this machine and of what it reaches: output, disk, ledger, workers, memory, GPUs."""

import os
import shutil
from collections.abc import Mapping, Sequence
from errno import EACCES, EROFS
from pathlib import Path

import numpy as np

from neuroadda.backbones.card import Card
from neuroadda.backbones.fast_path import runs_in_chunks
from neuroadda.backbones.memory import AT_ONCE, CHUNK_VALUES, count_pass_bytes
from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.launchers import check_launcher
from neuroadda.checking.findings import Findings
from neuroadda.config import Zyx
from neuroadda.forecast.disk import BYTES_PER_VOXEL, ENOUGH, TOO_LITTLE
from neuroadda.ledger.mongo import redact
from neuroadda.ledger.open import check_ledger
from neuroadda.locks import read_lock
from neuroadda.prediction.predict import Predict
from neuroadda.processes import count_cores
from neuroadda.volumes.storage.locations import Location, is_inside, to_location
from neuroadda.volumes.storage.placing import nearest_folder
from neuroadda.volumes.storage.urls import Url
from neuroadda.wording import format_bytes

PROCESS_BYTES = 400 * 2**20  # of a worker with torch, beside its blocks; measured in docs/results/plan.md
BLOCK_BYTES = 32  # a voxel of a block that fragments are found in; measured there, too


def check_place(findings: Findings, where: str, place: Location, inputs: Mapping[str, str | Path | None]) -> None:
    """Look whether an output can be written, and lies inside none of what is read.

    Parameters
    ----------
    inputs
        Arrays and folders that are read, by their keys.
    """
    for key, given in inputs.items():
        source = None if given is None else to_location(given)
        if source is None or (isinstance(source, Path) and not source.exists()):  # such as a name of the zoo
            continue
        if is_inside(place, source):
            findings.fault(where, f"{place} lies in {key}, {given}", "choose a folder outside of what is read")
            return
    if isinstance(place, Url):
        mend = "see docs/storage.md: which credentials and endpoint does it need?"
        if findings.attempt(where, mend, place.exists) is not None:
            findings.note(where, f"{place} can be reached")
        return
    there = nearest_folder(place)
    mend = "choose a folder that you may write to"
    if not there.is_dir():
        findings.fault(where, f"{there} cannot be written to: Not a directory", mend)
    elif not os.access(there, os.W_OK | os.X_OK):
        closed = os.statvfs(there).f_flag & os.ST_RDONLY
        findings.fault(where, f"{there} cannot be written to: {os.strerror(EROFS if closed else EACCES)}", mend)
    else:
        findings.note(where, f"{place} {'is there and' if place.exists() else 'is new and'} can be written")


def check_free(findings: Findings, where: str, folder: Path) -> None:
    """Look whether another run is at work in a folder."""
    lock = read_lock(folder)
    if lock is not None and lock.state == "held":
        findings.fault(where, f"another run is at work in {folder}", "wait for it, or stop it")


def check_disk(findings: Findings, where: str, folder: Location, voxels: int) -> None:
    """Hold what a segmentation of so many voxels leaves on disk against what is free; part of it may be there already."""
    if isinstance(folder, Url):
        return
    needed, free = BYTES_PER_VOXEL * voxels, shutil.disk_usage(nearest_folder(folder)).free
    what = f"about {format_bytes(needed)} will be written to {folder}, and {format_bytes(free)} are free"
    mend = "choose another disk, a smaller roi or a mask; `neuroadda segment --dry-run --measure 4` forecasts it"
    if free < TOO_LITTLE * needed and not folder.exists():
        (findings.doubt if findings.dry_run else findings.fault)(where, what, mend)
    elif free < ENOUGH * needed:
        findings.doubt(where, what, mend)
    else:
        findings.note(where, what)


def check_records(findings: Findings, where: str, url: str, execution: Execution) -> None:
    """Look whether a ledger can be used, and by all workers; where a launcher is asked for, whether it is there."""
    mend = "write sqlite:///run/ledger.db or mongodb://host/database"
    found = findings.attempt(f"{where}.ledger", mend, _reach_ledger, url)
    if found is not None:
        findings.note(f"{where}.ledger", found)
    findings.attempt(f"{where}.execution", "use the launcher local", check_launcher, execution, url)


def _reach_ledger(url: str) -> str:
    path = check_ledger(url)
    if path is None:
        return f"{redact(url)} answers"
    return f"{path} {'is there' if path.exists() else 'will be made'}"


def check_workers(findings: Findings, where: str, execution: Execution) -> None:
    """Hold workers against the cores of this machine."""
    if execution.is_cluster:
        findings.note(where, f"{execution.workers} jobs of {execution.launcher}")
        return
    workers = 1 if execution.launcher == "serial" else execution.workers
    cores, threads = count_cores(), workers * execution.threads
    what = f"{_say(workers, 'worker')} of {_say(execution.threads, 'thread')} on {_say(cores, 'core')}"
    if threads > cores:
        findings.doubt(where, what, f"set workers to {max(1, cores // execution.threads)}")
    else:
        findings.note(where, what)


def check_memory(
    findings: Findings,
    where: str,
    execution: Execution,
    predict: Predict,
    cards: Sequence[Card],
    block_vx: Zyx,
    context_vx: Zyx,
) -> None:
    """Hold the memory of all workers, each at its peak, against what is available on this machine.

    Parameters
    ----------
    predict
        With everything decided.
    cards
        Of its networks; they run one after another, and the largest pass counts.
    context_vx
        Of the blocks in which fragments are found, on each side.
    """
    available = count_available_bytes()
    if execution.is_cluster or available is None:
        return
    whole = int(np.prod([b + 2 * c for b, c in zip(block_vx, context_vx, strict=True)]))
    needed = BLOCK_BYTES * whole
    for card, tile_vx in zip(cards, predict.list_tiles(), strict=True) if predict.device == "cpu" else ():
        in_chunks = runs_in_chunks(card.architecture, "cpu", predict.threads, predict.compile)
        at_once = CHUNK_VALUES if in_chunks else AT_ONCE
        assert predict.precision != "auto"
        needed = max(needed, count_pass_bytes(card.architecture, tile_vx, predict.precision, at_once))
    workers = 1 if execution.launcher == "serial" else execution.workers
    total = workers * (needed + PROCESS_BYTES)
    what = f"{_say(workers, 'worker')} may hold {format_bytes(total)} of memory, and {format_bytes(available)} are available"
    if total > available:
        findings.doubt(where, what, "take fewer workers or smaller blocks (block_vx)")
    else:
        findings.note(where, what)


def _say(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"


def count_available_bytes() -> int | None:
    """Return the memory that can be taken without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
