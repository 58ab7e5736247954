"""The journal of requests: accepted durably before anything is sent to an instance, ended durably before an answer."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import ANSWERS, REQUESTS
from o_tui.guardian.storage.wal import Wal
from o_tui.protocol.errors import NotFoundError, OError, RefusedError

Outcome = Literal["done", "failed", "quarantined"]
KEEP_REQUESTS = 100_000
_PAGE = (
    "SELECT r.number, r.request_id, r.session, r.kind, r.text, r.time_ns, r.attempts, r.after_seq,"
    " a.state, a.answer, a.error, a.elapsed_ms, a.recovered FROM requests r LEFT JOIN answers a USING (number)"
)


@dataclass(slots=True)
class Request:
    """A request that is not ended.

    Attributes:
        committed: How many operations of it are durable; only filled in by `unfinished`.
        after_seq: The log's end at its acceptance, filled in by `accept`: its operations are behind that.
    """

    request_id: str
    text: str
    kind: str = "chat"
    session: str = "main"
    time_ns: int = field(default_factory=time.time_ns)
    number: int = 0
    attempts: int = 1
    after_seq: int = 0
    committed: int = 0
    running: bool = False

    def row(self) -> tuple[Any, ...]:
        """As it stands in the table."""
        words = (self.number, self.request_id, self.session, self.kind, self.text)
        return (*words, self.time_ns, self.attempts, self.after_seq)


class Journal:
    """Requests on a database. Create it after `Database.start`; `load` reads what a dead guardian left."""

    def __init__(self, database: Database, wal: Wal) -> None:
        self._database = database
        self._wal = wal
        self._accepts = _Accepts(database)
        self._answers = _Answers(database)
        self._open: dict[str, Request] = {}
        wal.floor = self._floor

    async def load(self) -> list[Request]:
        """Reads the unfinished requests; called once, at the start. Returns them, oldest first."""
        rows = await self._database.read(_PAGE + " WHERE a.number IS NULL ORDER BY r.number")
        for row in rows:
            request = Request(row[1], row[4], row[3], row[2], row[5], row[0], row[6], row[7])
            self._open[request.request_id] = request
        return await self.unfinished()

    def _floor(self) -> int:
        return min((request.after_seq for request in self._open.values()), default=self._wal.seq)

    def accept(self, request: Request, done: Callable[[OError | None], None]) -> None:
        """Makes a request durable. `done` gets None, or an error (RefusedError: that id is known already)."""

        request.after_seq = self._wal.seq

        def accepted(result: Any) -> None:
            if not isinstance(result, BaseException):
                self._open[request.request_id] = request
            done(result)

        self._database.put(self._accepts, request, accepted, 1, len(request.text) + 128)

    def finish(
        self,
        request_id: str,
        state: Outcome,
        text: str,
        error: str,
        elapsed_ms: float,
        recovered: bool,
        done: Callable[[OError | None], None],
    ) -> None:
        """Ends an accepted request durably. `done` gets None, or an error; a second end is refused."""
        request = self._open.get(request_id)
        if request is None:
            done(NotFoundError(f"request {request_id} is not open"))
            return
        del self._open[request_id]

        def ended(result: Any) -> None:
            if isinstance(result, BaseException):
                self._open[request_id] = request
            done(result)

        row = (request.number, state, text, error, float(elapsed_ms), int(recovered), time.time_ns())
        self._database.put(self._answers, row, ended, 1, len(text) + len(error) + 128)

    def mark_running(self, request_id: str) -> None:
        """The request was sent to an instance (kept in memory only: after a crash it is sent again anyway)."""
        if request_id in self._open:
            self._open[request_id].running = True

    async def unfinished(self) -> list[Request]:
        """The open requests, oldest first, with the number of their operations that are durable."""
        counts = await self._wal.counts(list(self._open), self._floor())
        for request_id, count in counts.items():
            if request_id in self._open:
                self._open[request_id].committed = count
        return sorted(self._open.values(), key=lambda request: request.number)

    async def page(self, before: str = "", limit: int = 100, size_bytes: int = sys.maxsize) -> list[dict[str, Any]]:
        """Request rows, newest first, older than the request `before` (empty: from the newest).

        At most `limit`, and at most `size_bytes` of texts and answers, but one in any case.
        """
        where, params = "", []
        if before:
            where = " WHERE r.number < (SELECT number FROM requests WHERE request_id = ?)"
            params = [before]
        sql = f"{_PAGE}{where} ORDER BY r.number DESC LIMIT ?"
        rows = await self._database.call_reader(
            lambda connection: _page(connection.execute(sql, [*params, limit]), size_bytes)
        )
        return [self._public(row) for row in rows]

    async def get(self, request_id: str) -> dict[str, Any]:
        """One request row; raises NotFoundError."""
        rows = await self._database.read(_PAGE + " WHERE r.request_id = ?", [request_id])
        if not rows:
            raise NotFoundError(f"there is no request {request_id}")
        return self._public(rows[0])

    def _public(self, row: Sequence[Any]) -> dict[str, Any]:
        number, request_id, session, kind, text, time_ns, attempts, _after_seq = row[:8]
        state, answer, error, elapsed_ms, recovered = row[8:]
        request = self._open.get(request_id)
        running = request is not None and request.running
        return {
            "number": number,
            "request_id": request_id,
            "text": text,
            "answer": answer or "",
            "state": state or ("running" if running else "accepted"),
            "error": error or "",
            "session": session,
            "kind": kind,
            "time_ns": time_ns,
            "elapsed_ms": elapsed_ms or 0.0,
            "recovered": bool(recovered),
            "attempts": attempts,
        }

    async def prune(self, keep: int = KEEP_REQUESTS) -> int:
        """Removes the oldest ended requests beyond `keep`, in slices; returns how many."""
        return await self._database.slices(lambda connection: _prune(connection, keep), _PRUNE_ROWS)


def _page(found: Iterable[tuple[Any, ...]], size_bytes: int) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in found:
        size += len(row[4]) + len(row[9] or "")
        if rows and size > size_bytes:
            break
        rows.append(row)
    return rows


_PRUNE_ROWS = 1_000


def _prune(connection: sqlite3.Connection, keep: int) -> int:
    (top,) = connection.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()
    numbers = connection.execute(
        "SELECT number FROM answers WHERE number <= ? ORDER BY number LIMIT ?", (top - keep, _PRUNE_ROWS)
    ).fetchall()
    connection.executemany("DELETE FROM requests WHERE number = ?", numbers)
    connection.executemany("DELETE FROM answers WHERE number = ?", numbers)
    return len(numbers)


class _Accepts:
    """Inserts accepted requests, numbered."""

    def __init__(self, database: Database) -> None:
        self.last = database.opened.tops["requests"]
        self._next = 0
        self._database = database

    def write(self, connection: sqlite3.Connection, items: Sequence[Request]) -> list[Any]:
        number = max(self.last, self._next)
        for request in items:
            number += 1
            request.number = number
        rows = [request.row() for request in items]
        inserted = self._database.insert(connection, REQUESTS, rows, "INSERT OR IGNORE")
        if inserted != len(rows):
            if len(rows) == 1:
                raise RefusedError(f"request {items[0].request_id} is known already")
            raise sqlite3.IntegrityError("a request is known already")  # the batch is taken again one by one
        self._next = number
        return [None] * len(items)

    def committed(self) -> None:
        self.last = self._next

    def rolled_back(self) -> None:
        self._next = self.last

    def acknowledged(self, results: list[Any]) -> None: ...


class _Answers:
    """Inserts how requests ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, connection: sqlite3.Connection, items: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._database.insert(connection, ANSWERS, items)
        return [None] * len(items)

    def committed(self) -> None: ...

    def rolled_back(self) -> None: ...

    def acknowledged(self, results: list[Any]) -> None: ...
