"""A run on disk: one SQLite file (0600) from which it can be resumed at any moment.

What is finished is durable before it counts: a caller adds what came, and nothing of it is said before `commit`. The
search's own state is kept from time to time; what came after it is learned again, in the order of the proposals.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from o_tui.protocol.errors import NotFoundError, PeerError, RefusedError

VERSION = 1
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sources (sha256 TEXT PRIMARY KEY, source BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE evaluations (
    number INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, operator TEXT NOT NULL, parents TEXT NOT NULL,
    detail TEXT NOT NULL, score REAL, metrics TEXT NOT NULL, artifacts TEXT NOT NULL, error TEXT NOT NULL,
    refused TEXT NOT NULL, wall_ms REAL NOT NULL, time_ns INTEGER NOT NULL);
CREATE TABLE measured_again (
    id INTEGER PRIMARY KEY, number INTEGER NOT NULL, seed INTEGER NOT NULL, score REAL, metrics TEXT NOT NULL,
    error TEXT NOT NULL, time_ns INTEGER NOT NULL);
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, file TEXT NOT NULL, base_sha256 TEXT NOT NULL,
    verdict TEXT NOT NULL, who TEXT NOT NULL, time_ns INTEGER NOT NULL);
"""


class Row(NamedTuple):
    """One evaluation. `score` is None where there is none."""

    number: int
    sha256: str
    operator: str
    parents: tuple[str, ...]
    detail: str
    score: float | None
    metrics: dict[str, float]
    artifacts: dict[str, str]
    error: str
    refused: tuple[str, ...]
    wall_ms: float


class Store:
    """The file of one run. Methods raise PeerError where the disk takes nothing; what was committed is kept."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    @classmethod
    def create(cls, folder: Path, facts: Mapping[str, Any]) -> Store:
        """A new run."""
        try:
            folder.mkdir(mode=0o700, parents=True)
            os.close(os.open(folder / "run.db", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise PeerError(f"cannot make the run's folder {folder}: {error.strerror}") from error
        store = cls(folder, _connect(folder))
        with _said(folder):
            store._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={VERSION}; COMMIT;")
        store.set(**facts)
        store.commit()
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """A run that is there; one run has one process.

        Raises:
            NotFoundError: There is none.
            RefusedError: It is of another version, or damaged.
        """
        if not (folder / "run.db").is_file():
            raise NotFoundError(f"there is no run in {folder}")
        store = cls(folder, _connect(folder))
        try:
            (version,) = store._connection.execute("PRAGMA user_version").fetchone()
            ok = version == VERSION and store._connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
        except sqlite3.DatabaseError as error:
            raise RefusedError(f"{folder / 'run.db'} is damaged: {error}") from error
        if not ok:
            raise RefusedError(f"{folder / 'run.db'} is damaged, or of another version of O ({version})")
        return store

    def close(self) -> None:
        """Lets go; what was not committed is gone."""
        self._connection.close()

    # --- writing

    def set(self, **facts: Any) -> None:
        """Facts about the run, by name."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        with _said(self.folder):
            self._connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)

    def put(self, source: bytes) -> str:
        """Keeps a source; its SHA-256."""
        sha256 = hashlib.sha256(source).hexdigest()
        with _said(self.folder):
            self._connection.execute("INSERT OR IGNORE INTO sources VALUES (?, ?)", (sha256, source))
        return sha256

    def add(self, row: Row) -> None:
        """A finished evaluation; its source is there already (`put`)."""
        with _said(self.folder):
            self._connection.execute(
                "INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    row.number, row.sha256, row.operator, json.dumps(row.parents), row.detail, row.score,
                    json.dumps(row.metrics), json.dumps(row.artifacts), row.error, json.dumps(row.refused),
                    row.wall_ms, time.time_ns(),
                ),
            )  # fmt: skip

    def add_again(self, number: int, seed: int, score: float | None, metrics: Mapping[str, float], error: str) -> None:
        """A champion, measured once more."""
        with _said(self.folder):
            self._connection.execute(
                "INSERT INTO measured_again VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                (number, seed, score, json.dumps(dict(metrics)), error, time.time_ns()),
            )

    def decide(self, sha256: str, file: str, base_sha256: str, verdict: str, who: str) -> None:
        """What became of a file of the user's: pending, approved, refused."""
        with _said(self.folder):
            self._connection.execute(
                "INSERT INTO decisions VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                (sha256, file, base_sha256, verdict, who, time.time_ns()),
            )

    def commit(self) -> None:
        """Makes everything durable that was added."""
        with _said(self.folder):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.execute("BEGIN IMMEDIATE")

    # --- reading

    def fact(self, name: str, default: Any = None) -> Any:
        """A fact, as it was set."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def source(self, sha256: str) -> bytes:
        """A source. Raises NotFoundError."""
        row = self._connection.execute("SELECT source FROM sources WHERE sha256 = ?", (sha256,)).fetchone()
        if row is None:
            raise NotFoundError(f"the run has no source {sha256[:12]}")
        return bytes(row[0])

    def rows(self) -> Iterator[Row]:
        """All evaluations, in the order of their numbers."""
        for found in self._connection.execute("SELECT * FROM evaluations ORDER BY number"):
            number, sha256, operator, parents, detail, score, metrics, artifacts, error, refused, wall_ms, _ = found
            yield Row(
                number, sha256, operator, tuple(json.loads(parents)), detail, score, json.loads(metrics),
                json.loads(artifacts), error, tuple(json.loads(refused)), wall_ms,
            )  # fmt: skip

    def pending(self) -> dict[str, str] | None:
        """The file of the user's that waits for an approval: file, sha256, base_sha256; None: none does."""
        row = self._connection.execute(
            "SELECT file, sha256, base_sha256, verdict FROM decisions ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None or row[3] != "pending":
            return None
        return {"file": row[0], "sha256": row[1], "base_sha256": row[2]}


class _said:  # noqa: N801 - a context manager that reads as a word
    """What SQLite says of the disk, as one line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise PeerError(
                f"the run's file takes nothing: {error}; all evaluations that were reported are kept",
                hint=f"make room, then o-tui evolve --resume {self._folder.name}",
            ) from error


def _connect(folder: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(folder / "run.db", isolation_level=None, timeout=0.5)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise RefusedError(f"another process is at the run {folder.name}") from error
        raise PeerError(f"the run {folder.name} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise RefusedError(f"{folder / 'run.db'} is damaged: {error}") from error
    return connection
