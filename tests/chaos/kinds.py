"""All kinds of faults, by the names that reports know them by."""

from tests.chaos.data import corrupt_checkpoint, corrupt_ledger, lose_ledger, lose_output, poison_block
from tests.chaos.place import Fault
from tests.chaos.processes import (
    cancel_job,
    drop_network,
    fill_disk,
    freeze_mongo,
    freeze_worker,
    freeze_worker_for_good,
    kill_forkserver,
    kill_mongo,
    kill_run,
    kill_scheduler,
    kill_worker,
    stop_run,
)

FAULTS: dict[str, Fault] = {
    "kill a worker": kill_worker,
    "kill the forkserver": kill_forkserver,
    "kill the scheduler": kill_scheduler,
    "kill the run": kill_run,
    "stop the run": stop_run,
    "freeze a worker, then kill it": freeze_worker,
    "freeze a worker for good": freeze_worker_for_good,
    "cancel a job": cancel_job,
    "kill MongoDB": kill_mongo,
    "freeze MongoDB": freeze_mongo,
    "drop the network": drop_network,
    "lose the ledger": lose_ledger,
    "corrupt the ledger": corrupt_ledger,
    "lose output": lose_output,
    "poison a block": poison_block,
    "corrupt the checkpoint": corrupt_checkpoint,
    "fill the disk": fill_disk,
}
