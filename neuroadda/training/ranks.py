"""Which process of a job this is, from what torchrun or Slurm's srun set in its environment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from neuroadda.errors import UserError

FIRST_PORT, PORTS = 12000, 20000  # below those that Linux gives to clients


@dataclass(frozen=True)
class Rank:
    """A process among those of its job.

    Attributes
    ----------
    index, count
        Its number, from 0, and how many there are.
    local_index
        Its number among those on its machine.
    meeting
        URL at which they meet, for `torch.distributed.rendezvous`.
    attempt
        Which start of theirs this is, where they meet at a store that is older than they: that of torchrun, which knows those that
        it restarts still by their old addresses.
    """

    index: int = 0
    count: int = 1
    local_index: int = 0
    meeting: str = ""
    attempt: str = "0"


def find_rank(environment: Mapping[str, str]) -> Rank:
    """Return the rank of the process with this environment; it is alone unless torchrun or srun started it with others.

    A step's number of tasks is what tells that srun started this: a batch script has the other variables of Slurm, too, and is one
    process.

    Raises
    ------
    UserError
        If the environment tells one half of it.
    """
    if "RANK" in environment or "WORLD_SIZE" in environment:
        rank = _read(environment, "RANK", "WORLD_SIZE", "LOCAL_RANK", "env://")
        for name in ("MASTER_ADDR", "MASTER_PORT") if rank.count > 1 else ():
            _get(environment, name)
        shared = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        return replace(rank, attempt=_get(environment, "TORCHELASTIC_RESTART_COUNT")) if shared else rank
    if "SLURM_STEP_NUM_TASKS" in environment:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        return _read(environment, *names, _meet_by_slurm(environment))
    return Rank()


def first_host(nodes: str) -> str:
    """Return the first host of Slurm's list, such as node007 of ``node[007-009,12],gpu1``."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else "")


def _meet_by_slurm(environment: Mapping[str, str]) -> str:
    host = environment.get("MASTER_ADDR") or first_host(_get(environment, "SLURM_STEP_NODELIST"))
    job, step = (_number(environment, name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = environment.get("MASTER_PORT") or FIRST_PORT + (100 * job + step) % PORTS
    return f"tcp://{host}:{port}"


def _read(environment: Mapping[str, str], index: str, count: str, local_index: str, meeting: str) -> Rank:
    mine, of, local = (_number(environment, name) for name in (index, count, local_index))
    rank = Rank(mine, of, local, meeting)
    if rank.index >= rank.count:
        raise UserError(f"{index} is {rank.index}, and {count} {rank.count}", "the environment", "ranks count from 0")
    return rank


def _number(environment: Mapping[str, str], name: str) -> int:
    value = _get(environment, name)
    if not value.isdecimal():
        raise UserError(f"{name} is {value!r}, not a number", "the environment")
    return int(value)


def _get(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        right = "start it by torchrun or srun, which set it, or unset RANK and WORLD_SIZE to train in one process"
        raise UserError(f"{name} is not set, though this is one of several processes", "the environment", right)
    return environment[name]
