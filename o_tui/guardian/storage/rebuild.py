"""Building the database anew from what can be read of a damaged one, and from the mirrors beside it."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from o_tui.guardian.storage import chainwork, schema
from o_tui.guardian.storage.findings import Finding, quarantine, sync_folder
from o_tui.guardian.storage.head import Head
from o_tui.guardian.storage.row_mirror import read_rows, row_paths
from o_tui.guardian.storage.rows import TABLES, WAL, WAL_BASE, Table, insert_many
from o_tui.guardian.storage.vault_files import adopt
from o_tui.paths import Paths
from o_tui.protocol.errors import CorruptError
from o_tui.protocol.operations import GENESIS, chain


def rebuild(paths: Paths, head: Head | None, findings: list[Finding], reason: str) -> None:
    """Puts the damaged database into the quarantine and a new one with all that can be saved in its place.

    The old files stay whole in the quarantine. A crash in the middle leaves the old database where it was, or no
    database and the mirrors: the next opening starts over.
    """
    fresh = paths.data / "o.db.rebuild"
    for leftover in (fresh, *schema.companions(fresh)):
        leftover.unlink(missing_ok=True)
    schema.create(fresh)
    with tempfile.TemporaryDirectory(dir=paths.data, prefix="salvage-") as folder:
        old = _open_copy(paths.database, Path(folder))
        new = schema.connect(fresh)
        try:
            counts = _fill(new, old, paths, head)
            new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            new.close()
            if old is not None:
                old.close()
    kept = [
        quarantine(paths.data, file).name
        for file in (paths.database, *schema.companions(paths.database))
        if file.exists()
    ]
    fresh.replace(paths.database)
    sync_folder(paths.data)
    where = f"the damaged files are kept: {', '.join(kept)}" if kept else "there was no file"
    text = f"the database was built anew ({reason}); {where}"
    findings.append(Finding("database", text, "error", {"rows": counts, "kept": kept}))


def _open_copy(database: Path, folder: Path) -> sqlite3.Connection | None:
    """A copy of the damaged files to read from: SQLite changes what it opens."""
    if not database.exists():
        return None
    for file in (database, *schema.companions(database)):
        if file.exists() and not file.name.endswith("-shm"):
            shutil.copy2(file, folder / file.name)
    try:
        connection = sqlite3.connect(folder / database.name, isolation_level=None)
        connection.execute("PRAGMA writable_schema=ON")  # a damaged schema must not keep the tables from being read
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError:
        return None
    return connection


def _fill(new: sqlite3.Connection, old: sqlite3.Connection | None, paths: Paths, head: Head | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    commits = 0
    new.execute("BEGIN IMMEDIATE")
    saved: set[tuple[str, Any]] = set()
    for table in TABLES.values():
        if table in (WAL, WAL_BASE) or old is None:
            continue
        keys = [row[0] for row in _salvage(old, table) if _take(new, table, row)]
        counts[table.name] = len(keys)
        saved.update((table.name, key) for key in keys)
    if old is not None:
        commits = _commits(old)
    for path in row_paths(paths.mirror):
        for record in read_rows(path):
            if record is None or record[1] == WAL_BASE.name:
                continue
            # the mirror holds every version of a row in order: the last one stands, unless the database had a newer
            if record[0] > commits or (record[1], record[2][0]) not in saved:
                counts[record[1]] = counts.get(record[1], 0) + put_mirrored(new, record)
    counts["checkpoint_files"] = adopt(new, paths.checkpoints)
    counts["wal"] = _fill_log(new, old, paths, head)
    commits = max(commits, head.commits if head else 0)
    new.execute("UPDATE epoch SET commits = ?, epoch = ? WHERE id = 1", (commits, head.epoch if head else 0))
    new.execute("COMMIT")
    return counts


def _commits(old: sqlite3.Connection) -> int:
    try:
        row = old.execute("SELECT commits FROM epoch").fetchone()
    except sqlite3.DatabaseError:
        return 0
    return int(row[0]) if row and isinstance(row[0], int) else 0


def put_mirrored(connection: sqlite3.Connection, record: tuple[int, str, list[Any]]) -> int:
    """Puts one mirrored row into its table, where that table lets it."""
    table = TABLES[record[1]]
    verb = "INSERT OR IGNORE" if table.name == "approvals" else "INSERT OR REPLACE"
    try:
        return insert_many(connection, table, [record[2]], verb)
    except sqlite3.IntegrityError:
        return 0  # an approval that is there already


def _take(new: sqlite3.Connection, table: Table, row: tuple[Any, ...]) -> int:
    if not table.intact(row):
        return 0
    values = row[:-1] if table.checked else row
    try:
        return insert_many(new, table, [values], "INSERT OR IGNORE")
    except sqlite3.IntegrityError:
        return 0


def _salvage(old: sqlite3.Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """The rows that can be read, from both ends towards the damage."""
    key = "sha256" if table.name == "bodies" else "rowid"
    for order in ("ASC", "DESC"):
        try:
            yield from old.execute(f"SELECT {table.all_columns} FROM {table.name} ORDER BY {key} {order}")
            return
        except sqlite3.DatabaseError:
            continue


def _fill_log(new: sqlite3.Connection, old: sqlite3.Connection | None, paths: Paths, head: Head | None) -> int:
    """The longest proven chain out of the old rows and the mirror's entries."""
    rows: dict[int, bytes] = {}
    known = {head.seq: head.digest} if head is not None else {}
    known |= chainwork.known_digests(paths.mirror)
    if old is not None:
        for row in _salvage(old, WAL):
            if isinstance(row[0], int) and isinstance(row[7], bytes):
                known.setdefault(row[0], row[7])
                try:
                    rows[row[0]] = chainwork.pack_row(row)
                except CorruptError:
                    continue
    mirror = dict(chainwork.mirrored(paths.mirror))
    base, digest = _base(old, rows, mirror, known)
    if base:
        insert_many(new, WAL_BASE, [(1, base, digest)])
    written, seq = 0, base
    while seq + 1 in rows or seq + 1 in mirror:
        part = _proven(rows, mirror, known, seq, digest)
        if not part:
            break
        for _, entry, digest in part:
            insert_many(new, WAL, [chainwork.row_of(entry, digest)])
            written += 1
        seq = part[-1][0]
    return written


def _proven(
    rows: dict[int, bytes], mirror: dict[int, bytes], known: dict[int, bytes], seq: int, digest: bytes
) -> list[tuple[int, bytes, bytes]]:
    entry = rows.get(seq + 1)
    if entry is not None and known.get(seq + 1) == chain(digest, entry):
        return [(seq + 1, entry, chain(digest, entry))]
    run, proven = chainwork.prove(mirror, seq, digest, known)
    return run[:proven]


def _base(
    old: sqlite3.Connection | None, rows: dict[int, bytes], mirror: dict[int, bytes], known: dict[int, bytes]
) -> tuple[int, bytes]:
    """Where the log begins: as the old database says, else before the oldest entry whose predecessor is known."""
    if old is not None:
        try:
            base = chainwork.base_of(old)
            if base[0] or 1 in rows or 1 in mirror or not rows:
                return base
        except (CorruptError, sqlite3.DatabaseError):
            pass
    for seq in sorted(rows.keys() | mirror.keys()):
        if seq == 1:
            return 0, GENESIS
        if seq - 1 in known:
            return seq - 1, known[seq - 1]
    return 0, GENESIS
