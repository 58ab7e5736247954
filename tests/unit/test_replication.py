"""What a replica that missed much is sent: whole frames, and a digest only where the log ends."""

from __future__ import annotations

from typing import cast

from o_tui.agent import reducers
from o_tui.agent.state import State
from o_tui.guardian.fleet.replication import BATCH_BYTES, Replication
from o_tui.guardian.storage.wal import Wal
from o_tui.protocol import frames, messages, operations


class Log:
    """A log in memory."""

    def __init__(self, count: int) -> None:
        self.entries: list[bytes] = []
        self.digest = operations.GENESIS
        for seq in range(1, count + 1):
            name, data = operations.pack(operations.StateUpdate(key=f"k{seq}", value="x" * 600))
            packed = operations.pack_entry(operations.Entry(seq, 1, 1, "request", 0, name, data))
            self.entries.append(packed)
            self.digest = operations.chain(self.digest, packed)

    @property
    def seq(self) -> int:
        return len(self.entries)

    def tail(self, after_seq: int) -> list[bytes] | None:
        return self.entries[after_seq:] if after_seq >= self.seq // 2 else None

    async def read(self, after_seq: int, limit: int) -> list[bytes]:
        return self.entries[after_seq : after_seq + limit]


class Replica:
    """Applies what it is sent, as an instance does."""

    def __init__(self) -> None:
        self.seq = 0
        self.alive = True
        self.state = State.empty()
        self.digests: list[bytes] = []
        self.reader = frames.FrameReader()

    def send_entries(self, raw: bytes) -> None:
        for payload in self.reader.feed(memoryview(raw)):
            data = frames.decode(payload).data
            assert isinstance(data, messages.Committed)
            self.digests.append(data.digest)
            reducers.apply_all(self.state, data.entries, data.digest)


async def test_a_replica_far_behind_is_caught_up_in_several_frames() -> None:
    log, replica = Log(6_000), Replica()
    await Replication(cast(Wal, log), {}).attach(replica)
    assert sum(map(len, log.entries)) > 4 * BATCH_BYTES
    assert len(replica.digests) > 4
    assert replica.state.seq == replica.seq == 6_000
    assert replica.state.digest == log.digest
    assert [digest for digest in replica.digests if digest] == [log.digest]
