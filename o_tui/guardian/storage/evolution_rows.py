"""The history of change: evolutions with their evidence, candidates, samples and decisions."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import CANDIDATES, DECISIONS, EVOLUTIONS, SAMPLES, Table
from o_tui.protocol.errors import CorruptError, NotFoundError

Rows: TypeAlias = list[dict[str, Any]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_COLUMNS = EVOLUTIONS.all_columns


class EvolutionRows:
    """Rows of the public API's shape (`id`, `gene`, `state`, `time_ns`, and whatever else), as plain data."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, row: Mapping[str, Any]) -> None:
        """Writes a whole row, new or in place of the one with its `id`; returns once it is durable."""
        await self._database.write(lambda connection: self._put(connection, dict(row)))

    async def add(self, row: Mapping[str, Any]) -> None:
        """A new evolution; see `save`."""
        await self.save(row)

    async def update(self, evolution: str, fields: Mapping[str, Any]) -> None:
        """Some keys of a row change; returns once that is durable. Raises NotFoundError."""

        def job(connection: sqlite3.Connection) -> None:
            found = connection.execute(f"SELECT {_COLUMNS} FROM evolutions WHERE id = ?", (evolution,)).fetchone()
            if found is None:
                raise NotFoundError(f"there is no evolution {evolution}")
            self._put(connection, {**_public(found), **fields})

        await self._database.write(job)

    def _put(self, connection: sqlite3.Connection, row: dict[str, Any]) -> None:
        found = connection.execute("SELECT number FROM evolutions WHERE id = ?", (row["id"],)).fetchone()
        number = found[0] if found else _next_number(connection, EVOLUTIONS)
        time_ns = int(row.setdefault("time_ns", time.time_ns()))
        values = (number, row["id"], row["gene"], row["state"], time_ns, _encode(row))
        self._database.replace(connection, EVOLUTIONS, values)

    async def get(self, evolution: str) -> dict[str, Any] | None:
        """One row by its id or the unambiguous start of it; None if there is none."""
        where = "id = ? OR substr(id, 1, length(?)) = ? ORDER BY id = ? DESC"
        sql = f"SELECT {_COLUMNS} FROM evolutions WHERE {where} LIMIT 2"
        rows = await self._database.read(sql, [evolution] * 4) if evolution else []
        if len(rows) == 2 and rows[0][1] != evolution:
            return None
        return _public(rows[0]) if rows else None

    async def list(self, limit: int = 50) -> Rows:
        """The newest rows, newest first."""
        return await self.page(limit)

    async def page(self, limit: int, states: Sequence[str] = ()) -> Rows:
        """The newest rows, newest first; only those in `states`, where given."""
        where = f"WHERE state IN ({','.join('?' * len(states))})" if states else ""
        sql = f"SELECT {_COLUMNS} FROM evolutions {where} ORDER BY number DESC LIMIT ?"
        rows = await self._database.read(sql, [*states, limit])
        return await asyncio.to_thread(lambda: [_public(row) for row in rows])  # thousands take longer than a tick

    async def pending(self) -> Rows:
        """The rows that wait for an operator, newest first."""
        return await self.page(1_000, ["pending"])

    # --- candidates, samples, decisions

    async def add_candidate(self, evolution: str, revision: str, data: Mapping[str, Any]) -> None:
        """A concrete new version that an evolution made."""
        await self._append(CANDIDATES, (evolution, revision, time.time_ns(), _encode(data)))

    async def add_samples(self, evolution: str, samples: Sequence[Mapping[str, Any]]) -> None:
        """Measured pairs, in one row."""
        await self._append(SAMPLES, (evolution, time.time_ns(), _encode(samples)))

    async def add_decision(self, evolution: str, verdict: str, data: Mapping[str, Any]) -> None:
        """What was decided, and from which numbers."""
        await self._append(DECISIONS, (evolution, verdict, time.time_ns(), _encode(data)))

    async def candidates(self, evolution: str) -> Rows:
        """{revision, time_ns, data} of an evolution, oldest first."""
        return await self._of(CANDIDATES, evolution)

    async def samples(self, evolution: str) -> Rows:
        """{time_ns, data} of an evolution, oldest first."""
        return await self._of(SAMPLES, evolution)

    async def decisions(self, evolution: str) -> Rows:
        """{verdict, time_ns, data} of an evolution, oldest first."""
        return await self._of(DECISIONS, evolution)

    async def _append(self, table: Table, values: tuple[Any, ...]) -> None:
        await self._database.write(lambda c: self._database.insert(c, table, [(_next_number(c, table), *values)]))

    async def _of(self, table: Table, evolution: str) -> Rows:
        sql = f"SELECT {table.all_columns} FROM {table.name} WHERE evolution = ? ORDER BY number"
        found = []
        for row in await self._database.read(sql, [evolution]):
            public = table.as_dict(row)
            found.append({**public, "data": _decode(public["data"])})
        return found


def _next_number(connection: sqlite3.Connection, table: Table) -> int:
    (last,) = connection.execute(f"SELECT coalesce(max(number), 0) FROM {table.name}").fetchone()
    return int(last) + 1


def _public(row: Sequence[Any]) -> dict[str, Any]:
    if not EVOLUTIONS.intact(row):
        raise CorruptError(f"the row of evolution {row[1]} is damaged", hint="run: o-tui doctor")
    value: dict[str, Any] = _decode(row[5])
    return value
