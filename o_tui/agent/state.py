"""The agent's state: one SQLite database in memory, one vector index, and where in the log it stands.

The database is always a *deserialised* one: its pages lie in one arena that forks share, and only SQLite's small page
cache is private. So a checkpoint section is that arena, and restoring builds nothing anew (docs/adr/).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from o_tui import _native
from o_tui.protocol import operations
from o_tui.protocol.errors import CorruptError

DIMENSIONS = 256
"""Of the hashed n-grams that stand for a block's text where its operation brings no vector."""
VECTOR_BYTES = 4 * DIMENSIONS
_RESERVE_BYTES = 512 * 1024
FORMAT = 1
"""Of the sections; another one is refused."""

# The index merges its segments less eagerly than by default (4, 16): 70 instead of 150 us an addition to 20,000 blocks,
# for 0.2 ms more a search.
_SCHEMA = """
CREATE TABLE blocks(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
  context TEXT NOT NULL, time_ns INTEGER NOT NULL, importance REAL NOT NULL, accesses INTEGER NOT NULL);
CREATE INDEX blocks_time ON blocks(time_ns);
CREATE INDEX blocks_kind ON blocks(kind, time_ns);
CREATE VIRTUAL TABLE words USING fts5(
  text, context, source, content='blocks', content_rowid='n', tokenize='porter unicode61');
INSERT INTO words(words, rank) VALUES('automerge', 16), ('crisismerge', 64);
CREATE TABLE turns(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL,
  time_ns INTEGER NOT NULL);
CREATE INDEX turns_session ON turns(session, n);
CREATE TABLE state_values(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE tools(
  name TEXT PRIMARY KEY, description TEXT NOT NULL, parameters BLOB NOT NULL, revision TEXT NOT NULL) WITHOUT ROWID;
"""
# what a transaction costs is bookkeeping that memory does not need; an error ends the process, never rolls back
_PRAGMAS = (
    "journal_mode=MEMORY",
    "synchronous=OFF",
    "secure_delete=OFF",
    "locking_mode=EXCLUSIVE",
    "temp_store=MEMORY",
    "cache_size=-2048",
    "trusted_schema=OFF",
)
_BLOCKS = "SELECT n, id, kind, text, source, context, time_ns, importance, accesses FROM blocks ORDER BY id"
_LOGICAL = (
    "SELECT id, session, role, text, time_ns FROM turns ORDER BY n",
    "SELECT key, value FROM state_values ORDER BY key",
    "SELECT name, description, parameters, revision FROM tools ORDER BY name",
)


class Meta(msgspec.Struct, kw_only=True):
    """What is not in a table.

    Attributes:
        seq: The last log entry that is in this state.
        digest: The log chain's digest at `seq`.
        restored: The checkpoint that a `state_restore` entry named, where that entry has been seen.
    """

    format: int = FORMAT
    seq: int = 0
    digest: bytes = operations.GENESIS
    lifecycle: operations.Lifecycle = "initializing"
    revision: str = ""
    version: str = ""
    dimensions: int = DIMENSIONS
    restored: str = ""


_meta_decoder = msgspec.msgpack.Decoder(Meta)
_encoder = msgspec.msgpack.Encoder()


def _template() -> bytes:
    with_schema = sqlite3.connect(":memory:")
    with_schema.executescript(_SCHEMA)
    raw = with_schema.serialize()
    with_schema.close()
    return raw


def _connect(raw: bytes | memoryview) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=64)
    connection.deserialize(raw)
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


class State:
    """One replica. Changed by `reducers` only."""

    __slots__ = ("database", "meta", "vectors")

    def __init__(self, database: sqlite3.Connection, vectors: _native.VectorIndex, meta: Meta) -> None:
        self.database = database
        self.vectors = vectors
        self.meta = meta

    @classmethod
    def empty(cls) -> State:
        """The state before the first entry of the log."""
        return cls(_connect(_template()), _native.VectorIndex(DIMENSIONS), Meta())

    @classmethod
    def from_sections(cls, sections: Mapping[str, bytes | memoryview]) -> State:
        """The state of a checkpoint; nothing is rebuilt.

        Raises:
            CorruptError: A section is missing, of another format, or not what it says.
        """
        try:
            meta = _meta_decoder.decode(sections["meta"])
            if meta.format != FORMAT or meta.dimensions != DIMENSIONS:
                raise CorruptError(f"a state of format {meta.format}, {meta.dimensions} dimensions; expected {FORMAT}")
            database = _connect(sections["memory"])
            vectors = _native.VectorIndex.from_bytes(sections["vectors"])
            (blocks,) = database.execute("SELECT count(*) FROM blocks").fetchone()
        except KeyError as error:
            raise CorruptError(f"a checkpoint without the section {error}") from error
        except (ValueError, msgspec.DecodeError, sqlite3.Error) as error:
            raise CorruptError(f"a checkpoint's state cannot be read: {error}") from error
        if len(vectors) != blocks:
            raise CorruptError(f"a checkpoint with {blocks} memories but {len(vectors)} vectors")
        state = cls(database, vectors, meta)
        state._reserve()
        return state

    def _reserve(self) -> None:
        """Lets both arenas grow now, before they are shared: a fork that has to grow one copies all of it."""
        self.database.execute("CREATE TABLE reserve(data BLOB)")
        self.database.execute("INSERT INTO reserve VALUES(zeroblob(?))", (_RESERVE_BYTES,))
        self.database.execute("DROP TABLE reserve")
        spare = 2**63 - 1
        self.vectors.add(spare, _native.embed("", DIMENSIONS))
        self.vectors.remove(spare)

    @property
    def seq(self) -> int:
        """The last log entry that is in this state."""
        return self.meta.seq

    @property
    def digest(self) -> bytes:
        """The log chain's digest at `seq`."""
        return self.meta.digest

    def sections(self) -> dict[str, bytes]:
        """What a checkpoint holds: `meta` (MessagePack), `memory` (the database), `vectors` (the index)."""
        return {
            "meta": _encoder.encode(self.meta),
            "memory": self.database.serialize(),
            "vectors": self.vectors.to_bytes(),
        }

    def logical_digest(self) -> bytes:
        """SHA-256 of what the state says, whatever its pages look like: equal in every replica at the same entry."""
        digest = hashlib.sha256(_encoder.encode(self.meta))
        for number, *block in self.rows(_BLOCKS):
            digest.update(_encoder.encode(block))
            digest.update(self.vectors.get(number) or b"")
        for query in _LOGICAL:
            digest.update(query.encode())
            for row in self.rows(query):
                digest.update(_encoder.encode(row))
        return digest.digest()

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query."""
        return self.database.execute(query, parameters)

    def value(self, key: str, default: Any = None) -> Any:
        """A value that was stored by a `state_update`."""
        row = self.database.execute("SELECT value FROM state_values WHERE key = ?", (key,)).fetchone()
        return default if row is None else msgspec.msgpack.decode(row[0])

    def tools(self) -> dict[str, str]:
        """The names of the registered tools, with the revision that each came from."""
        return dict(self.database.execute("SELECT name, revision FROM tools"))

    def close(self) -> None:
        """Frees the database."""
        self.database.close()
