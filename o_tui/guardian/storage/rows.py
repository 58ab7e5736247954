"""The tables of the database as data: how a row is summed, inserted in bulk, read and checked."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_CHUNKS = (256, 100, 32, 8, 1)


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its columns in order (without `sum`), the first one being its key."""

    name: str
    columns: tuple[str, ...]
    checked: bool = True

    def pack(self, values: Sequence[Any]) -> bytes:
        """What the sum is made from, and what the row mirror holds."""
        return _encode(values)

    def seal(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values with their sum behind them."""
        return (*values, zlib.crc32(_encode(values))) if self.checked else tuple(values)

    def intact(self, row: Sequence[Any]) -> bool:
        """Whether a row (all columns, and the sum) still is what was written."""
        return not self.checked or zlib.crc32(_encode(row[:-1])) == row[-1]

    @property
    def all_columns(self) -> str:
        """The columns and the sum, for a SELECT."""
        return ", ".join((*self.columns, "sum") if self.checked else self.columns)

    def put(self, connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        """Writes one row, in place of the one with the same key."""
        insert_many(connection, self, [values], verb="INSERT OR REPLACE")

    def as_dict(self, row: Sequence[Any]) -> dict[str, Any]:
        """A row as `column -> value`, without the sum."""
        return dict(zip(self.columns, row, strict=False))


WAL = Table("wal", ("seq", "time_ns", "epoch", "request_id", "position", "operation", "data", "digest"), False)
WAL_BASE = Table("wal_base", ("id", "seq", "digest"))
CHECKPOINTS = Table(
    "checkpoints",
    (
        "id",
        "seq",
        "time_ns",
        "reason",
        "revision",
        "kind",
        "size_bytes",
        "uncompressed_bytes",
        "digest",
        "chain_digest",
        "base",
        "origin",
        "pinned",
        "deleted_ns",
        "proven_ns",
        "parts",
    ),
)
REQUESTS = Table("requests", ("number", "request_id", "session", "kind", "text", "time_ns", "attempts", "after_seq"))
ANSWERS = Table("answers", ("number", "state", "answer", "error", "elapsed_ms", "recovered", "time_ns"))
EVENTS = Table("events", ("id", "time_ns", "source", "kind", "level", "text", "data"))
EVOLUTIONS = Table("evolutions", ("number", "id", "gene", "state", "time_ns", "data"))
CANDIDATES = Table("candidates", ("number", "evolution", "revision", "time_ns", "data"))
SAMPLES = Table("samples", ("number", "evolution", "time_ns", "data"))
DECISIONS = Table("decisions", ("number", "evolution", "verdict", "time_ns", "data"))
ATTACKS = Table("attacks", ("number", "time_ns", "gene", "signature", "data"))
VIOLATIONS = Table("violations", ("number", "time_ns", "instance", "role", "revision", "evolution", "layer", "what"))
APPROVALS = Table(
    "approvals",
    (
        "number",
        "time_ns",
        "who",
        "uid",
        "how",
        "place",
        "verdict",
        "evolution",
        "base",
        "revision",
        "diff_sha256",
        "evidence_sha256",
        "reason",
        "digest",
    ),
    False,
)
BROKERED = Table(
    "brokered",
    ("number", "request_id", "call_id", "kind", "args_sha256", "place", "state", "body_sha256", "time_ns"),
)
BODIES = Table("bodies", ("sha256", "packed", "time_ns", "data"))
FEEDBACK = Table("feedback", ("number", "time_ns", "request_id", "verdict", "text", "who", "revision"))
HOLDS = Table("holds", ("number", "time_ns", "verdict", "who", "reason"))
POLICIES = Table("policies", ("number", "time_ns", "gene", "policy", "risk", "who", "uid"))
OUTCOMES = Table("outcomes", ("number", "time_ns", "evolution", "gene", "source", "operator", "outcome", "cost_s"))
INTENTS = Table("intents", ("number", "time_ns", "gene", "metric", "text", "figures", "evolution", "reason"))
PORTFOLIOS = Table("portfolios", ("gene", "time_ns", "data"))
DETECTORS = Table("detectors", ("name", "time_ns", "revision", "data"))
PARTS = Table("checkpoint_parts", ("checkpoint_id", "part", "data"), False)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        WAL_BASE,
        WAL,
        CHECKPOINTS,
        REQUESTS,
        ANSWERS,
        EVENTS,
        EVOLUTIONS,
        CANDIDATES,
        SAMPLES,
        DECISIONS,
        VIOLATIONS,
        ATTACKS,
        APPROVALS,
        BROKERED,
        BODIES,
        FEEDBACK,
        HOLDS,
        POLICIES,
        OUTCOMES,
        INTENTS,
        PORTFOLIOS,
        DETECTORS,
        PARTS,
    )
}
"""In the order in which a database is filled again."""


@cache
def _insert_sql(table: Table, count: int, verb: str) -> str:
    width = len(table.columns) + table.checked
    one = "(" + ",".join("?" * width) + ")"
    return f"{verb} INTO {table.name} ({table.all_columns}) VALUES {','.join([one] * count)}"


def insert_flat(
    connection: sqlite3.Connection, table: Table, parameters: list[Any], count: int, verb: str = "INSERT"
) -> int:
    """Inserts `count` rows whose values (sums included) stand one after the other; returns how many went in.

    Many rows go into one statement: each step of SQLite gives the GIL away, and under a busy loop every way back
    to it can cost a whole switch interval.
    """
    width = len(table.columns) + table.checked
    done = 0
    inserted = 0
    for size in _CHUNKS:
        while count - done >= size:
            sql = _insert_sql(table, size, verb)
            inserted += connection.execute(sql, parameters[done * width : (done + size) * width]).rowcount
            done += size
    return inserted


def insert_many(
    connection: sqlite3.Connection, table: Table, rows: Sequence[Sequence[Any]], verb: str = "INSERT"
) -> int:
    """Seals and inserts rows; returns how many went in."""
    flat: list[Any] = []
    for values in rows:
        flat.extend(table.seal(values))
    return insert_flat(connection, table, flat, len(rows), verb)


def damaged_rows(connection: sqlite3.Connection, table: Table) -> Iterator[Any]:
    """The keys of the rows whose sum does not agree."""
    for row in connection.execute(f"SELECT {table.all_columns} FROM {table.name}"):
        if not table.intact(row):
            yield row[0]
