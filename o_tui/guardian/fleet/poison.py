"""Entries of the log that replicas die of: named after two deaths, and a stand-in sent in their place.

An instance runs code that evolves, so its word alone makes nothing be skipped: the nursery, which runs none, must have
died of the entry too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from o_tui.guardian.fleet.replication import Replication
from o_tui.guardian.storage.wal import Wal
from o_tui.protocol import operations

DEATHS = 2
WITNESS = "nursery"
ENTRIES = 1_000
"""Entries that are accused at the same time; who accuses more is not heard."""
APPLYING = "cannot be applied"
"""What a replica says of the entry itself; a gap or a wrong digest is a replica's fault, and no entry's."""


class Poison:
    """Counts who died of what. `tell` writes an event row."""

    def __init__(self, wal: Wal, replication: Replication, tell: Callable[..., None]) -> None:
        self._wal = wal
        self._replication = replication
        self._tell = tell
        self._deaths: Counter[int] = Counter()
        self._witnessed: set[int] = set()
        self._named: set[int] = set()

    async def failed(self, who: str, seq: int, why: str) -> None:
        """A replica could not go on at an entry; the log itself is not changed, whatever follows."""
        if APPLYING not in why or (who != WITNESS and len(self._deaths) >= ENTRIES):
            return
        self._deaths[seq] += 1
        if who == WITNESS:
            self._witnessed.add(seq)
        if seq in self._named or seq not in self._witnessed or self._deaths[seq] < DEATHS:
            return
        self._named.add(seq)
        (packed,) = await self._wal.read(seq - 1, 1)
        entry = operations.unpack_entry(packed)
        digest = await self._wal.digest_at(seq)
        name, data = operations.pack(operations.Skip(digest=digest.hex(), reason=why[:200]))
        stand_in = operations.Entry(seq, entry.time_ns, entry.epoch, entry.request_id, entry.position, name, data)
        self._replication.quarantine(seq, operations.pack_entry(stand_in))
        self._tell("wal", "quarantine", "error", f"entry {seq} ended two replicas and is skipped: {why}", {"seq": seq})
