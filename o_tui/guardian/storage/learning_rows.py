"""What is learned, as rows: feedback, holds, policies, how candidates ended, intents, and what the operators know."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import FEEDBACK, HOLDS, INTENTS, OUTCOMES, POLICIES, PORTFOLIOS, Table
from o_tui.protocol.errors import CorruptError

OUTCOMES_READ = 500
"""The newest outcomes that a choice is made from."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class LearningRows:
    """Appends and reads; nothing is changed but the operators' state."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def feedback(self, **values: Any) -> dict[str, Any]:
        """What an operator says of an answer: request_id, verdict (good, bad), text, who, revision."""
        return await self._append(FEEDBACK, values)

    async def hold(self, **values: Any) -> dict[str, Any]:
        """A hold or a release: verdict (held, released), who, reason."""
        return await self._append(HOLDS, values)

    async def policy(self, **values: Any) -> dict[str, Any]:
        """A gene's policy: gene, policy, risk, who, uid."""
        return await self._append(POLICIES, values)

    async def outcome(self, **values: Any) -> dict[str, Any]:
        """How a candidate ended: evolution, gene, source, operator, outcome, cost_s."""
        return await self._append(OUTCOMES, values)

    async def intent(self, figures: Mapping[str, Any], **values: Any) -> dict[str, Any]:
        """What was seen: gene, metric, text, evolution, reason."""
        row = await self._append(INTENTS, {**values, "figures": _encode(dict(figures))})
        return {**row, "figures": dict(figures)}

    async def held(self) -> dict[str, Any] | None:
        """The newest hold or release."""
        rows = await self._page(HOLDS, 1)
        return rows[0] if rows else None

    async def policies(self) -> dict[str, dict[str, Any]]:
        """The newest policy of each gene that has one."""
        return {row["gene"]: row for row in reversed(await self._page(POLICIES, 10_000))}

    async def outcomes(self) -> list[dict[str, Any]]:
        """How candidates ended, oldest first; of the same candidate the last word only."""
        last: dict[tuple[str, str, str], dict[str, Any]] = {}
        for row in reversed(await self._page(OUTCOMES, OUTCOMES_READ)):
            key = (row["evolution"], row["source"], row["operator"])
            last.pop(key, None)
            last[key] = row
        return list(last.values())

    async def intents(self, limit: int = 100) -> list[dict[str, Any]]:
        """What was seen, newest first."""
        return [{**row, "figures": _decode(row["figures"])} for row in await self._page(INTENTS, limit)]

    async def feedbacks(self, limit: int = 100) -> list[dict[str, Any]]:
        """What operators said, newest first."""
        return await self._page(FEEDBACK, limit)

    async def portfolio(self, gene: str) -> dict[str, Any] | None:
        """What the operators know of a gene; None where that is nothing, or damaged: they learn it again."""
        sql = f"SELECT {PORTFOLIOS.all_columns} FROM portfolios WHERE gene = ?"
        rows = await self._database.read(sql, [gene])
        if not rows or not PORTFOLIOS.intact(rows[0]):
            return None
        value: dict[str, Any] = _decode(rows[0][2])
        return value

    async def keep_portfolio(self, gene: str, state: Mapping[str, Any]) -> None:
        """Keeps that, in place of what was kept."""
        values = (gene, time.time_ns(), _encode(dict(state)))
        await self._database.write(lambda connection: self._database.replace(connection, PORTFOLIOS, values))

    async def _append(self, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
        """Writes a row with the next number and the time; returns it once it is durable."""

        def job(connection: sqlite3.Connection) -> dict[str, Any]:
            (last,) = connection.execute(f"SELECT coalesce(max(number), 0) FROM {table.name}").fetchone()
            row = {"number": last + 1, "time_ns": time.time_ns(), **values}
            self._database.insert(connection, table, [tuple(row[column] for column in table.columns)])
            return row

        return await self._database.write(job)

    async def _page(self, table: Table, limit: int) -> list[dict[str, Any]]:
        """The newest rows, newest first; raises CorruptError at a damaged one."""
        sql = f"SELECT {table.all_columns} FROM {table.name} ORDER BY number DESC LIMIT ?"
        rows = await self._database.read(sql, [limit])
        for row in rows:
            if not table.intact(row):
                raise CorruptError(f"row {row[0]} of {table.name} is damaged", hint="run: o-tui doctor")
        return [table.as_dict(row) for row in rows]
