"""What instances were refused by the sandbox: read from their shared memory, and kept as rows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from o_tui import _native
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import VIOLATIONS
from o_tui.protocol.refusals import Refusal, refusals

DISTINCT = 64
"""Different things of one instance that are kept: it may try as many as it likes."""
KEEP_ROWS = 20_000
_PRUNE_ROWS = 2_000


class Refused:
    """What one instance was refused so far; each thing once."""

    def __init__(self, counters: _native.SharedReader) -> None:
        self._counters = counters
        self._seen = 0
        self._known: dict[tuple[str, str], Refusal] = {}

    @property
    def all(self) -> list[Refusal]:
        """As far as anybody has looked."""
        return list(self._known.values())

    def look(self, status: int | None = None) -> list[Refusal]:
        """What is new since the last look; `status` is how it ended, where it has."""
        count = self._counters.violation_count()
        if count == self._seen and status is None:
            return []
        self._seen = count
        return self.add(refusals(self._counters.violations(), status))

    def add(self, found: Sequence[Refusal]) -> list[Refusal]:
        """Those that were not known; beyond `DISTINCT` nothing is."""
        new = []
        for refusal in found:
            key = (refusal.layer, refusal.what)
            if key not in self._known and len(self._known) < DISTINCT:
                self._known[key] = refusal
                new.append(refusal)
        return new


class Violations:
    """The rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, who: Sequence[str], found: Sequence[Refusal]) -> None:
        """Rows for what one instance was refused; `who` is its name, role, revision and evolution."""
        time_ns = time.time_ns()

        def job(connection: sqlite3.Connection) -> None:
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM violations").fetchone()
            rows = [(last + at, time_ns, *who, each.layer, each.what) for at, each in enumerate(found, 1)]
            self._database.insert(connection, VIOLATIONS, rows)

        await self._database.write(job)

    async def page(self, limit: int = 200, evolution: str = "") -> list[dict[str, Any]]:
        """The newest rows, newest first; only those of an evolution, where one is named."""
        where, params = ("WHERE evolution = ?", [evolution]) if evolution else ("", [])
        sql = f"SELECT {VIOLATIONS.all_columns} FROM violations {where} ORDER BY number DESC LIMIT ?"
        return [VIOLATIONS.as_dict(row) for row in await self._database.read(sql, [*params, limit])]

    async def prune(self) -> int:
        """Removes the oldest rows beyond the limit, in slices; returns how many."""

        def job(connection: sqlite3.Connection) -> int:
            (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM violations").fetchone()
            sql = "DELETE FROM violations WHERE number IN (SELECT number FROM violations WHERE number <= ? LIMIT ?)"
            return connection.execute(sql, (last - KEEP_ROWS, _PRUNE_ROWS)).rowcount

        return await self._database.slices(job, _PRUNE_ROWS)
