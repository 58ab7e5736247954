"""The guardian's database: one file, one writer thread, readers of their own.

`Database.open` blocks and is called before the loop runs: it creates or recognises the file, compares it with the
head and the mirror beside it, repairs what redundancy allows, and raises the epoch. `start` then gives it the loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from o_tui.guardian.storage import repair, schema
from o_tui.guardian.storage.findings import Finding
from o_tui.guardian.storage.head import Head
from o_tui.guardian.storage.mirror import Mirror
from o_tui.guardian.storage.mirror_repair import extend_mirror
from o_tui.guardian.storage.row_mirror import RowMirror
from o_tui.guardian.storage.rows import Table, insert_flat
from o_tui.guardian.storage.segments import SEGMENT_BYTES
from o_tui.guardian.storage.sinks import Done, FencedError, Job, Sink
from o_tui.guardian.storage.writer import Writer
from o_tui.paths import Paths
from o_tui.protocol.errors import OError

T = TypeVar("T")
READERS = 2
_NOT_THE_CALLER = frozenset({5, 6, 7, 10, 11, 14, 26})

__all__ = ["Database", "FencedError", "Finding"]


def _ignore_fence(error: FencedError) -> None:
    """Whoever writes hears of it."""


def _ignore_state(read_only: bool, text: str) -> None:
    """Nobody wants to know."""


class Database:
    """The open database.

    Attributes:
        epoch: This guardian's; every entry carries it.
        findings: What opening found and did; the caller puts it into the event log.
        on_state: Called on the loop with (read_only, text) when the disk stops or starts taking entries.
        on_fenced: Set before `start`. Called on the loop, perhaps again and again, when a newer guardian owns the
            workspace: this one can write nothing any more.
    """

    def __init__(self, paths: Paths, connection: sqlite3.Connection, opened: repair.Opened, epoch: int) -> None:
        self.paths = paths
        self.epoch = epoch
        self.findings: list[Finding] = opened.findings
        self.on_state: Callable[[bool, str], None] = _ignore_state
        self.on_fenced: Callable[[FencedError], None] = _ignore_fence
        self.opened = opened
        self.mirror: Mirror = opened.mirror
        self._rows: RowMirror = opened.rows
        self._head_file = opened.head_file
        self._head = opened.head
        self._commits = opened.commits
        self._connection = connection
        self._writer: Writer | None = None
        # not aiosqlite: its threads keep a process alive whose loop has ended without closing them
        self._readers = ThreadPoolExecutor(READERS, "storage-read")
        self._local = threading.local()
        self._open_readers: list[sqlite3.Connection] = []
        self._position = (opened.seq, opened.digest)
        self._mirror_behind = False
        self._finished = False

    # --- life

    @classmethod
    def open(
        cls,
        paths: Paths,
        *,
        busy_timeout_s: float = 5.0,
        tail_entries: int = 2_000,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> Database:
        """Opens, checks, repairs, and fences every earlier opener. Blocking.

        Args:
            paths: The workspace; its folders exist (`Paths.prepare`).
            busy_timeout_s: How long another process may keep the file locked.
            tail_entries: How many of the last entries are verified; all of them: `Wal.verify`.
            segment_bytes: Size at which a segment of the mirror is full.

        Raises:
            BusyError: Another process has the database locked; the text says which.
            RefusedError: It belongs to another user or program, is read-only, or was made by a newer O.
            CorruptError: It is damaged and could not even be built anew.
        """
        connection, opened = repair.open_checked(paths, busy_timeout_s, tail_entries, segment_bytes)
        try:
            epoch = repair.raise_epoch(connection, opened)
        except sqlite3.Error as error:
            connection.close()
            raise schema.typed(error, paths.database) from error
        # from here on a lock that somebody else holds makes the writer read-only soon, not a guardian that waits
        connection.execute("PRAGMA busy_timeout=2000")
        database = cls(paths, connection, opened, epoch)
        try:
            database._write_head()
        except OSError as error:
            database.close_blocking()
            raise schema.typed(error, paths.database) from error
        return database

    def start(self, on_state: Callable[[bool, str], None] | None = None) -> None:
        """Starts the writer thread for the running loop. Until then nothing can be written."""
        if on_state is not None:
            self.on_state = on_state
        loop = asyncio.get_running_loop()
        writer = Writer(self._connection, self, loop, self._tell_state, self.on_fenced)
        writer.start()  # where no thread can be started nobody would answer what is put
        self._writer = writer

    def _tell_state(self, read_only: bool, text: str) -> None:
        self.on_state(read_only, text)

    async def close(self) -> None:
        """Writes what is queued, checkpoints the WAL file, syncs what lies beside it and closes. Idempotent."""
        await asyncio.to_thread(self._readers.shutdown)
        while self._open_readers:
            self._open_readers.pop().close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.stop()
            await asyncio.to_thread(writer.join)
        await asyncio.to_thread(self._finish, writer is None or not writer.read_only)

    def close_blocking(self) -> None:
        """Closes a database that was never started."""
        if self._writer is None:
            self._finish(True)

    def _finish(self, clean: bool) -> None:
        if self._finished:
            return
        self._finished = True
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if clean:
                self.idle()
        except (sqlite3.Error, OSError):
            pass  # the next opening verifies more; nothing acknowledged depends on this
        finally:
            self._connection.close()
            self.mirror.close()
            self._rows.close()
            self._head_file.close()

    # --- writing

    @property
    def read_only(self) -> bool:
        """The disk takes nothing at the moment (full, failing, locked): it is tried again by itself."""
        return self._writer is not None and self._writer.read_only

    @property
    def batches(self) -> int:
        """Group commits so far."""
        return self._writer.batches if self._writer is not None else 0

    def enqueue(self, job: Callable[[sqlite3.Connection], T], done: Done) -> None:
        """Queues a job for the next group commit; `done` gets its result or exception on the loop, after it is durable.

        A job that raises is taken back alone (a savepoint); the others of its batch go through.
        """
        self._need_writer().put_job(job, done)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a job in the next group commit; returns after it is durable.

        Raises:
            PeerError: The disk takes nothing; nothing was kept.
            BusyError: Another program has the database locked; nothing was kept.
            FencedError: A newer guardian owns the workspace.
        """
        return await self._wait(self._need_writer().put_job, job)  # type: ignore[no-any-return]

    async def slice(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Like `write`, for bulk work: in a transaction of its own, after those who wait for acknowledgements."""
        return await self._wait(self._need_writer().put_slice, job)  # type: ignore[no-any-return]

    async def slices(self, job: Callable[[sqlite3.Connection], int], rows: int) -> int:
        """Slices of a `job` that deals with at most `rows` and returns how many; returns how many they were in all."""
        total = 0
        while True:
            done = await self.slice(job)
            total += done
            if done < rows:
                return total

    def put(self, sink: Sink, item: Any, done: Done, entries: int, size_bytes: int) -> None:
        """Queues an item for a sink (the hot path)."""
        self._need_writer().put(sink, item, done, entries, size_bytes)

    @staticmethod
    async def _wait(put: Callable[[Job, Done], None], job: Job) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        put(job, lambda result: resolve(future, result))
        return await future

    def _need_writer(self) -> Writer:
        if self._writer is None:
            raise OError("the database is not started or already closed")
        return self._writer

    def insert(
        self, connection: sqlite3.Connection, table: Table, rows: Sequence[Sequence[Any]], verb: str = "INSERT"
    ) -> int:
        """Inside a job: inserts rows with their sums, and remembers them for the row mirror."""
        flat: list[Any] = []
        for values in rows:
            self._rows.add(self._commits + 1, table.name, values)
            flat.extend(table.seal(values))
        return insert_flat(connection, table, flat, len(rows), verb)

    def replace(self, connection: sqlite3.Connection, table: Table, values: Sequence[Any]) -> None:
        """Inside a job: writes one row in place of the one with its key."""
        self.insert(connection, table, [values], "INSERT OR REPLACE")

    # --- reading

    async def read(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, from a connection that can only read.

        Raises:
            CorruptError, BusyError, PeerError: The file is damaged, locked, or cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, sql, params)

    def _read(self, sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
        """In a reader's thread, on its own connection."""
        connection = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = schema.connect_reader(self.paths.database)
                self._open_readers.append(connection)
            return connection.execute(sql, params).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._typed(error) from error

    async def call_reader(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a longer reading job in a thread, on a connection of its own; raises as `read`, and what `job` does."""

        def run() -> T:
            try:
                connection = schema.connect_reader(self.paths.database)
                try:
                    return job(connection)
                finally:
                    connection.close()
            except sqlite3.DatabaseError as error:
                raise self._typed(error) from error

        return await asyncio.to_thread(run)

    def _typed(self, error: sqlite3.DatabaseError) -> Exception:
        """The file's trouble as an error that says so; the caller's own mistake as it is."""
        # without a code: text that is not UTF-8 any more
        damage = getattr(error, "sqlite_errorcode", 11) & 0xFF in _NOT_THE_CALLER
        return schema.typed(error, self.paths.database) if damage else error

    # --- hooks of the writer (in its thread)

    def begun(self, connection: sqlite3.Connection) -> None:
        """Fencing and the count of transactions, in one statement."""
        changed = connection.execute("UPDATE epoch SET commits = commits + 1 WHERE id = 1 AND epoch = ?", (self.epoch,))
        if changed.rowcount != 1:
            raise FencedError(
                f"epoch {self.epoch} of this guardian is no longer the newest", hint="another guardian took over"
            )

    def committed(self) -> None:
        """Everything is in the database: the row mirror and the head follow."""
        self._commits += 1
        self._rows.settle()
        self._rows.flush()
        self._write_head()

    def rolled_back(self) -> None:
        """Forgets what would have gone into the row mirror."""
        self._rows.forget()

    def savepoint(self) -> int:
        """Where the row mirror stands."""
        return self._rows.mark()

    def back_to(self, mark: int) -> None:
        """Forgets the rows of a job that was taken back."""
        self._rows.back_to(mark)

    def advanced(self, entries: Sequence[bytes], seq: int, digest: bytes) -> None:
        """The log has new durable entries (called by its sink): the mirror follows."""
        self._position = (seq, digest)
        if self._mirror_behind:
            self._catch_up()
            return
        try:
            self.mirror.append(entries, digest)
        except OSError:
            self._mirror_behind = True
            raise

    def idle(self) -> None:
        """Syncs what lies beside the database."""
        if self._mirror_behind:
            self._catch_up()
        self._rows.flush()
        self.mirror.sync()
        self._rows.sync()
        self._head_file.sync()

    def probe(self, connection: sqlite3.Connection) -> None:
        """Writes as much as a small batch would, and lets the WAL file go into the database."""
        connection.execute("INSERT OR REPLACE INTO probe VALUES (1, zeroblob(65536))")

    def who_locks(self) -> str:
        """Who holds the lock."""
        return schema.holders(self.paths.database)

    def _catch_up(self) -> None:
        extend_mirror(self._connection, self.mirror)
        self._mirror_behind = False

    def _write_head(self) -> None:
        seq, digest = self._position
        counter = self._head.counter + 1
        self._head = Head(counter, self.epoch, self._commits, seq, digest, time.time_ns())
        self._head_file.write(self._head)


def resolve(future: asyncio.Future[Any], result: Any) -> None:
    """Ends a future with a result or an exception; one that nobody waits for any more is left alone."""
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
