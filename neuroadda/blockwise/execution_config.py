"""How a run is carried out: never part of a fingerprint, since it does not change the result."""

import ipaddress
import os
import sys
from typing import Literal

from pydantic import Field

from neuroadda.config import Config, PublicConfig

LOOPBACK = "127.0.0.1"
JOB_VARIABLES = ("SLURM_JOB_ID", "LSB_JOBID")  # the clusters' variables that hold a job's id


class Job(Config):
    """What a worker's job asks of a cluster, and how it is set up there.

    Attributes
    ----------
    queue
        Partition (Slurm) or queue (LSF); the cluster's default where it is not given.
    account
        Account (Slurm) or project (LSF) that is charged.
    cpus : CPUs
        CPUs of a worker.
    gpus : GPUs
        GPUs of a worker.
    memory_gb : GiB
        Memory of a worker, in units of 1024^3 bytes, as clusters count it; `predict.memory_gb` is in units of 10^9. By default what
        the cluster gives.
    hours : h
        Time after which the cluster ends the job, which the run then replaces (see `Execution.worker_restarts`).
    options
        Further arguments of sbatch or bsub, such as ``--constraint=a100``.
    setup
        Lines of bash before the worker starts, such as ``module load cuda`` or ``source venv/bin/activate``.
    container
        What its command starts with, such as ``apptainer exec --nv neuroadda.sif``.
    python
        Interpreter on the nodes or in the container; by default the very one that the run was started with.
    """

    queue: str | None = None
    account: str | None = None
    cpus: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)
    hours: float | None = Field(default=None, gt=0)
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    container: str | None = None
    python: str | None = None


class Execution(PublicConfig):
    """How blocks are carried out.

    Attributes
    ----------
    launcher
        ``local``: worker processes on this machine; ``slurm``, ``lsf``: jobs of that cluster; ``serial``: in this process, for
        debugging.
    workers : workers
        Worker processes or jobs.
    threads : threads
        Threads of the numerical libraries in each worker, where the stage does not fix them itself.
    retries
        How often daisy hands out a block again after it has failed, by any error, or its worker has died or was killed: with 2, a
        block is handed out at most three times (one that kills its workers six times, the last three alone). Within each of these,
        the worker itself tries again what may pass (a lost connection up to 7 times, too little memory twice). ``serial`` has no
        daisy, and hands out nothing again.
    block_timeout : s
        Time after which a block's worker is killed. The block is then handed out again, see `retries`.
    worker_restarts
        How many workers are started again in a task before it is given up.
    same_error_limit : blocks
        Blocks failing with the same error at which the run is stopped early, whatever the error is: the others would most likely
        fail, too.
    host
        Address that the scheduler listens on, and workers find it by; it has no authentication, so keep it on loopback or a private
        interface.
    job
        What workers ask for where they are jobs.
    gpu_job
        What stages on a GPU ask for (predict, uncertainty), in place of all of `job`: no key is taken from there. If it is not
        given, they ask for `job`, too.
    """

    launcher: Literal["local", "serial", "slurm", "lsf"] = "local"
    workers: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    retries: int = Field(default=2, ge=0)
    block_timeout: float = Field(default=3600.0, gt=0)
    worker_restarts: int = Field(default=100, ge=0)
    same_error_limit: int = Field(default=8, ge=1)
    host: str = LOOPBACK
    job: Job = Field(default_factory=Job)
    gpu_job: Job | None = None

    @property
    def is_cluster(self) -> bool:
        """Whether workers are jobs, on machines that may be others than this."""
        return self.launcher not in ("local", "serial")

    @property
    def is_loopback(self) -> bool:
        """Whether none but this machine reaches the scheduler."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def job_for(self, accelerated: bool) -> Job:
        """Return what a worker asks for in a stage that computes on a GPU, or in another."""
        return self.gpu_job if accelerated and self.gpu_job is not None else self.job

    @property
    def settings(self) -> dict[str, str]:
        """What the environment of the processes that do blocks has to say."""
        return {
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONPATH": os.pathsep.join(sys.path),  # workers find the stages that this process finds
        }

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the processes that do blocks on this machine."""
        return os.environ | self.settings
