"""Effects asked and answered: for requests that are delivered again, and for replay to shadows. Bodies by digest.

Bodies are small and alike, so zstd alone does little for them. Once there are enough, a dictionary is learned from
them, if that pays; it is a row among the bodies, and stays for as long as the workspace does.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import zstandard

from o_tui import _native
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import BODIES, BROKERED
from o_tui.protocol.errors import CorruptError

KEEP_EFFECTS = 50_000
BODY_LIMIT_BYTES = 64 << 20
LEARN_FROM = 1_000
"""So many small bodies make a dictionary."""
SMALL_BYTES = 4 << 10
"""What is small enough to profit from one."""
PLAIN, ZSTD, WITH_DICTIONARY, DICTIONARY = range(4)
"""`packed` of a body: as it is, a zstd frame, one that needs the dictionary, or the dictionary itself."""
_WORTH = 0.75
"""A dictionary that makes unknown bodies no smaller than this share is not kept."""
_DICTIONARY_ROW = f"SELECT {BODIES.all_columns} FROM bodies WHERE packed = {DICTIONARY} LIMIT 1"
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
        self._dictionary: _native.Dictionary | None = None
        self._looked = False
        self._learn_from = LEARN_FROM

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
        packed, data = self._pack(connection, body)
        self._database.insert(connection, BODIES, [(digest, packed, now, data)])

    def _pack(self, connection: sqlite3.Connection, body: bytes) -> tuple[int, bytes]:
        if not self._looked:
            self._looked = True
            self._dictionary = _dictionary(connection.execute(_DICTIONARY_ROW).fetchall())
        how, data = PLAIN, body
        if self._dictionary is not None and len(body) <= SMALL_BYTES:
            how, data = WITH_DICTIONARY, self._dictionary.compress(body)
        elif len(body) > 512:
            how, data = ZSTD, zstandard.ZstdCompressor(level=1).compress(body)
        return (how, data) if len(data) < len(body) else (PLAIN, body)

    async def learn(self) -> bool:
        """Learns a dictionary from the newest small bodies, once there are enough and if it pays; True: it did."""
        sql = "SELECT count(*) FILTER (WHERE length(data) <= ?), coalesce(max(packed), 0) FROM bodies"
        ((count, most),) = await self._database.read(sql, [SMALL_BYTES])
        if most == DICTIONARY or count < self._learn_from:
            return False
        sql = f"SELECT {BODIES.all_columns} FROM bodies WHERE length(data) <= ? ORDER BY time_ns DESC LIMIT ?"
        rows = await self._database.read(sql, [SMALL_BYTES, 2 * LEARN_FROM])
        data = await asyncio.to_thread(_learned, rows)
        if not data:
            self._learn_from = 2 * count
            return False
        row = (hashlib.sha256(data).digest(), DICTIONARY, time.time_ns(), data)
        await self._database.write(
            lambda connection: self._database.insert(connection, BODIES, [row], "INSERT OR IGNORE")
        )
        self._looked = False
        return True

    async def _unpack(self, rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        """The values of rows of `bodies`."""
        dictionary = None
        if any(row[1] == WITH_DICTIONARY for row in rows):
            dictionary = _dictionary(await self._database.read(_DICTIONARY_ROW))
        return [_value(_plain(row, dictionary)) for row in rows]

    async def find(self, request_id: str, kind: str, digest: bytes, place: int = 0) -> dict[str, Any] | None:
        """What the `place`-th equal question of a request was answered with `done`; None if it was not."""
        sql = (
            "SELECT b.* FROM brokered e JOIN bodies b ON b.sha256 = e.body_sha256"
            " WHERE e.request_id = ? AND e.kind = ? AND e.args_sha256 = ? AND e.state = 'done'"
            " ORDER BY e.place LIMIT 1 OFFSET ?"
        )
        rows = await self._database.read(sql, [request_id, kind, digest, place])
        return (await self._unpack(rows))[0] if rows else None

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
            rows = await self._database.read(sql, part)
            values = await self._unpack([row[6:] for row in rows])
            for (request_id, kind, digest, state, call_id, time_ns, *_body), data in zip(rows, values, strict=True):
                row = {"kind": kind, "args_sha256": digest, "state": state, "call_id": call_id, "time_ns": time_ns}
                found[request_id].append({**row, "data": data})
        return found

    async def prune(self, keep: int = KEEP_EFFECTS) -> int:
        """Removes the oldest effects beyond `keep`, and bodies that none has any more, in slices; returns how many."""
        return await self._database.slices(lambda connection: _prune(connection, keep), _PRUNE_ROWS)


def _prune(connection: sqlite3.Connection, keep: int) -> int:
    (top,) = connection.execute("SELECT coalesce(max(number), 0) FROM brokered").fetchone()
    sql = "DELETE FROM brokered WHERE number IN (SELECT number FROM brokered WHERE number <= ? ORDER BY number LIMIT ?)"
    removed = connection.execute(sql, (top - keep, _PRUNE_ROWS)).rowcount
    if 0 < removed < _PRUNE_ROWS:
        used = "SELECT body_sha256 FROM brokered UNION SELECT args_sha256 FROM brokered"
        connection.execute(f"DELETE FROM bodies WHERE sha256 NOT IN ({used}) AND packed != {DICTIONARY}")
    return removed


def _dictionary(rows: Sequence[Sequence[Any]]) -> _native.Dictionary | None:
    return _native.Dictionary(rows[0][3]) if rows and BODIES.intact(rows[0]) else None


def _learned(rows: Sequence[Sequence[Any]]) -> bytes:
    """A dictionary from three quarters of the bodies, if it makes the last quarter smaller; else nothing. Blocking."""
    samples = [_plain(row, None) for row in rows if row[1] in (PLAIN, ZSTD) and BODIES.intact(row)]
    unknown, known = samples[: len(samples) // 4], samples[len(samples) // 4 :]
    try:
        data = _native.train_dictionary(known)
    except ValueError:
        return b""  # they are too few, or have nothing in common
    dictionary = _native.Dictionary(data)
    after = sum(len(dictionary.compress(body)) for body in unknown)
    return data if after <= _WORTH * sum(map(len, unknown)) else b""


def _plain(row: Sequence[Any], dictionary: _native.Dictionary | None) -> bytes:
    if not BODIES.intact(row):
        raise CorruptError("the recorded answer of an effect is damaged")
    _sha256, packed, _time_ns, data, _sum = row
    if packed == ZSTD:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=BODY_LIMIT_BYTES)
    if packed != WITH_DICTIONARY:
        return bytes(data)
    if dictionary is None:
        raise CorruptError("the dictionary of the recorded effects is damaged", hint="run: o-tui doctor")
    try:
        return dictionary.decompress(data, BODY_LIMIT_BYTES)
    except ValueError as error:
        raise CorruptError(f"the recorded answer of an effect is damaged: {error}") from error


def _value(data: bytes) -> dict[str, Any]:
    value: dict[str, Any] = _decode(data)
    return value


def _ignore(_result: Any) -> None:
    """Nobody waits for a record; a disk that takes nothing is told by `Database.on_state`."""
