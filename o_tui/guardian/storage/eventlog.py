"""The event log: what the views show, bounded."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import EVENTS

Level = Literal["debug", "info", "warning", "error"]
KEEP_EVENTS = 100_000
_PRUNE_ROWS = 2_000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class EventLog:
    """Events on a database."""

    def __init__(self, database: Database, *, keep: int = KEEP_EVENTS) -> None:
        self._database = database
        self._keep = keep
        self._last = database.opened.tops["events"]
        self._sink = _Events(database)

    def add(
        self, source: str, kind: str, level: Level, text: str, data: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Adds an event and returns its row at once; it becomes durable with the next commit.

        If the disk takes nothing the row is lost: the state of the disk itself is told by `Database.on_state`.
        """
        self._last += 1
        row = {"id": self._last, "time_ns": time.time_ns(), "source": source, "kind": kind, "level": level}
        row |= {"text": text, "data": data or {}}
        packed = _encode(row["data"])
        values = (row["id"], row["time_ns"], source, kind, level, text, packed)
        self._database.put(self._sink, values, _ignore, 1, len(text) + len(packed) + 64)
        return row

    async def page(
        self, before: int = 0, limit: int = 200, *, level: str = "", source: str = "", kind: str = "", text: str = ""
    ) -> list[dict[str, Any]]:
        """Event rows, newest first, with ids below `before` (0: from the newest), of a level, source or kind."""
        where, params = ["1"], []
        if before:
            where.append("id < ?")
            params.append(before)
        for column, value in (("level", level), ("source", source), ("kind", kind)):
            if value:
                where.append(f"{column} = ?")
                params.append(value)  # type: ignore[arg-type]
        if text:
            where.append("instr(lower(text), lower(?))")
            params.append(text)  # type: ignore[arg-type]
        sql = f"SELECT * FROM events WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        return [_public(row) for row in await self._database.read(sql, [*params, limit])]

    async def prune(self) -> int:
        """Removes the oldest events beyond the limit, in slices; returns how many."""
        return await self._database.slices(lambda connection: _prune(connection, self._keep), _PRUNE_ROWS)


def _prune(connection: sqlite3.Connection, keep: int) -> int:
    (top,) = connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
    sql = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id <= ? ORDER BY id LIMIT ?)"
    return connection.execute(sql, (top - keep, _PRUNE_ROWS)).rowcount


def _public(row: Sequence[Any]) -> dict[str, Any]:
    public = EVENTS.as_dict(row)
    public["data"] = _decode(public["data"])
    return public


def _ignore(_result: Any) -> None:
    """Nobody waits for an event."""


class _Events:
    """Inserts events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, connection: sqlite3.Connection, items: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._database.insert(connection, EVENTS, items)
        return [None] * len(items)

    def committed(self) -> None: ...

    def rolled_back(self) -> None: ...

    def acknowledged(self, results: list[Any]) -> None: ...
