"""The ledger: which block of which task is running, done or failed."""
