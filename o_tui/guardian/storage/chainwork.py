"""The chain of the log on a connection: reading, verifying, mending and compacting it. All of it blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec

from o_tui.guardian.storage.findings import keep_bytes, quarantine
from o_tui.guardian.storage.mirror import read_segment, segment_paths, write_segment
from o_tui.guardian.storage.rows import WAL, WAL_BASE
from o_tui.protocol.errors import CorruptError, NotFoundError
from o_tui.protocol.operations import GENESIS, Entry, chain, pack_entry, unpack_entry

if TYPE_CHECKING:
    from o_tui.guardian.storage.database import Database

_COLUMNS = ", ".join(WAL.columns)
_ALL = 1 << 62


class _Numbered(msgspec.Struct, array_like=True, frozen=True):
    """The start of an entry: the rest is not decoded."""

    seq: int


_decode_seq = msgspec.msgpack.Decoder(_Numbered).decode


def seq_of(entry: bytes) -> int:
    """The sequence number of a packed entry."""
    return _decode_seq(entry).seq


def pack_row(row: tuple[Any, ...]) -> bytes:
    """A row of the table as the packed entry; raises CorruptError if its values have the wrong types."""
    try:
        return pack_entry(Entry(*row[:7]))
    except (TypeError, ValueError, OverflowError) as error:
        raise CorruptError(f"entry {row[0]} of the log is damaged: {error}") from error


def row_of(entry: bytes, digest: bytes) -> tuple[Any, ...]:
    """The reverse of `pack_row`, with the digest."""
    e = unpack_entry(entry)
    return (e.seq, e.time_ns, e.epoch, e.request_id, e.position, e.operation, e.data, digest)


def describe(row: tuple[Any, ...]) -> dict[str, Any]:
    """A row for a person: the operation decoded, bytes by their size."""
    described = dict(zip(WAL.columns, row, strict=True))
    try:
        data = msgpack.unpackb(row[6], max_ext_len=0)
    except ValueError as error:
        data = {"damaged": str(error)}
    if isinstance(data, dict):
        data = {key: f"{len(v)} bytes" if isinstance(v, bytes) else v for key, v in data.items()}
    return {**described, "data": data, "digest": row[7].hex()}


def base_of(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """(seq, digest) up to which the log has been compacted; (0, zeros) if never. Raises CorruptError."""
    row = connection.execute(f"SELECT {WAL_BASE.all_columns} FROM wal_base WHERE id = 1").fetchone()
    if row is None:
        return 0, GENESIS
    if not WAL_BASE.intact(row):
        raise CorruptError("the row that says where the compacted log ends is damaged")
    return int(row[1]), bytes(row[2])


def last_of(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """(seq, digest) of the last row, as it stands there; the base if there is none."""
    row = connection.execute("SELECT seq, digest FROM wal ORDER BY seq DESC LIMIT 1").fetchone()
    return (int(row[0]), bytes(row[1])) if row else base_of(connection)


def digest_at(connection: sqlite3.Connection, seq: int) -> bytes:
    """The chain's digest at an entry; raises NotFoundError."""
    row = connection.execute("SELECT digest FROM wal WHERE seq = ?", (seq,)).fetchone()
    if row:
        return bytes(row[0])
    base, digest = base_of(connection)
    if seq == base:
        return digest
    raise NotFoundError(f"there is no entry {seq} in the log")


def read(connection: sqlite3.Connection, after_seq: int, limit: int) -> list[bytes]:
    """Packed entries after `after_seq`, their chain verified; see `Wal.read`."""
    base, _ = base_of(connection)
    if after_seq < base:
        raise NotFoundError(f"entries up to {base} have been compacted", hint="start from a newer checkpoint")
    rows = connection.execute(f"SELECT {_COLUMNS} FROM wal WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))
    entries: list[bytes] = []
    digest = b""
    for row in rows:
        if not digest:
            digest = digest_at(connection, after_seq)
        entry = pack_row(row)
        digest = chain(digest, entry)
        if digest != row[7] or row[0] != after_seq + len(entries) + 1:
            raise CorruptError(
                f"entry {after_seq + len(entries) + 1} of the log does not have its digest", hint="run: o-tui doctor"
            )
        entries.append(entry)
    return entries


def restores(connection: sqlite3.Connection) -> list[tuple[int, bytes, str]]:
    """The `state_restore` entries of the log: (seq, digest, checkpoint id)."""
    from o_tui.protocol.operations import StateRestore, unpack

    found = []
    sql = "SELECT seq, digest, data FROM wal WHERE operation = 'state_restore' ORDER BY seq"
    for seq, digest, data in connection.execute(sql):
        operation = unpack("state_restore", data)
        if isinstance(operation, StateRestore):
            found.append((int(seq), bytes(digest), operation.checkpoint_id))
    return found


@dataclass(frozen=True, slots=True)
class Step:
    """How far a slice of verification came: the last good entry, and the first bad one (0: none)."""

    seq: int
    digest: bytes
    entries: int
    done: bool
    bad_seq: int = 0
    problem: str = ""


def verify_slice(connection: sqlite3.Connection, position: tuple[int, bytes] | None, limit: int = _ALL) -> Step:
    """Verifies at most `limit` rows after a position (None: from the base)."""
    try:
        base = base_of(connection)
        seq, digest = base if position is None else max(position, base)
        count = 0
        sql = f"SELECT {_COLUMNS} FROM wal WHERE seq > ? ORDER BY seq LIMIT ?"
        for row in connection.execute(sql, (seq, limit)):
            if row[0] != seq + 1:
                return Step(seq, digest, count, True, seq + 1, f"entry {seq + 1} of the log is missing")
            following = chain(digest, pack_row(row))
            if following != row[7]:
                return Step(seq, digest, count, True, seq + 1, f"entry {seq + 1} of the log does not have its digest")
            seq, digest = row[0], following
            count += 1
    except (CorruptError, sqlite3.DatabaseError) as error:
        where = position[0] + 1 if position else 1
        return Step(where - 1, b"", 0, True, where, f"the log cannot be read after entry {where - 1}: {error}")
    return Step(seq, digest, count, count < limit)


def mirrored(folder: Path, first_seq: int = 1) -> Iterator[tuple[int, bytes]]:
    """(seq, packed entry) of the mirror from `first_seq` on, unproven, oldest first; what is damaged is left out."""
    paths = segment_paths(folder)
    for path, following in zip_longest(paths, paths[1:]):
        if following is not None and _first_of(following) <= first_seq:
            continue
        segment = read_segment(path)
        for seq, entry in enumerate(segment.entries, segment.first_seq):
            if seq >= first_seq:
                yield seq, entry


def known_digests(folder: Path) -> dict[int, bytes]:
    """What the segments' names say of the chain: the digest at the entry before each."""
    known: dict[int, bytes] = {}
    for path in segment_paths(folder):
        parts = path.stem.split("_")
        if len(parts) == 3 and parts[1].isdigit() and len(parts[2]) == 64:
            known[int(parts[1]) - 1] = bytes.fromhex(parts[2])
    return known


def _first_of(path: Path) -> int:
    number = path.stem.split("_")[1]
    return int(number) if number.isdigit() else 0


def prove(
    entries: dict[int, bytes], seq: int, digest: bytes, known: dict[int, bytes]
) -> tuple[list[tuple[int, bytes, bytes]], int]:
    """Chains entries from a good position as far as they go without a gap.

    Returns:
        (seq, entry, digest) of each, and how many of them from the start are *proven*: a digest that is known from
        elsewhere agrees at or after them, and none before it disagrees.
    """
    run: list[tuple[int, bytes, bytes]] = []
    proven = 0
    while (entry := entries.get(seq + 1)) is not None:
        seq += 1
        digest = chain(digest, entry)
        run.append((seq, entry, digest))
        expected = known.get(seq)
        if expected == digest:
            proven = len(run)
    return run, proven


def verify_mirror(folder: Path) -> list[str]:
    """What is wrong with the mirror's segments, a line each. The open end may still grow while this reads."""
    problems: list[str] = []
    paths = segment_paths(folder)
    known = known_digests(folder)
    for index, path in enumerate(paths):
        last = index == len(paths) - 1
        try:
            segment = read_segment(path)
        except FileNotFoundError:
            continue  # compacted meanwhile
        if segment.damaged and last:
            segment = read_segment(path)  # it may have been read while it was written
        if segment.damaged:
            problems.append(f"segment {path.name} of the mirror is damaged after entry {segment.last_seq}")
        elif not last and known.get(segment.last_seq) != segment.digest():
            problems.append(f"segment {path.name} of the mirror does not have its digest")
    return problems


def mend_mirror(connection: sqlite3.Connection, data: Path, folder: Path) -> list[str]:
    """Puts damaged segments of the mirror aside and writes them again from the log; the open end is left alone."""
    lines: list[str] = []
    paths = segment_paths(folder)
    known = known_digests(folder)
    for path, following in pairwise(paths):
        segment, last = read_segment(path), _first_of(following) - 1
        if not segment.damaged and segment.last_seq == last and known.get(last) == segment.digest():
            continue
        kept = quarantine(data, path)
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM wal WHERE seq BETWEEN ? AND ? ORDER BY seq", (_first_of(path), last)
        ).fetchall()
        text = f"segment {path.name} of the log's mirror was damaged; kept as {kept.name}"
        if rows and rows[0][0] == _first_of(path) and len(rows) == last - _first_of(path) + 1:
            write_segment(path, [pack_row(row) for row in rows])
            text += ", written again"
        lines.append(text)
    return lines


def repair_rows(
    connection: sqlite3.Connection,
    folder: Path,
    position: tuple[int, bytes] | None = None,
    known: dict[int, bytes] | None = None,
) -> list[str]:
    """Puts entries of the mirror in place of damaged or missing rows after a position, where the chain proves them."""
    lines: list[str] = []
    while True:
        step = verify_slice(connection, position)
        if not step.bad_seq:
            return lines
        sql = "SELECT seq, digest FROM wal WHERE seq >= ?"
        digests = {int(row[0]): row[1] for row in connection.execute(sql, (step.bad_seq,))}
        # the rows are what is in doubt: it may be the digest of the last one itself that was damaged
        digests |= (known or {}) | known_digests(folder)
        run, proven = prove(dict(mirrored(folder, step.bad_seq)), step.seq, step.digest, digests)
        end = 0
        for seq, entry, digest in run[:proven]:
            wanted = row_of(entry, digest)
            if connection.execute(f"SELECT {_COLUMNS} FROM wal WHERE seq = ?", (seq,)).fetchone() == wanted:
                break
            WAL.put(connection, wanted)
            end, position = seq, (seq, digest)
        if not end:
            return [*lines, f"{step.problem}; the mirror does not have it"]
        lines.append(f"entries {step.bad_seq} to {end} of the log were repaired from the mirror")


def cut(connection: sqlite3.Connection, data: Path, after_seq: int) -> str:
    """Takes the rows after an entry out of the log and keeps them in a file of the quarantine; returns its name."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM wal WHERE seq > ? ORDER BY seq", (after_seq,)).fetchall()
    kept = keep_bytes(data, "wal-rows.msgpack", msgpack.packb(rows))
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM wal WHERE seq > ?", (after_seq,))
    connection.execute("COMMIT")
    return kept.name


def compact_slice(database: Database, connection: sqlite3.Connection, last: int, limit: int) -> int:
    """Removes at most `limit` of the oldest rows up to `last`, and keeps the chain's digest there."""
    base, _ = base_of(connection)
    end = min(last, base + limit)
    if end <= base:
        return 0
    digest = digest_at(connection, end)
    database.replace(connection, WAL_BASE, (1, end, digest))
    return connection.execute("DELETE FROM wal WHERE seq <= ?", (end,)).rowcount
