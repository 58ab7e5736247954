"""Effects asked and answered: for requests that are delivered again, and for replay to shadows. Bodies by digest."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import zstandard

from o_tui.guardian.database import Database
from o_tui.guardian.rows import BODIES, BROKERED
from o_tui.protocol.errors import CorruptError

KEEP_EFFECTS = 50_000
BODY_LIMIT_BYTES = 64 << 20
_PRUNE_ROWS = 500
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder().decode


def digest_arguments(arguments: Mapping[str, Any]) -> bytes:
    """SHA-256 of the canonical MessagePack (keys sorted) of an effect's arguments."""
    return hashlib.sha256(_encode(arguments)).digest()


class Brokered:
    """Effects on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last = database.opened.tops["brokered"]

    def record(
        self,
        request_id: str,
        call_id: str,
        kind: str,
        digest: bytes,
        arguments: Mapping[str, Any],
        state: str,
        data: Mapping[str, Any],
    ) -> None:
        """Records how an effect ended (`done` or `error`, with its data); durable with the next commit."""
        self._last += 1
        number, now = self._last, time.time_ns()
        question, answer = _encode(arguments), _encode(data)

        def job(connection: sqlite3.Connection) -> None:
            sql = "SELECT count(*) FROM brokered WHERE request_id = ? AND kind = ? AND args_sha256 = ?"
            (place,) = connection.execute(sql, (request_id, kind, digest)).fetchone()
            for body in (question, answer):
                self._keep(connection, body, now)
            body_sha256 = hashlib.sha256(answer).digest()
            row = (number, request_id, call_id, kind, digest, place, state, body_sha256, now)
            self._database.insert(connection, BROKERED, [row])

        self._database.enqueue(job, _ignore)

    def _keep(self, connection: sqlite3.Connection, body: bytes, now: int) -> None:
        digest = hashlib.sha256(body).digest()
        if connection.execute("SELECT 1 FROM bodies WHERE sha256 = ?", (digest,)).fetchone():
            return
        packed = zstandard.ZstdCompressor(level=1).compress(body) if len(body) > 512 else body
        smaller = len(packed) < len(body)
        self._database.insert(connection, BODIES, [(digest, int(smaller), now, packed if smaller else body)])

    async def find(self, request_id: str, kind: str, digest: bytes, place: int = 0) -> dict[str, Any] | None:
        """What the `place`-th equal question of a request was answered with `done`; None if it was not."""
        sql = (
            "SELECT b.* FROM brokered e JOIN bodies b ON b.sha256 = e.body_sha256"
            " WHERE e.request_id = ? AND e.kind = ? AND e.args_sha256 = ? AND e.state = 'done'"
            " ORDER BY e.place LIMIT 1 OFFSET ?"
        )
        rows = await self._database.read(sql, [request_id, kind, digest, place])
        return _body(rows[0]) if rows else None

    async def of_requests(self, request_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The effects of requests, in order: [{kind, args_sha256, state, data, call_id, time_ns}] by request id."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in request_ids}
        for start in range(0, len(request_ids), 500):
            part = list(request_ids[start : start + 500])
            marks = ",".join("?" * len(part))
            sql = (
                "SELECT e.request_id, e.kind, e.args_sha256, e.state, e.call_id, e.time_ns, b.* FROM brokered e"
                f" JOIN bodies b ON b.sha256 = e.body_sha256 WHERE e.request_id IN ({marks}) ORDER BY e.number"
            )
            for request_id, kind, digest, state, call_id, time_ns, *body in await self._database.read(sql, part):
                row = {"kind": kind, "args_sha256": digest, "state": state, "call_id": call_id, "time_ns": time_ns}
                found[request_id].append({**row, "data": _body(body)})
        return found

    async def prune(self, keep: int = KEEP_EFFECTS) -> int:
        """Removes the oldest effects beyond `keep`, and bodies that none has any more, in slices; returns how many."""
        removed = 0
        while True:
            part = await self._database.slice(lambda connection: _prune(connection, keep))
            removed += part
            if part < _PRUNE_ROWS:
                return removed


def _prune(connection: sqlite3.Connection, keep: int) -> int:
    (top,) = connection.execute("SELECT coalesce(max(number), 0) FROM brokered").fetchone()
    sql = "DELETE FROM brokered WHERE number IN (SELECT number FROM brokered WHERE number <= ? ORDER BY number LIMIT ?)"
    removed = connection.execute(sql, (top - keep, _PRUNE_ROWS)).rowcount
    if 0 < removed < _PRUNE_ROWS:
        used = "SELECT body_sha256 FROM brokered UNION SELECT args_sha256 FROM brokered"
        connection.execute(f"DELETE FROM bodies WHERE sha256 NOT IN ({used})")
    return removed


def _body(row: Sequence[Any]) -> dict[str, Any]:
    if not BODIES.intact(row):
        raise CorruptError("the recorded answer of an effect is damaged")
    _sha256, packed, _time_ns, data, _sum = row
    if packed:
        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=BODY_LIMIT_BYTES)
    value: dict[str, Any] = _decode(data)
    return value


def _ignore(_result: Any) -> None:
    """Nobody waits for a record; a disk that takes nothing is told by `Database.on_state`."""
