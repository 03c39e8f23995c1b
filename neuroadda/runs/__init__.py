"""A run as people see it: its folder, what it has decided, how far it is, and whether ledger and outputs agree.

- `folder`, `config`: what may be a run's folder; what the run in it has decided, also after it was moved.
- `status`, `health`, `advice`: how far a run is; whether it is at work, waits, or was stopped; what to do about failures.
- `events`: what its processes have logged. `repair`: compares the ledger with the outputs.
"""
