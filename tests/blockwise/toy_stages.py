"""Stages for tests of the engine; worker processes import them by name."""

import builtins
import ctypes
import os
import signal
import threading
import time
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from neuroadda.blockwise.grid import Block
from neuroadda.blockwise.task import BlockFunction, Stage, Task
from neuroadda.device_leases import Lease
from neuroadda.volumes.arrays import Volume
from tests.waiting import PATIENCE_SECONDS, Gate


class Fill(Stage):
    """Writes each block's index plus a constant, and can be told to misbehave in some blocks."""

    kind: ClassVar[str] = "fill"

    add: int = 1
    raise_in: tuple[int, ...] = ()
    raise_once_in: tuple[int, ...] = ()
    error: str = "RuntimeError"
    die_once_in: tuple[int, ...] = ()
    freeze_once_in: tuple[int, ...] = ()
    hang_once_in: tuple[int, ...] = ()
    hang_in: Literal["python", "c"] = "python"
    die_in: tuple[int, ...] = ()
    message: str = "a bug"
    gate: str | None = None  # folder of a `Gate` that every block goes through

    def create_output(self, task: Task) -> None:
        shape = tuple(task.grid.roi.shape)
        Volume.create(Path(task.output), shape, (1, 1, 1), np.uint32, chunk_vx=task.grid.block_vx, attrs=task.tag)

    def open(self, task: Task) -> BlockFunction:
        output = Volume.open(task.output, "r+")
        gate = None if self.gate is None else Gate(Path(self.gate))

        def fill(block: Block) -> dict[str, int]:
            if gate is not None:
                gate.go_through()
            with open(Path(task.output).parent / "executions.log", "a") as log:
                log.write(f"{block.index}\n")
            raised = Path(task.output).parent / f"raised-{block.index}"
            if block.index in self.raise_in or (block.index in self.raise_once_in and not raised.exists()):
                raised.touch()
                raise getattr(builtins, self.error)(self.message)
            marker = Path(task.output).parent / f"died-{block.index}"
            if block.index in self.freeze_once_in and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGSTOP)
            if block.index in self.hang_once_in and not marker.exists():
                marker.touch()
                # Python's own sleep lets other threads run; a function of a `PyDLL` does not.
                {"python": time.sleep, "c": ctypes.PyDLL(None).sleep}[self.hang_in](600)
            if block.index in self.die_in or (block.index in self.die_once_in and not marker.exists()):
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            output.write(block.write_roi, np.full(tuple(block.write_roi.shape), block.index + self.add, np.uint32))
            return {"index": block.index}

        return fill


class FillTogether(Fill):
    """Fills three blocks at a time; told to `meet`, it does none before three are at work at once."""

    in_flight: ClassVar[int] = 3

    meet: bool = False

    def open(self, task: Task) -> BlockFunction:
        fill, meeting = super().open(task), threading.Barrier(self.in_flight if self.meet else 1)

        def fill_together(block: Block) -> dict[str, int]:
            meeting.wait(PATIENCE_SECONDS)
            return fill(block)

        return fill_together


class FillOnDevice(Fill):
    """Fills on a made-up device."""

    def take_device(self) -> tuple[Fill, Lease]:
        return self.model_copy(update={"add": self.add + 1}), Lease("made-up:1")
