"""Launchers: what starts the workers of a run, by the name in its execution.

To add a cluster, write a subclass of `ClusterLauncher` in a file of its own. Add its name to `CLUSTERS` and `Execution.launcher`.
Add the variable that holds a job's id to `blockwise.execution_config.JOB_VARIABLES`.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress

from neuroadda.blockwise.execution_config import Execution
from neuroadda.blockwise.launchers.base import Launcher, LauncherConfig
from neuroadda.blockwise.launchers.cluster import ClusterLauncher
from neuroadda.blockwise.launchers.local import LocalLauncher
from neuroadda.blockwise.launchers.lsf import LsfLauncher
from neuroadda.blockwise.launchers.slurm import SlurmLauncher
from neuroadda.errors import UserError, warn
from neuroadda.ledger.url import SQLITE

CLUSTERS: dict[str, type[ClusterLauncher]] = {"slurm": SlurmLauncher, "lsf": LsfLauncher}
OPEN_TO_OTHERS = (
    "the scheduler listens on {}, without password or encryption: whoever reaches it can take blocks away, and so spoil "
    "this run. Give an address of a private interface that only your nodes reach (docs/security.md)."
)


def open_launcher(execution: Execution, config: LauncherConfig, fail: Callable[[UserError], None]) -> Launcher:
    """Return the launcher of a task's workers; `fail` is called where no worker can be started."""
    if execution.launcher == "local":
        return LocalLauncher(execution, config, fail)
    return CLUSTERS[execution.launcher](execution, config, fail)


def check_launcher(execution: Execution, ledger_url: str) -> None:
    """Raise UserError where workers cannot be started, cannot reach the scheduler, or cannot share the ledger.

    A warning says where other machines can reach the scheduler.
    """
    if execution.launcher != "serial" and not execution.is_loopback:
        warn(OPEN_TO_OTHERS.format(execution.host), "execution.host")
    cluster = CLUSTERS.get(execution.launcher)
    if cluster is None:
        return
    if shutil.which(cluster.program) is None:
        right = "start the run on a host that may submit jobs, or use local"
        raise UserError(f"{cluster.program} is not on the PATH", "execution.launcher", right)
    jobs = [execution.job_for(accelerated) for accelerated in (False, True)]
    if execution.is_loopback and (nodes := [node for job in jobs for node in cluster.list_remote_nodes(job)]):
        what = f"nodes such as {nodes[0]} do not reach {execution.host}"
        right = "give an address of this machine that they reach, of a private interface"
        raise UserError(what, "execution.host", right)
    if ledger_url.startswith(SQLITE) and not execution.is_loopback:
        right = (
            'set ledger = "mongodb://host/database", or execution.host to loopback where all jobs run on this machine'
        )
        raise UserError("an SQLite ledger is for one machine", ledger_url, right)


def cancel_jobs(execution: Execution, run: str) -> None:
    """Cancel all jobs of a run whose workers are jobs. A job that is missed finds no scheduler and ends."""
    if cluster := CLUSTERS.get(execution.launcher):
        with suppress(UserError):
            cluster.cancel_run(run)
