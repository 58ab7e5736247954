"""Shorthand for the tests of the storage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from o_tui.bench.wal import accept, finish
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.vault import Vault
from o_tui.guardian.storage.wal import Wal
from o_tui.paths import Paths
from o_tui.protocol import checkpoint

__all__ = ["accept", "finish", "opened", "take_checkpoint", "take_delta"]


@asynccontextmanager
async def opened(paths: Paths, **options: Any) -> AsyncIterator[Database]:
    """A started database."""
    database = await asyncio.to_thread(lambda: Database.open(paths, **options))
    database.start()
    try:
        yield database
    finally:
        await database.close()


async def take_checkpoint(vault: Vault, wal: Wal, size: int = 30_000, **sections: bytes) -> dict[str, Any]:
    """A checkpoint at the log's end; its row."""
    return await _take(vault, wal, {"meta": b"1", "memory": os.urandom(size), **sections}, over_base=False)


async def take_delta(vault: Vault, wal: Wal, **sections: bytes) -> dict[str, Any]:
    """A checkpoint of these sections that becomes a delta where the vault has a base for it; its row."""
    return await _take(vault, wal, sections, over_base=True)


async def _take(vault: Vault, wal: Wal, sections: dict[str, bytes], *, over_base: bool) -> dict[str, Any]:
    pending = await vault.begin(uuid.uuid4(), "test", over_base=over_base)
    header = checkpoint.Header(uuid.UUID(pending.id), time.time_ns(), wal.seq, 0, 0, b"", wal.digest)
    with contextlib.ExitStack() as stack:
        file, *base = [
            stack.enter_context(os.fdopen(os.dup(fd), "r+b" if fd == pending.fd else "rb"))
            for fd in pending.descriptors
        ]
        checkpoint.write(file, sections, header, *base)
    return await vault.commit(pending)
