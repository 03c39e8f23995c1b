"""A ledger of many blocks, written at once."""

import json
import sqlite3
import time
from pathlib import Path

from funlib.geometry import Coordinate, Roi

from neuroadda.blockwise.grid import BlockGrid
from neuroadda.config import dump_config
from neuroadda.ledger.base import TaskRecord
from neuroadda.ledger.open import open_ledger

SIDE_VX, WORKERS, RATE = 128, 32, 150.0

# Of every block before the last tenth, some thousandths failed; the last of them are running.
FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last),
     b AS (SELECT i, CASE WHEN i % 1009 = 5 THEN 'failed' WHEN i > :last - :workers THEN 'running' ELSE 'done' END AS status,
                  :begin + i / :rate AS started FROM n)
INSERT INTO blocks SELECT :key, i, status, 1,
  printf('{"host": "node%d", "pid": %d, "device": "cuda:%d", "cpu_seconds": %s, "peak_bytes": %s}', i % :workers / 8,
         1000 + i % :workers, i % 8, iif(status = 'done', i / 100.0, 'null'), iif(status = 'done', 3000000000 + i, 'null')),
  started, iif(status = 'running', NULL, started + 0.2), iif(status = 'running', NULL, 0.2), iif(status = 'done', :voxels, 0),
  iif(status = 'done', '{"tiles": 8, "computed_voxels": 2097152}', '{}'), iif(status = 'failed', :failure, NULL)
FROM b
"""


def write_many(folder: Path, side: int) -> TaskRecord:
    """Write the ledger of a run that is at its last tenth of `side` ** 3 blocks, into a folder."""
    url, began = f"sqlite:///{folder / 'ledger.db'}", time.time() - 0.9 * side**3 / RATE
    edge = side * SIDE_VX * 8
    grid = BlockGrid.make(Roi((0, 0, 0), (edge,) * 3), Coordinate(8, 8, 8), (SIDE_VX,) * 3)
    sizes = {"blocks": len(grid), "voxels": grid.voxels(), "grid": dump_config(grid)}
    task = TaskRecord(
        fingerprint="ab" * 32, stage="predict", output=str(folder / "v.zarr/affs"), created=began, **sizes
    )
    ledger = open_ledger(url)
    ledger.register(task)
    ledger.close()
    failure = {"type": "OSError", "message": "[Errno 5] Input/output error", "traceback": "Traceback ...\n  in read"}
    told = {"key": task.fingerprint, "last": len(grid) * 9 // 10 - 1, "begin": began, "rate": RATE}
    told |= {"workers": WORKERS, "voxels": SIDE_VX**3, "failure": json.dumps(failure)}
    with sqlite3.connect(folder / "ledger.db") as connection:
        connection.execute(FILL, told)
    connection.close()
    return task
