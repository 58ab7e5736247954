"""Entries of the log that replicas die of: named after two deaths, and a stand-in sent in their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.storage.wal import Wal
from o_tui.protocol import operations

DEATHS = 2
APPLYING = "cannot be applied"
"""What a replica says of the entry itself; a gap or a wrong digest is a replica's fault, and no entry's."""


class Poison:
    """Counts who died of what. `tell` writes an event row."""

    def __init__(self, wal: Wal, replication: Replication, tell: Callable[..., None]) -> None:
        self._wal = wal
        self._replication = replication
        self._tell = tell
        self._deaths: Counter[int] = Counter()

    async def failed(self, seq: int, why: str) -> None:
        """A replica could not go on at an entry; the log itself is not changed, whatever follows."""
        if APPLYING not in why:
            return
        self._deaths[seq] += 1
        if self._deaths[seq] != DEATHS:
            return
        (packed,) = await self._wal.read(seq - 1, 1)
        entry = operations.unpack_entry(packed)
        digest = await self._wal.digest_at(seq)
        name, data = operations.pack(operations.Skip(digest=digest.hex(), reason=why[:200]))
        stand_in = operations.Entry(seq, entry.time_ns, entry.epoch, entry.request_id, entry.position, name, data)
        self._replication.quarantine(seq, operations.pack_entry(stand_in))
        self._tell("wal", "quarantine", "error", f"entry {seq} ended two replicas and is skipped: {why}", {"seq": seq})
