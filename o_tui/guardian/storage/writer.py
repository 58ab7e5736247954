"""The writer thread: group commit without timers.

It takes what waits (at most 1,000 entries or 1 MiB), writes it in one transaction, commits, mirrors, and then
acknowledges all of it in one call of the loop; the next batch grows meanwhile. Work that is not urgent (bodies of
checkpoints, compaction) is done in slices between the batches, checkpoints of SQLite's WAL file when idle.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from o_tui.guardian.storage.sinks import (
    Done,
    FencedError,
    Hooks,
    Job,
    Jobs,
    Sink,
    is_disk_error,
    is_lock_error,
    run_alone,
)
from o_tui.protocol.errors import BusyError, CorruptError, OError, PeerError

BATCH_ENTRIES = 1_000
BATCH_BYTES = 1 << 20
IDLE_S = 0.02
"""How long nothing must wait before the WAL file is checkpointed and the mirror synced."""
IDLE_PAGES = 64
LOADED_PAGES = 1_000
"""Pages of the WAL file after which it is checkpointed between two batches even under load."""
RETRY_S = (0.1, 5.0)
"""First and longest pause between two probes while the disk does not take anything."""


class Writer(threading.Thread):
    """The one thread with the one connection that writes.

    Attributes:
        read_only: The disk takes nothing at the moment; set by the thread, read by anybody.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        hooks: Hooks,
        loop: asyncio.AbstractEventLoop,
        on_state: Callable[[bool, str], None],
        on_fenced: Callable[[FencedError], None],
    ) -> None:
        super().__init__(name="storage", daemon=True)
        self.read_only = False
        self.batches = 0
        self.checkpoints = 0
        self._connection = connection
        self._hooks = hooks
        self._loop = loop
        self._on_state = on_state
        self._on_fenced = on_fenced
        self._queue: queue.SimpleQueue[tuple[Sink, Any, Done, int, int] | None] = queue.SimpleQueue()
        self._slices: deque[tuple[Job, Done]] = deque()
        self._jobs = Jobs(hooks)
        self._pages = 0
        self._dirty = False
        self._closing = False
        self._error: OError = PeerError("the disk takes nothing")
        self._pause_s = RETRY_S[0]
        self._probe_at = 0.0

    # --- called by the loop

    def put(self, sink: Sink, item: Any, done: Done, entries: int, size_bytes: int) -> None:
        """Queues an item; `done` gets its result, or an exception, on the loop after the commit."""
        self._queue.put((sink, item, done, entries, size_bytes))

    def put_job(self, job: Job, done: Done) -> None:
        """Queues one job for the next batch."""
        self._queue.put((self._jobs, job, done, 1, 256))

    def put_slice(self, job: Job, done: Done) -> None:
        """Queues a slice of work that waits for acknowledgements, in a transaction of its own."""
        self._slices.append((job, done))
        self._queue.put(None)

    def stop(self) -> None:
        """Ends the thread after what is queued."""
        self._closing = True
        self._queue.put(None)

    # --- the thread

    def run(self) -> None:
        """Works until `stop`."""
        while True:
            if self.read_only:
                self._while_read_only()
                if self._closing and self._queue.empty():
                    return
                continue
            batch = self._next_batch()
            if batch:
                self._commit(batch)
            if self._slices and not self.read_only:
                self._one_slice()
            elif self._closing and self._queue.empty():
                return
            if self._pages >= LOADED_PAGES and not self.read_only:
                self._checkpoint()

    def _next_batch(self) -> list[tuple[Sink, Any, Done, int, int]]:
        item = self._first()
        batch = []
        entries = size = 0
        get = self._queue.get_nowait
        while True:
            if item is not None:
                batch.append(item)
                entries += item[3]
                size += item[4]
                if entries >= BATCH_ENTRIES or size >= BATCH_BYTES:
                    return batch
            try:
                item = get()
            except queue.Empty:
                return batch

    def _first(self) -> tuple[Sink, Any, Done, int, int] | None:
        try:
            if self._slices or self._closing:
                return self._queue.get_nowait()
            if self._dirty or self._pages >= IDLE_PAGES:
                return self._queue.get(timeout=IDLE_S)
            return self._queue.get()
        except queue.Empty:
            if not self._slices:
                self._idle()
            return None

    def _idle(self) -> None:
        if self._pages >= IDLE_PAGES:
            self._checkpoint()
        if self._dirty:
            self._dirty = False
            try:
                self._hooks.idle()
            except Exception as error:  # noqa: BLE001 - whatever it was, this thread must not end of it
                self._turn_read_only(error)

    def _commit(self, batch: list[tuple[Sink, Any, Done, int, int]]) -> None:
        try:
            answers = self._transaction(batch, careful=False)
        except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
            if is_disk_error(error) or isinstance(error, FencedError):
                self._fail(batch, error)
                return
            try:  # one item of the batch is to blame: one by one, so that the others go through
                answers = self._transaction(batch, careful=True)
            except Exception as again:  # noqa: BLE001 - as above
                self._fail(batch, again)
                return
        self._loop_call(self._acknowledge, answers)
        self.batches += 1

    def _transaction(
        self, batch: list[tuple[Sink, Any, Done, int, int]], *, careful: bool
    ) -> list[tuple[Sink, list[Done], list[Any]]]:
        groups: dict[Sink, tuple[list[Any], list[Done]]] = {}
        size = 0
        last: Sink | None = None
        items: list[Any] = []
        calls: list[Done] = []
        for sink, item, done, _entries, size_bytes in batch:
            if sink is not last:
                items, calls = groups.setdefault(sink, ([], []))
                last = sink
            items.append(item)
            calls.append(done)
            size += size_bytes
        answers: list[tuple[Sink, list[Done], list[Any]]] = []
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._hooks.begun(connection)
            for sink, (items, calls) in groups.items():
                if careful and sink is not self._jobs:
                    results = [self._write_alone(sink, item) for item in items]
                else:
                    results = sink.write(connection, items)
                answers.append((sink, calls, results))
            connection.execute("COMMIT")
        except BaseException:
            self._roll_back(groups)
            raise
        self._pages += 6 + size // 2_048
        self._dirty = True
        self._after_commit(groups)
        return answers

    def _write_alone(self, sink: Sink, item: Any) -> Any:
        result = run_alone(self._connection, lambda connection: sink.write(connection, [item]), self._hooks)
        if isinstance(result, BaseException):
            return result
        return result[0]

    def _after_commit(self, sinks: Sequence[Sink] | dict[Sink, Any]) -> None:
        """From here on it is durable in the database: a mirror that cannot be written must not take that back."""
        for step in (*(sink.committed for sink in sinks), self._hooks.committed):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - raised from here, it would all be written a second time
                self._turn_read_only(error)

    def _roll_back(self, sinks: Sequence[Sink] | dict[Sink, Any]) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # SQLite took it back by itself already
        for sink in sinks:
            sink.rolled_back()
        self._hooks.rolled_back()

    def _one_slice(self) -> None:
        job, done = self._slices.popleft()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._hooks.begun(self._connection)
            result = run_alone(self._connection, job, self._hooks)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - as in _commit
            self._roll_back(())
            self._loop_call(_run, [(done, self._judge(error))])
            return
        self._pages += 24
        self._dirty = True
        self._after_commit(())
        self._loop_call(_run, [(done, result)])

    def _checkpoint(self) -> None:
        self._pages = 0
        self.checkpoints += 1
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            if is_disk_error(error) and not is_lock_error(error):
                self._turn_read_only(error)

    # --- trouble

    def _fail(self, batch: list[tuple[Sink, Any, Done, int, int]], error: BaseException) -> None:
        answer = self._judge(error)
        self._loop_call(_run, [(member[2], answer) for member in batch])

    def _judge(self, error: BaseException) -> BaseException:
        """The typed error for a failed transaction; the disk's turn the writer read-only."""
        if is_disk_error(error):
            self._turn_read_only(error)
            return self._error
        if isinstance(error, FencedError):
            self._loop_call(self._on_fenced, error)
        if isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in (11, 26):
            return CorruptError(f"the database is damaged: {error}", hint="stop O and run: o-tui doctor")
        return error

    def _turn_read_only(self, error: BaseException) -> None:
        if is_lock_error(error):
            who = self._hooks.who_locks()
            self._error = BusyError(
                f"the database is locked by {who}", hint="close the other program; O goes on by itself"
            )
        elif not is_disk_error(error):
            text = f"what is kept beside the database cannot be written: {error}"
            self._error = PeerError(text, hint="what was acknowledged is in the database; run: o-tui doctor")
        else:
            hint = "free space or mend the disk: O goes on by itself"
            self._error = PeerError(f"the disk takes nothing: {error}", hint=hint)
        self._probe_at = time.monotonic() + self._pause_s
        if not self.read_only:
            self.read_only = True
            self._loop_call(self._on_state, True, str(self._error))

    def _while_read_only(self) -> None:
        """Refuses what comes, and probes with growing pauses."""
        wait_s = self._probe_at - time.monotonic()
        try:
            item = self._queue.get(timeout=wait_s) if wait_s > 0 and not self._closing else self._queue.get_nowait()
            if item is not None:
                self._loop_call(_run, [(item[2], self._error)])
        except queue.Empty:
            pass
        while self._slices:
            self._loop_call(_run, [(self._slices.popleft()[1], self._error)])
        if time.monotonic() >= self._probe_at:
            self._probe()

    def _probe(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._hooks.begun(self._connection)
            self._hooks.probe(self._connection)
            self._connection.execute("COMMIT")
            self._hooks.committed()
            self._hooks.idle()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._roll_back(())
            self._pause_s = min(self._pause_s * 2, RETRY_S[1])
            self._judge(error)
            self._probe_at = time.monotonic() + self._pause_s
            return
        self._pause_s = RETRY_S[0]
        self.read_only = False
        self._loop_call(self._on_state, False, "the disk takes entries again")

    # --- to the loop

    def _loop_call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the loop has been closed: nobody waits any more

    @staticmethod
    def _acknowledge(answers: list[tuple[Sink, list[Done], list[Any]]]) -> None:
        for sink, _calls, results in answers:
            sink.acknowledged(results)
        for _sink, calls, results in answers:
            _run(zip(calls, results, strict=True))


def _run(pairs: Any) -> None:
    """Calls back on the loop; one that raises does not keep the others from hearing."""
    for done, result in pairs:
        try:
            done(result)
        except Exception as error:  # noqa: BLE001 - the border between the storage and whoever waits for it
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "a storage callback failed", "exception": error})
