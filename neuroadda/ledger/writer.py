"""Write block records in batches, from a thread of its own, so that workers do not wait for the ledger."""

import threading
import time
from types import TracebackType
from typing import Self

from neuroadda.ledger.base import BlockRecord, Ledger, LedgerUnavailable
from neuroadda.ledger.shared import follow


class LedgerWriter:
    """A buffer in front of a ledger, shared by the threads of one worker; a context manager.

    Records of a block keep their order; those that meet in the buffer are written as one. What was added is in the
    ledger once `flush` or `close` returns, or else within about `max_age`. A process that dies before loses the buffer:
    those blocks are computed again.

    Parameters
    ----------
    ledger
        Where records go. It stays open.
    max_age
        Seconds a record waits at most before it is written.
    max_records
        Blocks in the buffer at which it is written at once; `add` waits where the ledger does not keep up.
    patience
        Seconds for which a batch is tried again while the ledger is unavailable. After that, or at any other error,
        every further call raises that error.
    """

    def __init__(self, ledger: Ledger, max_age: float = 0.5, max_records: int = 1024, patience: float = 30.0) -> None:
        self._ledger, self._max_age, self._max_records, self._patience = ledger, max_age, max_records, patience
        self._changed = threading.Condition()
        self._buffer: dict[tuple[str, int], BlockRecord] = {}
        self._due = 0.0  # when the buffer's oldest record must be written
        self._added = self._written = 0
        self._hurried = 0  # write at once up to this record
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ledger writer", daemon=True)
        self._thread.start()

    def add(self, record: BlockRecord) -> None:
        """Buffer one record."""
        key = record.fingerprint, record.block
        with self._changed:
            self._changed.wait_for(
                lambda: self._error or self._closed or key in self._buffer or len(self._buffer) < self._max_records
            )
            self._check()
            if self._closed:
                raise ValueError("the ledger's writer is closed")
            if not self._buffer:
                self._due = time.monotonic() + self._max_age
            self._buffer[key] = follow(self._buffer.get(key), record)
            self._added += 1
            if len(self._buffer) in (1, self._max_records):
                self._changed.notify_all()

    def flush(self) -> None:
        """Return when all that was added before is in the ledger."""
        with self._changed:
            self._hurried = max(self._hurried, self._added)
            upto = self._added
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error or self._written >= upto)
            self._check()

    def close(self) -> None:
        """Flush and end the thread; the ledger stays open. Closing twice is harmless."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                records, upto = batch
                self._write(records)
                with self._changed:
                    self._written = upto
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _next_batch(self) -> tuple[list[BlockRecord], int] | None:
        """Wait for records that are due and take them, with the count of all added so far; None at the end."""
        with self._changed:
            while not self._is_due():
                if self._closed:
                    return None
                self._changed.wait(max(0.0, self._due - time.monotonic()) if self._buffer else None)
            records = list(self._buffer.values())
            self._buffer.clear()
            self._changed.notify_all()  # there is room again
            return records, self._added

    def _is_due(self) -> bool:
        return bool(self._buffer) and (
            self._closed
            or self._hurried > self._written
            or len(self._buffer) >= self._max_records
            or time.monotonic() >= self._due
        )

    def _write(self, records: list[BlockRecord]) -> None:
        give_up, pause = time.monotonic() + self._patience, 0.05
        while True:
            try:
                return self._ledger.write(records)
            except LedgerUnavailable:
                if time.monotonic() + pause > give_up:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 5.0)
