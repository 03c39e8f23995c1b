"""How a run is carried out: never part of a fingerprint, since it does not change the result."""

import os
import sys
from typing import Literal

from pydantic import Field

from neuroadda.config import Config


class Execution(Config):
    """How blocks are carried out.

    Attributes
    ----------
    launcher
        ``local``: worker processes on this machine; ``serial``: in this process, for debugging.
    workers
        Worker processes.
    threads
        Threads of the numerical libraries in each worker, where the stage does not fix them itself.
    retries
        Further tries of a failing block.
    block_timeout
        Seconds after which a block's worker is killed and the block is tried again.
    worker_restarts
        Dead workers that are replaced before the run is given up.
    same_error_limit
        Blocks failing with one same error at which the run is stopped early: that is a bug, not bad luck.
    host
        Address that the scheduler listens on; it has no authentication, so keep it on loopback or a private interface.
    """

    launcher: Literal["local", "serial"] = "local"
    workers: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    retries: int = Field(default=2, ge=0)
    block_timeout: float = Field(default=3600.0, gt=0)
    worker_restarts: int = Field(default=100, ge=0)
    same_error_limit: int = Field(default=8, ge=1)
    host: str = "127.0.0.1"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the processes that do blocks."""
        return os.environ | {
            "OMP_NUM_THREADS": str(self.threads),
            "MALLOC_ARENA_MAX": "1",  # threads of a worker use again what another has freed (glibc)
            "PYTHONPATH": os.pathsep.join(sys.path),  # workers find the stages that this process finds
        }
