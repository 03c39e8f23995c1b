"""The ledger: the record of every block of every task, in SQLite or MongoDB.

- `base`: what a record says, and the protocol `Ledger`. `sqlite`, `mongo`: the two stores. `shared`: what they share.
- `url`, `open`: which ledger belongs to a folder; open it. `unwritable`: read an SQLite ledger that cannot be written to.
- `writer`: records from many threads, written in batches. `usage`: what the workers of a task have used.
"""
