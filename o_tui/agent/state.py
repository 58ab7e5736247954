"""The agent's state: one SQLite database in memory, the indexes over its blocks, and where in the log it stands.

The database is always a *deserialised* one: its pages lie in one arena that forks share, and only SQLite's small page
cache is private. So a checkpoint section is that arena, and restoring builds nothing anew (docs/adr/).

Its rows are the truth. The index of words is a section too, but one that may be missing, older or wrong: then it is
made from the rows.
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

_RESERVE_BYTES = 512 * 1024
_RESERVE_VECTORS = 256
FORMAT = 2
"""Of the sections. Format 1, with a full-text index in the database and hashed vectors, is brought up to this one."""

_SCHEMA = """
CREATE TABLE blocks(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
  context TEXT NOT NULL, time_ns INTEGER NOT NULL, importance REAL NOT NULL, accesses INTEGER NOT NULL,
  thread TEXT NOT NULL DEFAULT '');
CREATE INDEX blocks_time ON blocks(time_ns);
CREATE INDEX blocks_kind ON blocks(kind, time_ns);
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
    "cache_size=-256",
    "trusted_schema=OFF",
)
_BLOCKS = "SELECT n, id, kind, text, source, context, time_ns, importance, accesses, thread FROM blocks ORDER BY id"
_INDEXED = "SELECT n, text, context, source, thread FROM blocks ORDER BY n"
_FROM_FORMAT_1 = "DROP TABLE words; ALTER TABLE blocks ADD COLUMN thread TEXT NOT NULL DEFAULT ''; VACUUM"
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
        dimensions: Of the vectors that blocks have; 0 while none has one.
        embedder: The model that made them; "": a state from before names were kept.
        restored: The checkpoint that a `state_restore` entry named, where that entry has been seen.
    """

    format: int = FORMAT
    seq: int = 0
    digest: bytes = operations.GENESIS
    lifecycle: operations.Lifecycle = "initializing"
    revision: str = ""
    version: str = ""
    dimensions: int = 0
    embedder: str = ""
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


def _words(database: sqlite3.Connection, saved: bytes | memoryview, seq: int) -> _native.MemoryIndex:
    """The index of words: as it was saved, if that is of entry `seq` and of the same rows; else made from the rows."""
    (count, numbers) = database.execute("SELECT count(*), coalesce(sum(n), 0) FROM blocks").fetchone()
    try:
        words = _native.MemoryIndex.from_bytes(saved)
    except ValueError:
        pass  # none, damaged, or of another version
    else:
        if (words.stamp, len(words), words.numbers) == (seq, count, numbers):
            return words
    words = _native.MemoryIndex()
    for number, text, context, source, thread in database.execute(_INDEXED):
        words.add(number, text, context, source, thread)
    return words


class State:
    """One replica. Changed by `reducers` only.

    Attributes:
        words: The words of all blocks, by their `n`.
        vectors: The embeddings of the blocks that have one; None while none has.
    """

    __slots__ = ("database", "meta", "vectors", "words")

    def __init__(
        self,
        database: sqlite3.Connection,
        words: _native.MemoryIndex,
        vectors: _native.VectorIndex | None,
        meta: Meta,
    ) -> None:
        self.database = database
        self.words = words
        self.vectors = vectors
        self.meta = meta

    @classmethod
    def empty(cls) -> State:
        """The state before the first entry of the log."""
        return cls(_connect(_template()), _native.MemoryIndex(), None, Meta())

    @classmethod
    def from_sections(cls, sections: Mapping[str, bytes | memoryview]) -> State:
        """The state of a checkpoint; nothing is rebuilt but an index of words that does not fit the rows.

        Raises:
            CorruptError: A section is missing, of another format, or not what it says.
        """
        try:
            meta = _meta_decoder.decode(sections["meta"])
            database = _connect(sections["memory"])
            vectors = None
            if meta.format == 1:
                database.executescript(_FROM_FORMAT_1)
                meta.format, meta.dimensions = FORMAT, 0
            elif meta.format != FORMAT:
                raise CorruptError(f"a state of format {meta.format}; this O reads formats 1 and {FORMAT}")
            elif meta.dimensions:
                vectors = _native.VectorIndex.from_bytes(sections["vectors"])
            words = _words(database, sections.get("words", b""), meta.seq)
        except KeyError as error:
            raise CorruptError(f"a checkpoint without the section {error}") from error
        except (ValueError, msgspec.DecodeError, sqlite3.Error) as error:
            raise CorruptError(f"a checkpoint's state cannot be read: {error}") from error
        if vectors is not None and (len(vectors) > len(words) or vectors.dimensions != meta.dimensions):
            raise CorruptError(f"a checkpoint with {len(words)} memories but other vectors")
        state = cls(database, words, vectors, meta)
        state._reserve()
        return state

    def _reserve(self) -> None:
        """Lets the arenas grow now, before they are shared: a fork that has to grow one copies all of it."""
        self.database.execute("CREATE TABLE reserve(data BLOB)")
        self.database.execute("INSERT INTO reserve VALUES(zeroblob(?))", (_RESERVE_BYTES,))
        self.database.execute("DROP TABLE reserve")
        if self.vectors is not None:
            self.vectors.reserve(_RESERVE_VECTORS)

    @property
    def seq(self) -> int:
        """The last log entry that is in this state."""
        return self.meta.seq

    def compares(self, embedder: str) -> bool:
        """Whether vectors of this model may be compared with those that are there, if any are."""
        return self.vectors is None or self.meta.embedder in ("", embedder)

    @property
    def digest(self) -> bytes:
        """The log chain's digest at `seq`."""
        return self.meta.digest

    def sections(self) -> dict[str, bytes]:
        """What a checkpoint holds: `meta` (MessagePack), `memory` (the database), the indexes `words` and `vectors`."""
        sections = {
            "meta": _encoder.encode(self.meta),
            "memory": self.database.serialize(),
            "words": self.words.to_bytes(self.meta.seq),
        }
        if self.vectors is not None:
            sections["vectors"] = self.vectors.to_bytes()
        return sections

    def logical_digest(self) -> bytes:
        """SHA-256 of what the state says, whatever pages and indexes look like: equal in every replica at an entry."""
        digest = hashlib.sha256(_encoder.encode(self.meta))
        for number, *block in self.rows(_BLOCKS):
            digest.update(_encoder.encode(block))
            if self.vectors is not None:
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

    def rest(self) -> None:
        """Gives back what reading took: SQLite's copies of the arena's pages, and what a search counts in."""
        self.database.execute("PRAGMA shrink_memory")
        self.words.rest()

    def close(self) -> None:
        """Frees the database."""
        self.database.close()
