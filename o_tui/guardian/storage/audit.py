"""Approvals: append-only (triggers refuse anything else) and hash-chained."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import APPROVALS
from o_tui.protocol.operations import GENESIS

_encode = msgspec.msgpack.Encoder().encode
_COLUMNS = ", ".join(APPROVALS.columns)
Verdict = Literal["approved", "rejected", "rolled_back"]


class Audit:
    """The operator's verdicts on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def approve_row(
        self,
        *,
        who: str,
        uid: int,
        how: str,
        place: str,
        verdict: Verdict,
        evolution: str,
        base: str,
        revision: str,
        diff_sha256: str,
        evidence_sha256: str,
        reason: str,
    ) -> dict[str, Any]:
        """Appends a verdict; returns its row, durable.

        Args:
            who: The operator's name.
            uid: The operator's user id.
            how: How that is known.
            place: From where it came.
            verdict: What was decided.
            evolution: About which evolution; empty for a rollback of the operator's own.
            base: What ran when it was decided.
            revision: The candidate, or what is gone back to.
            diff_sha256: Of the exact diff that was shown.
            evidence_sha256: Of the evidence beside it.
            reason: In the operator's words.

        Raises:
            PeerError, BusyError, FencedError: Nothing was kept.
        """
        digests = (diff_sha256, evidence_sha256)
        values = (time.time_ns(), who, uid, how, place, verdict, evolution, base, revision, *digests, reason)
        return _public(await self._database.write(lambda connection: self._append(connection, values)))

    async def find(self, evolution: str) -> list[dict[str, Any]]:
        """The verdicts of one evolution, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM approvals WHERE evolution = ? ORDER BY number"
        return [_public(row) for row in await self._database.read(sql, [evolution])]

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
        return [_public(row) for row in await self._database.read(sql, [limit])]

    async def verify(self) -> dict[str, Any]:
        """Verifies the chain: {ok, approvals, first_bad}; `first_bad` is 0 if all is well."""
        return await self._database.call_reader(verify)


def _public(row: Sequence[Any]) -> dict[str, Any]:
    public = APPROVALS.as_dict(row)
    return {**public, "by": public["who"], "digest": public["digest"].hex()}


def verify(connection: sqlite3.Connection) -> dict[str, Any]:
    """See `Audit.verify`."""
    previous, count = GENESIS, 0
    for row in connection.execute(f"SELECT {_COLUMNS} FROM approvals ORDER BY number"):
        digest = hashlib.sha256(previous + _encode(row[:-1])).digest()
        if row[0] != count + 1 or digest != row[-1]:
            return {"ok": False, "approvals": count, "first_bad": count + 1}
        previous, count = digest, count + 1
    return {"ok": True, "approvals": count, "first_bad": 0}
