"""Where a process stands among those that were started with it."""

import pytest

from neuroadda.errors import UserError
from neuroadda.training.ranks import Rank, find_rank, first_host

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
BATCH_SCRIPT = {  # as Slurm 22.05 sets it in the script of `sbatch --ntasks=2`
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "node[08-09]",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "0",
}
SRUN = BATCH_SCRIPT | {  # and in its second task
    "SLURM_LOCALID": "1",
    "SLURM_PROCID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "node[08-09]",
    "SLURM_STEP_NUM_TASKS": "2",
}


def test_torchrun_tells_the_rank() -> None:
    assert find_rank(TORCHRUN) == Rank(3, 4, 1, "env://")
    agent = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "2"}
    assert find_rank(TORCHRUN | agent) == Rank(3, 4, 1, "env://", attempt="2")
    assert find_rank(SRUN | TORCHRUN) == Rank(3, 4, 1, "env://")  # torchrun started by srun


def test_srun_tells_the_rank_and_the_first_host_is_where_they_meet() -> None:
    assert find_rank(SRUN) == Rank(1, 2, 1, "tcp://node08:12700")
    assert find_rank(SRUN | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "5000"}).meeting == "tcp://10.0.0.1:5000"
    # two steps and two jobs meet apart
    ranks = [find_rank(SRUN | {"SLURM_JOB_ID": job, "SLURM_STEP_ID": step}) for job in "78" for step in "01"]
    assert len({rank.meeting for rank in ranks}) == 4


def test_a_process_is_alone_otherwise() -> None:
    assert find_rank({}) == find_rank(BATCH_SCRIPT) == Rank()
    assert find_rank(SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}).count == 1
    assert find_rank({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}).count == 1


@pytest.mark.parametrize(
    ("environment", "change", "told"),
    [
        (TORCHRUN, {"WORLD_SIZE": ""}, "WORLD_SIZE is not set"),
        (TORCHRUN, {"RANK": ""}, "RANK is not set"),
        (TORCHRUN, {"LOCAL_RANK": ""}, "LOCAL_RANK is not set"),
        (TORCHRUN, {"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        (TORCHRUN, {"RANK": "4"}, "RANK is 4, and WORLD_SIZE 4"),
        (TORCHRUN, {"WORLD_SIZE": "four"}, "WORLD_SIZE is 'four', not a number"),
        (TORCHRUN, {"RANK": "-1"}, "RANK is '-1', not a number"),
        (SRUN, {"SLURM_PROCID": ""}, "SLURM_PROCID is not set"),
        (SRUN, {"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST is not set"),
        (SRUN, {"WORLD_SIZE": "2"}, "RANK is not set"),
    ],
)
def test_half_an_environment_is_refused(environment: dict[str, str], change: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        find_rank(environment | change)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("localhost", "localhost"),
        ("node1,node2", "node1"),
        ("node[007-009,12],gpu1", "node007"),
        ("rack[2-3]node[10,12]", "rack2node10"),
        ("a-b.example.org", "a-b.example.org"),
    ],
)
def test_slurms_list_of_nodes_has_a_first_one(nodes: str, first: str) -> None:
    assert first_host(nodes) == first
