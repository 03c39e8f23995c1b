"""The processes that train together: they add up what each has learned, and wait for what the first does alone."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import reduce
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from neuroadda.backbones.devices import count_cuda_devices, resolve_device
from neuroadda.errors import RunFailed, SettingError, UserError
from neuroadda.training.ranks import Rank

T = TypeVar("T")

# A process that dies is noticed at once, since its connections close. These are for machines that are cut off.
PATIENCE = timedelta(minutes=10)  # for the others' part of an iteration
PATIENCE_WITH_THE_FIRST = timedelta(days=2)  # which validates and ranks alone


class Processes:
    """The processes of a training, seen from one of them; one that is alone sends nothing."""

    def __init__(self, rank: Rank = Rank(), waiting: dist.ProcessGroup | None = None) -> None:
        self.rank, self._waiting = rank, waiting

    @property
    def first(self) -> bool:
        """Whether this is the one that writes, validates and prints."""
        return self.rank.index == 0

    @property
    def count(self) -> int:
        """How many there are."""
        return self.rank.count

    def pick_device(self, device: str) -> torch.device:
        """Return the device of this process: of several on a machine, each has its own GPU.

        Raises
        ------
        UserError
            If there are more processes than GPUs, or the first process has another kind of device.
        """
        mine = resolve_device(device)
        if self.count == 1:
            return torch.device(mine)
        gpus, local = count_cuda_devices(), self.rank.local_index
        theirs = self.from_first(mine.encode).decode()
        if mine != theirs:
            what = f"process {self.rank.index} would compute on {mine}, the first on {theirs}"
            raise SettingError(what, "device", "set it, or start them on machines alike")
        if mine == "cpu":
            return torch.device(mine)
        if 1 < gpus <= local:
            raise UserError(f"there are {gpus} GPUs for {local + 1} processes", "train", "start one process a GPU")
        chosen = torch.device(mine, local if gpus > 1 else 0)  # Slurm may show each process the one that is its own
        torch.cuda.set_device(chosen)
        return chosen

    def add(self, shares: Iterable[Tensor]) -> Tensor:
        """Return the sum of all vectors of all processes, each of which has as many.

        They are added in one order, that of the processes and then of their vectors, so that floats give the same bits whoever
        has which: every process gets its stretch of all vectors, adds it up, and sends the sum to all. Of vectors that are one a
        process that is as much to send as in an all-reduce.
        """
        if self.count == 1:
            return reduce(torch.add, shares)
        mine = torch.stack(list(shares))
        number, size = mine.shape
        length = -(-size // self.count)
        mine = torch.nn.functional.pad(mine, (0, length * self.count - size))
        sent = mine.view(number, self.count, length).transpose(0, 1).contiguous()
        received = torch.empty_like(sent)
        with _others():
            dist.all_to_all_single(received, sent)
            stretch = reduce(torch.add, received.flatten(0, 1))
            whole = [torch.empty_like(stretch) for _ in range(self.count)]
            dist.all_gather(whole, stretch)
        return torch.cat(whole)[:size]

    def total(self, value: float) -> float:
        """Return the sum of a number of each process."""
        if self.count == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        with _others():
            dist.all_reduce(total)
        return float(total)

    def from_first(self, make: Callable[[], bytes]) -> bytes:
        """Return what the first process makes; the others wait for it."""
        if self.count == 1:
            return make()
        data = torch.frombuffer(bytearray(b"." + make()), dtype=torch.uint8) if self.first else torch.empty(0)
        with _others():
            size = torch.tensor([len(data)])
            dist.broadcast(size, 0, self._waiting)
            data = data if self.first else torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(data, 0, self._waiting)
        return data.numpy().tobytes()[1:]

    def after_first(self, do: Callable[[], T]) -> T:
        """Do something in the first process, then in the others; what fails in the first is not told again by each of them."""
        if self.first:
            done = do()
            self.from_first(bytes)
            return done
        self.from_first(bytes)
        return do()


@contextmanager
def join_processes(rank: Rank, device: str) -> Iterator[Processes]:
    """Meet the other processes, which compute on `device`; alone, nothing happens.

    Raises
    ------
    RunFailed
        If they do not come, or later if one of them ends before its time.
    """
    if rank.count == 1:
        yield Processes()
        return
    backend = "cpu:gloo,cuda:nccl" if resolve_device(device).startswith("cuda") else "gloo"
    try:
        store, index, count = next(rendezvous(rank.meeting, rank.index, rank.count, timeout=PATIENCE))
        store = dist.PrefixStore(rank.attempt, store)
        dist.init_process_group(backend, store=store, rank=index, world_size=count, timeout=PATIENCE)
        waiting = dist.new_group(backend="gloo", timeout=PATIENCE_WITH_THE_FIRST)
    except (RuntimeError, ValueError) as error:
        where = "at MASTER_ADDR:MASTER_PORT" if rank.meeting == "env://" else f"at {rank.meeting}"
        reason = str(error).partition("\n")[0][:200]
        raise RunFailed(f"process {rank.index} of {rank.count} did not meet the others {where}: {reason}") from error
    try:
        yield Processes(rank, waiting)
    finally:
        dist.destroy_process_group()


@contextmanager
def _others() -> Iterator[None]:
    """Tell in a line that another process is gone."""
    try:
        yield
    except RuntimeError as error:
        what = f"process {dist.get_rank()} of {dist.get_world_size()} lost another one"
        reason = str(error).partition("\n")[0].rpartition("] ")[2].partition(". ")[0]
        raise RunFailed(f"{what} ({reason}); run the same command again to go on") from error
