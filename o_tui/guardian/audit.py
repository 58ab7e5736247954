"""Approvals: append-only (triggers refuse anything else) and hash-chained."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from typing import Any, Literal

import msgspec

from o_tui.guardian.database import Database
from o_tui.guardian.rows import APPROVALS
from o_tui.protocol.operations import GENESIS

_encode = msgspec.msgpack.Encoder().encode
_COLUMNS = ", ".join(APPROVALS.columns)


class Audit:
    """The operator's verdicts on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def approve_row(
        self,
        *,
        who: str,
        how: str,
        verdict: Literal["approved", "rejected", "rolled_back"],
        evolution: str,
        base: str,
        revision: str,
        diff_sha256: str,
        evidence_sha256: str,
        reason: str = "",
    ) -> dict[str, Any]:
        """Appends a verdict; returns its row, durable. `how`: how the operator was identified (uid, view).

        Raises:
            PeerError, BusyError, FencedError: Nothing was kept.
        """
        values = (time.time_ns(), who, how, verdict, evolution, base, revision, diff_sha256, evidence_sha256, reason)
        return APPROVALS.as_dict(await self._database.write(lambda connection: self._append(connection, values)))

    def _append(self, connection: sqlite3.Connection, values: tuple[Any, ...]) -> tuple[Any, ...]:
        last = connection.execute("SELECT number, digest FROM approvals ORDER BY number DESC LIMIT 1").fetchone()
        number, previous = (last[0] + 1, last[1]) if last else (1, GENESIS)
        row = (number, *values)
        row = (*row, hashlib.sha256(previous + _encode(row)).digest())
        self._database.insert(connection, APPROVALS, [row])
        return row

    async def page(self, limit: int = 200) -> list[dict[str, Any]]:
        """Verdicts, newest first; digests as hex."""
        sql = f"SELECT {_COLUMNS} FROM approvals ORDER BY number DESC LIMIT ?"
        rows = [APPROVALS.as_dict(row) for row in await self._database.read(sql, [limit])]
        return [{**row, "digest": row["digest"].hex()} for row in rows]

    async def verify(self) -> dict[str, Any]:
        """Verifies the chain: {ok, approvals, first_bad}; `first_bad` is 0 if all is well."""
        return await self._database.call_reader(verify)


def verify(connection: sqlite3.Connection) -> dict[str, Any]:
    """See `Audit.verify`."""
    previous, count = GENESIS, 0
    for row in connection.execute(f"SELECT {_COLUMNS} FROM approvals ORDER BY number"):
        digest = hashlib.sha256(previous + _encode(row[:-1])).digest()
        if row[0] != count + 1 or digest != row[-1]:
            return {"ok": False, "approvals": count, "first_bad": count + 1}
        previous, count = digest, count + 1
    return {"ok": True, "approvals": count, "first_bad": 0}
