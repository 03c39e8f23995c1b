"""Run a function once on every block of a volume, whatever process dies.

- `grid`, `task`, `outputs`: the blocks; a stage bound to inputs and output; whose output it is and which blocks are written.
- `engine`: runs tasks, watches the ledger, stops early, reports. `resuming`: which blocks are still to be done.
- `scheduler_handle`, `scheduler`: start the scheduler process; hand out blocks by daisy.
- `launchers/`, `worker`, `worker_job`, `block_runner`, `overlap`: start workers; take blocks; process one, or several at a time.
- `execution_config`: the config of all this. `failures`: why blocks fail, and which are tried again.
- `logs`: what the processes of a run log.

The record of every block is in `neuroadda.ledger`; how far a run is and whether it is well, in `neuroadda.runs`.

What calls the function of a block, with local workers: `Engine.run`, `SchedulerHandle.start`, `scheduler.run_task`, daisy,
`Launcher.run_worker`, `LocalLauncher.run`, `worker.work`, `BlockRunner.__call__`, `Overlap.apply`.
"""
