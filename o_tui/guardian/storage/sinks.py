"""What the writer thread writes: sinks of like items, and single jobs; and whose fault an error is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from o_tui.protocol.errors import RefusedError

Done = Callable[[Any], None]
Job = Callable[[sqlite3.Connection], Any]
_FULL, _IOERR, _READONLY, _CANTOPEN, _BUSY, _LOCKED = 13, 10, 8, 14, 5, 6
_DISK = frozenset({_FULL, _IOERR, _READONLY, _CANTOPEN, _BUSY, _LOCKED})


class FencedError(RefusedError):
    """Another guardian has opened the workspace since: this one may not write any more."""


class Sink(Protocol):
    """Something that writes many like items cheaply. All of it runs in the writer thread, except `acknowledged`."""

    def write(self, connection: sqlite3.Connection, items: Sequence[Any]) -> list[Any]:
        """Writes the items of one batch; one result for each. May raise sqlite3.Error: then nothing is kept."""

    def committed(self) -> None:
        """The transaction is durable: adopt what `write` prepared, mirror it."""

    def rolled_back(self) -> None:
        """The transaction is not: forget what `write` prepared."""

    def acknowledged(self, results: list[Any]) -> None:
        """On the loop, before the callbacks of the items."""


class Hooks(Protocol):
    """What the database does around a transaction, in the writer thread."""

    def begun(self, connection: sqlite3.Connection) -> None:
        """Inside the transaction, first: fencing."""

    def committed(self) -> None:
        """After the commit and the sinks, before the acknowledgement: the head. May raise OSError."""

    def rolled_back(self) -> None:
        """The transaction was taken back."""

    def savepoint(self) -> int:
        """A savepoint begins: where the memory of the transaction stands."""

    def back_to(self, mark: int) -> None:
        """Back to a savepoint."""

    def idle(self) -> None:
        """Nothing waits: sync lazily. May raise OSError."""

    def probe(self, connection: sqlite3.Connection) -> None:
        """Write something, to see whether the disk takes it again."""

    def who_locks(self) -> str:
        """Who holds the database's lock, for an error."""


class Jobs:
    """The sink of single jobs: each in a savepoint of its own, so that one that fails is alone."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    def write(self, connection: sqlite3.Connection, items: Sequence[Any]) -> list[Any]:
        """Runs them."""
        return [run_alone(connection, job, self._hooks) for job in items]

    def committed(self) -> None:
        """Nothing to adopt."""

    def rolled_back(self) -> None:
        """Nothing to forget."""

    def acknowledged(self, results: list[Any]) -> None:
        """Nothing to do before the callbacks."""


def run_alone(connection: sqlite3.Connection, job: Job, hooks: Hooks) -> Any:
    """Runs a job in a savepoint; an error that is not the disk's is its result."""
    mark = hooks.savepoint()
    connection.execute("SAVEPOINT job")
    try:
        result = job(connection)
    except Exception as error:
        if is_disk_error(error):
            raise
        connection.execute("ROLLBACK TO job")
        hooks.back_to(mark)
        connection.execute("RELEASE job")
        return error
    connection.execute("RELEASE job")
    return result


def is_disk_error(error: BaseException) -> bool:
    """Whether the disk (full, read-only, failing, locked) is to blame, not what was written."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK
    return isinstance(error, OSError)


def is_lock_error(error: BaseException) -> bool:
    """Whether somebody else's lock is to blame."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in (_BUSY, _LOCKED)
