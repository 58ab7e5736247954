"""The log of operations: the truth. Appended by group commit, chained by SHA-256, mirrored beside the database."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from o_tui.guardian.storage import chainwork
from o_tui.guardian.storage.database import Database, resolve
from o_tui.guardian.storage.rows import WAL, insert_flat
from o_tui.protocol.errors import CorruptError, OError

RING_ENTRIES = 32_768
RING_BYTES = 8 << 20
SLICE_ENTRIES = 2_000
VERIFY_ENTRIES = 10_000


class Proposed(msgspec.Struct, frozen=True):
    """One operation that is to be made durable; `position` is its place among those of its request."""

    request_id: str
    position: int
    operation: str
    data: bytes


class Wal:
    """The log on a database.

    Attributes:
        seq: The last durable entry; 0 if there is none.
        digest: The chain's digest there.
        floor: Says up to which entry the log may be cut at most; the journal sets it, for its open requests.
    """

    def __init__(self, database: Database) -> None:
        self.floor: Callable[[], int] = lambda: self.seq
        self.seq = database.opened.seq
        self.digest = database.opened.digest
        self._database = database
        self._sink = _WalSink(database, self)
        self._ring: list[bytes] = []
        self._ring_bytes = 0

    def append(self, items: Sequence[Proposed], done: Callable[[list[bytes] | OError], None]) -> None:
        """Makes operations durable, in order.

        `done` is called on the loop, after the commit, with the packed entries (`operations.pack_entry`), or with
        an error: then none of them was kept. Order of acknowledgement = order of sequence numbers.
        """
        size = 0
        for item in items:
            size += len(item.data) + 96
        self._database.put(self._sink, items, done, len(items), size)

    async def append_one(self, request_id: str, position: int, operation: str, data: bytes) -> int:
        """Makes one operation durable; returns its sequence number. Raises PeerError, BusyError, FencedError."""
        future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        item = (Proposed(request_id, position, operation, data),)
        self._database.put(self._sink, item, partial(resolve, future), 1, len(data) + 96)
        (entry,) = await future
        return chainwork.seq_of(entry)

    def tail(self, after_seq: int) -> list[bytes] | None:
        """The entries after `after_seq` from memory; None if memory does not reach back so far."""
        missing = self.seq - after_seq
        if missing <= 0:
            return []
        return self._ring[-missing:] if missing <= len(self._ring) else None

    async def read(self, after_seq: int, limit: int = SLICE_ENTRIES) -> list[bytes]:
        """At most `limit` packed entries after `after_seq`, from the database, their chain verified.

        Raises:
            CorruptError: An entry does not have its digest, or is missing; the text names it.
            NotFoundError: Entries after `after_seq` have been compacted.
        """
        return await self._database.call_reader(lambda connection: chainwork.read(connection, after_seq, limit))

    async def describe(self, n: int = 20) -> list[dict[str, Any]]:
        """The last entries, oldest first: {seq, time_ns, epoch, request_id, position, operation, data, digest}.

        `data` is decoded; raw bytes inside it are shown by their size.
        """
        sql = "SELECT * FROM wal ORDER BY seq DESC LIMIT ?"
        rows = await self._database.read(sql, [max(0, n)])
        return [chainwork.describe(row) for row in reversed(rows)]

    async def digest_at(self, seq: int) -> bytes:
        """The chain's digest at an entry (also at the compacted end); raises NotFoundError."""
        if seq == self.seq:
            return self.digest
        return await self._database.call_reader(lambda connection: chainwork.digest_at(connection, seq))

    async def first_seq(self) -> int:
        """The oldest entry that is still there is this one's successor: everything up to it has been compacted."""
        return (await self._database.call_reader(chainwork.base_of))[0]

    async def restores(self) -> list[tuple[int, bytes, str]]:
        """The `state_restore` entries that are still in the log: (seq, digest, checkpoint id), oldest first."""
        return await self._database.call_reader(chainwork.restores)

    async def counts(self, request_ids: Sequence[str], after_seq: int = 0) -> dict[str, int]:
        """How many operations of each request are durable; all of them are known to be behind `after_seq`."""
        wanted = dict.fromkeys(request_ids, 0)
        if not wanted:
            return wanted

        def count(connection: sqlite3.Connection) -> dict[str, int]:
            sql = "SELECT request_id, count(*) FROM wal WHERE seq > ? GROUP BY request_id"
            return {name: number for name, number in connection.execute(sql, (after_seq,)) if name in wanted}

        return wanted | await self._database.call_reader(count)

    async def verify(self) -> dict[str, Any]:
        """Verifies the whole chain, in slices, off the loop: {ok, entries, first_bad_seq, problems, mirror_ok}.

        `first_bad_seq` is 0 if all is well. The mirror's segments are verified too.
        """
        position: tuple[int, bytes] | None = None
        entries = 0
        while True:
            start = position
            step = await self._database.call_reader(
                partial(chainwork.verify_slice, position=start, limit=VERIFY_ENTRIES)
            )
            entries += step.entries
            if step.bad_seq or step.done:
                break
            position = (step.seq, step.digest)
        problems = [step.problem] if step.problem else []
        if not step.bad_seq and step.seq < self.seq:
            problems.append(f"the log ends at {step.seq}, acknowledged was {self.seq}")
        mirror = await asyncio.to_thread(chainwork.verify_mirror, self._database.paths.mirror)
        return {
            "ok": not problems and not mirror,
            "entries": entries,
            "first_bad_seq": step.bad_seq or (step.seq + 1 if problems else 0),
            "problems": problems + mirror,
            "mirror_ok": not mirror,
        }

    async def repair(self) -> list[str]:
        """Repairs what `verify` found: rows from the mirror, segments of the mirror from the rows.

        Returns what was done, a line each. Damaged segments are kept in the quarantine.
        """
        paths = self._database.paths
        return await self._database.slice(
            lambda connection: [
                *chainwork.repair_rows(connection, paths.mirror),
                *chainwork.mend_mirror(connection, paths.data, paths.mirror),
            ]
        )

    async def compact(self, below_seq: int) -> int:
        """Removes entries up to and with `below_seq`, in slices; returns how many. The chain stays verifiable.

        The caller takes `below_seq` from `Vault.oldest_seq`. What `floor` says is kept in any case.
        """
        removed = 0
        last = min(below_seq, self.seq - 1, self.floor())
        while True:
            part = await self._database.slice(
                lambda connection: chainwork.compact_slice(self._database, connection, last, SLICE_ENTRIES)
            )
            removed += part
            if not part:
                break
        await asyncio.to_thread(self._database.mirror.compact, last)
        return removed

    # --- from the sink, on the loop

    def advance(self, entries: list[bytes], digest: bytes) -> None:
        """New durable entries: remembers them in memory."""
        ring = self._ring
        ring.extend(entries)
        self._ring_bytes += sum(map(len, entries))
        self.seq += len(entries)
        self.digest = digest
        if len(ring) > RING_ENTRIES or self._ring_bytes > RING_BYTES:
            del ring[: len(ring) // 2]
            self._ring_bytes = sum(map(len, ring))


class _WalSink:
    """Numbers, chains and inserts the proposals of a batch (in the writer thread)."""

    def __init__(self, database: Database, wal: Wal) -> None:
        self._database = database
        self._wal = wal
        self._seq = wal.seq
        self._digest = wal.digest
        self._durable = (wal.seq, wal.digest)
        self._entries: list[bytes] = []
        self._digests: deque[bytes] = deque()
        self._encode = msgspec.msgpack.Encoder().encode

    def write(self, connection: sqlite3.Connection, items: Sequence[Sequence[Proposed]]) -> list[Any]:
        seq, digest, epoch = self._seq, self._digest, self._database.epoch
        now = time.time_ns()
        encode, sha256 = self._encode, hashlib.sha256
        flat: list[Any] = []
        results: list[Any] = []
        written: list[bytes] = []
        for proposals in items:
            packed: list[bytes] = []
            for item in proposals:
                seq += 1
                values = (seq, now, epoch, item.request_id, item.position, item.operation, item.data)
                entry = encode(values)  # an Entry's bytes (array_like), without making one
                digest = sha256(digest + entry).digest()
                packed.append(entry)
                flat += values
                flat.append(digest)
            results.append(packed)
            written += packed
        insert_flat(connection, WAL, flat, len(written))
        self._seq, self._digest = seq, digest
        self._entries += written
        return results

    def committed(self) -> None:
        entries, self._entries = self._entries, []
        self._durable = (self._seq, self._digest)
        self._digests.append(self._digest)
        if entries:
            self._database.advanced(entries, self._seq, self._digest)

    def rolled_back(self) -> None:
        self._entries = []
        self._seq, self._digest = self._durable

    def acknowledged(self, results: list[Any]) -> None:
        entries = [entry for result in results if not isinstance(result, BaseException) for entry in result]
        self._wal.advance(entries, self._digests.popleft())


__all__ = ["CorruptError", "Proposed", "Wal"]
