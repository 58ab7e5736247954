"""Deltas and their bases: which checkpoint a new one is written over, and which ones others stand on.

A base is always a full checkpoint, so a delta never needs more than one other file. Each delta holds all that changed
since its base; after so many of them the next checkpoint is a full one again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import CHECKPOINTS
from o_tui.protocol.errors import CorruptError

DELTAS = 16
"""Deltas over one base."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Rows that are removed, and rows that stay as bases but are not listed any more."""

    removed: list[dict[str, Any]]
    hidden: list[dict[str, Any]]


async def choose(database: Database) -> dict[str, Any] | None:
    """The row of the checkpoint that the next one may be a delta of; None: a full one is due."""
    sql = (
        f"SELECT {CHECKPOINTS.all_columns} FROM checkpoints"
        " WHERE kind = 'full' AND origin = 'own' AND deleted_ns = 0 ORDER BY seq DESC, time_ns DESC LIMIT 1"
    )
    rows = await database.read(sql)
    if not rows or not CHECKPOINTS.intact(rows[0]):
        return None
    base = CHECKPOINTS.as_dict(rows[0])
    ((deltas,),) = await database.read("SELECT count(*) FROM checkpoints WHERE base = ?", [base["digest"].hex()])
    return None if deltas >= DELTAS else base


async def row_of(database: Database, row: dict[str, Any]) -> dict[str, Any] | None:
    """The row of a delta's base; None for a full checkpoint.

    Raises:
        CorruptError: There is no such base.
    """
    if row["kind"] != "delta":
        return None
    sql = f"SELECT {CHECKPOINTS.all_columns} FROM checkpoints WHERE kind = 'full' AND digest = ?"
    for found in await database.read(sql, [bytes.fromhex(row["base"])]):
        if CHECKPOINTS.intact(found):
            return CHECKPOINTS.as_dict(found)
    raise CorruptError(f"checkpoint {row['id']} is a delta, and its base is gone", hint="choose another checkpoint")


def require(connection: sqlite3.Connection, base_digest: bytes) -> None:
    """Inside the transaction that takes a delta in: its base is there. Raises CorruptError."""
    sql = "SELECT 1 FROM checkpoints WHERE digest = ? AND kind = 'full'"
    if not connection.execute(sql, (base_digest,)).fetchone():
        raise CorruptError("the base of a checkpoint has gone while it was written")


def retained(rows: Iterable[dict[str, Any]], keep: int, protected: frozenset[str], old_ns: int) -> Retention:
    """What may go, of rows that come newest first.

    Own unpinned checkpoints beyond the newest `keep` and those that were deleted before `old_ns` go, unless `protected`
    names them or a delta that stays needs them: then they are only hidden.
    """
    kept, goes, stays = 0, [], set()
    for row in rows:
        if row["deleted_ns"]:
            gone = row["deleted_ns"] < old_ns
        else:
            plain = row["origin"] == "own" and not row["pinned"]
            kept += plain
            gone = plain and kept > keep and row["id"] not in protected
        if gone:
            goes.append(row)
        elif row["base"]:
            stays.add(row["base"])
    needed = [row for row in goes if row["digest"].hex() in stays]
    return Retention(
        removed=[row for row in goes if row not in needed],
        hidden=[row for row in needed if not row["deleted_ns"]],
    )


def missing(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The ids of the deltas whose base is not among the rows."""
    rows = list(rows)
    bases = {row["digest"].hex() for row in rows if row["kind"] == "full"}
    return [row["id"] for row in rows if row["kind"] == "delta" and row["base"] not in bases]
