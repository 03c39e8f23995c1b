"""Run a function once on every block of a volume, whatever process dies.

- `grid`, `task`, `outputs`: the blocks; a stage bound to inputs and output; whose output it is and which blocks are written.
- `engine`: decides which blocks are to be done, watches the ledger, stops early, reports.
- `scheduler_handle`, `scheduler`: start the scheduler process; hand out blocks by daisy.
- `launchers/`, `worker`, `job`, `block_runner`, `overlap`: start workers; take blocks; process one, or several at a time.
- `ledger/`: the record of every block, in SQLite or MongoDB. `repair` compares it with the outputs.
- `execution_config`: the config of all this. `causes`, `logs`, `leases`, `processes`: why blocks fail, logs, GPUs, memory.
- `status`, `health`: how far a run is, and whether it is at work, waits, or was stopped. `run_folder`: what may be a run's folder.

What calls the function of a block, with local workers: `Engine.run`, `SchedulerHandle.start`, `scheduler.run_task`, daisy,
`Launcher.run_worker`, `LocalLauncher.run`, `worker.work`, `BlockRunner.__call__`, `Overlap.apply`.
"""
