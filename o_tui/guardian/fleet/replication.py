"""Sends what the log holds to every replica: main, standby, canary and the nursery.

Entries go out once a turn of the loop, encoded once for all. A new replica first gets what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from o_tui.guardian.storage.database import resolve
from o_tui.guardian.storage.wal import Proposed, Wal
from o_tui.protocol import frames, messages, operations
from o_tui.protocol.errors import OError

BATCH_BYTES = 192 * 1024
"""Entries in one frame; the rest of the frame is for what wraps them."""
CATCH_UP_ENTRIES = 2_000


class Replica(Protocol):
    """Whoever applies the log. `seq` is the last entry that it was sent."""

    seq: int

    @property
    def alive(self) -> bool:
        """It can still be sent something."""

    def send_entries(self, raw: bytes) -> None:
        """An encoded `committed` frame."""


class Replication:
    """The log's fan-out. Entries are skipped by sequence number where a replica has them already."""

    def __init__(self, wal: Wal, quarantined: dict[int, bytes]) -> None:
        self._wal = wal
        self._quarantined = quarantined
        self._replicas: list[Replica] = []
        self._pending: list[bytes] = []

    def add(self, entries: list[bytes]) -> None:
        """Durable entries, in order; they leave at the end of this turn of the loop."""
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.extend(entries)

    async def append(self, name: str, data: bytes) -> None:
        """An operation of the guardian's own: durable, and sent to every replica in its place.

        Raises:
            OError: The disk does not take it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def committed(result: list[bytes] | OError) -> None:
            if not isinstance(result, OError):
                self.add(result)  # also where nobody waits any more
            resolve(future, result if isinstance(result, OError) else None)

        self._wal.append([Proposed("", 0, name, data)], committed)
        await future

    async def attach(self, replica: Replica) -> None:
        """Sends what a replica misses, then everything that follows."""
        while (tail := self._wal.tail(replica.seq)) is None:
            entries = await self._wal.read(replica.seq, CATCH_UP_ENTRIES)
            if not entries:
                break
            self._send([replica], entries, operations.unpack_entry(entries[-1]).seq)
        if tail:
            self._send([replica], tail, self._wal.seq)
        self._replicas.append(replica)

    async def catch_up(self, replica: Replica, seq: int) -> None:
        """Sends what a replica misses up to entry `seq`, and nothing after it."""
        while replica.seq < seq:
            entries = await self._wal.read(replica.seq, min(CATCH_UP_ENTRIES, seq - replica.seq))
            self._send([replica], entries, replica.seq + len(entries))

    def detach(self, replica: Replica) -> None:
        """It gets nothing more."""
        if replica in self._replicas:
            self._replicas.remove(replica)

    def quarantine(self, seq: int, replacement: bytes) -> None:
        """Replicas get `replacement` where entry `seq` stood."""
        self._quarantined[seq] = replacement

    def _flush(self) -> None:
        entries, self._pending = self._pending, []
        self._replicas = [replica for replica in self._replicas if replica.alive]
        self._send(self._replicas, entries, self._wal.seq)

    def _send(self, replicas: Iterable[Replica], entries: list[bytes], last_seq: int) -> None:
        if self._quarantined:
            entries = [self._quarantined.get(operations.unpack_entry(entry).seq, entry) for entry in entries]
        batches = list(_batches(entries))
        # the chain's digest is known where the log ends, so only the frame that ends there can be held to it
        ends_there = bool(entries) and operations.unpack_entry(entries[-1]).seq == self._wal.seq
        for batch in batches:
            digest = self._wal.digest if ends_there and batch is batches[-1] else b""
            raw = frames.encode(messages.Committed(entries=batch, digest=digest))
            for replica in replicas:
                replica.send_entries(raw)
        for replica in replicas:
            replica.seq = last_seq


def _batches(entries: list[bytes]) -> Iterable[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for entry in entries:
        if batch and size + len(entry) > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += len(entry) + 5
    if batch:
        yield batch
