"""Opening a workspace: the database is compared with the head and the mirrors, and mended from them.

SQLite drops a damaged tail of its `-wal` file in silence; so nothing is believed because it can be read. Whatever is
found becomes a finding, whatever is damaged is kept aside, and nothing acknowledged vanishes without a word.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from o_tui.guardian.storage import chainwork, schema
from o_tui.guardian.storage.findings import Finding, keep_bytes
from o_tui.guardian.storage.head import Head, HeadFile
from o_tui.guardian.storage.mirror import Mirror, segment_paths
from o_tui.guardian.storage.mirror_repair import open_mirror, open_rows
from o_tui.guardian.storage.rebuild import put_mirrored, rebuild
from o_tui.guardian.storage.row_mirror import RowMirror, read_rows, row_paths
from o_tui.guardian.storage.rows import TABLES, WAL, WAL_BASE
from o_tui.guardian.storage.vault_files import strays
from o_tui.paths import Paths
from o_tui.protocol.errors import CorruptError, OError


@dataclass(slots=True)
class Opened:
    """What opening leaves for the database."""

    findings: list[Finding]
    head_file: HeadFile
    head: Head
    mirror: Mirror
    rows: RowMirror
    seq: int
    digest: bytes
    commits: int
    tops: dict[str, int]


def open_checked(
    paths: Paths, busy_timeout_s: float, tail_entries: int, segment_bytes: int
) -> tuple[sqlite3.Connection, Opened]:
    """Opens, checks and repairs; builds the database anew if it is damaged beyond that."""
    try:
        return _open_checked(paths, busy_timeout_s, tail_entries, segment_bytes)
    except (sqlite3.Error, OSError) as error:
        raise schema.typed(error, paths.database) from error


def _open_checked(
    paths: Paths, busy_timeout_s: float, tail_entries: int, segment_bytes: int
) -> tuple[sqlite3.Connection, Opened]:
    findings: list[Finding] = []
    head_file = HeadFile(paths.mirror / "head")
    head, head_damaged = head_file.read()
    if head_damaged:
        kept = keep_bytes(paths.data, "head", head_file.path.read_bytes())
        findings.append(Finding("head", f"a slot of the log's head was damaged; kept as {kept.name}"))
    connection = _connect(paths, head, findings, busy_timeout_s)
    try:
        opened = _reconcile(connection, paths, head_file, head, head_damaged, findings, tail_entries, segment_bytes)
    except (CorruptError, sqlite3.DatabaseError) as error:
        connection.close()
        _raise_if_not_damage(error, paths)
        rebuild(paths, head, findings, str(error))
        connection = _connect(paths, head, findings, busy_timeout_s)
        opened = _reconcile(connection, paths, head_file, head, head_damaged, findings, tail_entries, segment_bytes)
    except BaseException:
        connection.close()
        raise
    return connection, opened


def _connect(paths: Paths, head: Head | None, findings: list[Finding], busy_timeout_s: float) -> sqlite3.Connection:
    schema.refuse_what_is_no_file(paths.database)
    missing = not paths.database.exists()
    if missing or not paths.database.stat().st_size:
        beside = [file for file in schema.companions(paths.database) if file.exists()]
        left = segment_paths(paths.mirror) or strays(paths.checkpoints) or beside
        if left or (head is not None and (head.seq or head.commits)):
            rebuild(paths, head, findings, f"the database is {'missing' if missing else 'empty'}")
        else:
            schema.create(paths.database)
    try:
        return _connect_once(paths, findings, busy_timeout_s)
    except (sqlite3.Error, CorruptError) as error:
        _raise_if_not_damage(error, paths)
        rebuild(paths, head, findings, str(error))
        return _connect_once(paths, findings, busy_timeout_s)


def _connect_once(paths: Paths, findings: list[Finding], busy_timeout_s: float) -> sqlite3.Connection:
    connection = schema.connect(paths.database, busy_timeout_s=busy_timeout_s)
    try:
        schema.recognise(connection, paths.database)
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if steps := schema.migrate(connection):
            findings.append(Finding("migrated", f"the database was brought {steps} schema versions forward", "info"))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _raise_if_not_damage(error: Exception, paths: Paths) -> None:
    if isinstance(error, sqlite3.Error):
        found = schema.typed(error, paths.database)
        if not isinstance(found, CorruptError):
            raise found from error


def _reconcile(
    connection: sqlite3.Connection,
    paths: Paths,
    head_file: HeadFile,
    head: Head | None,
    head_damaged: bool,
    findings: list[Finding],
    tail_entries: int,
    segment_bytes: int,
) -> Opened:
    _check_schema(connection, paths)
    seq, digest = _check_tail(connection, paths, head, head_damaged, findings, tail_entries)
    commits = _check_commits(connection, paths, head, findings)
    mirror = open_mirror(connection, paths, seq, digest, findings, segment_bytes)
    tops = {
        name: int(connection.execute(f"SELECT coalesce(max({TABLES[name].columns[0]}), 0) FROM {name}").fetchone()[0])
        for name in ("requests", "events", "evolutions", "candidates", "samples", "decisions", "brokered")
    }
    now = Head(head.counter if head else 0, head.epoch if head else 0, commits, seq, digest, time.time_ns())
    if head_damaged:
        head_file.write_both(now)
        now = Head(now.counter + 1, now.epoch, commits, seq, digest, now.time_ns)
    rows = open_rows(paths, findings, segment_bytes)
    return Opened(findings, head_file, now, mirror, rows, seq, digest, commits, tops)


def _check_schema(connection: sqlite3.Connection, paths: Paths) -> None:
    if schema.schema_of(connection) != schema.expected_schema():
        raise CorruptError(f"the tables of {paths.database} are not those of this O")


# --- the log


def _check_tail(
    connection: sqlite3.Connection,
    paths: Paths,
    head: Head | None,
    head_damaged: bool,
    findings: list[Finding],
    tail_entries: int,
) -> tuple[int, bytes]:
    """Verifies the last entries and that nothing acknowledged is missing; returns the end of the log."""
    base, base_digest = chainwork.base_of(connection)
    last, _ = chainwork.last_of(connection)
    start = max(base, last - tail_entries)
    position = (start, base_digest if start == base else chainwork.digest_at(connection, start))
    step = chainwork.verify_slice(connection, position)
    if step.bad_seq:
        step = _mend(connection, paths, head, findings, step, position)
    seq, digest = step.seq, step.digest
    if head is not None and head.seq > seq:
        seq, digest = _lost_tail(connection, paths, head, findings, seq, digest)
    elif head_damaged:
        seq, digest = _beyond(connection, paths, findings, seq, digest)
    elif head is not None and head.seq > base and chainwork.digest_at(connection, head.seq) != head.digest:
        text = f"the head says that entry {head.seq} of the log is another one; the log's own chain is whole and kept"
        findings.append(Finding("head", text, "error"))
    return _behind_checkpoints(connection, paths, findings, seq, digest)


def _mend(
    connection: sqlite3.Connection,
    paths: Paths,
    head: Head | None,
    findings: list[Finding],
    step: chainwork.Step,
    position: tuple[int, bytes],
) -> chainwork.Step:
    """Repairs damaged rows of the tail from the mirror; else cuts the log before them, keeping what is cut."""
    if step.digest:
        connection.execute("BEGIN IMMEDIATE")
        lines = chainwork.repair_rows(connection, paths.mirror, position, known_head(head))
        connection.execute("COMMIT")
        findings.extend(Finding("log", line, "warning" if "repaired" in line else "error") for line in lines)
        again = chainwork.verify_slice(connection, position)
        if not again.bad_seq:
            return again
        step = again
    if not step.digest:
        raise CorruptError(step.problem)
    covered = (
        connection.execute("SELECT max(seq) FROM checkpoints WHERE origin = 'own' AND deleted_ns = 0").fetchone()[0]
        or 0
    )
    rest = chainwork.verify_slice(connection, _row_position(connection, step.bad_seq))
    if covered >= step.bad_seq and not rest.bad_seq:
        text = f"{step.problem}; it is older than checkpoint at {covered}, the log goes on behind it"
        findings.append(Finding("log", text, "error", {"first_bad_seq": step.bad_seq}))
        return rest
    kept = chainwork.cut(connection, paths.data, step.seq)
    text = f"{step.problem} and could not be repaired: the log ends at {step.seq}; what was behind is kept in {kept}"
    findings.append(Finding("log", text, "error", {"first_bad_seq": step.bad_seq, "kept": kept}))
    return step


def _row_position(connection: sqlite3.Connection, seq: int) -> tuple[int, bytes]:
    try:
        return seq, chainwork.digest_at(connection, seq)
    except OError:
        return seq, bytes(32)


def known_head(head: Head | None) -> dict[int, bytes]:
    """What the head proves of the chain."""
    return {head.seq: head.digest} if head is not None else {}


def _lost_tail(
    connection: sqlite3.Connection, paths: Paths, head: Head, findings: list[Finding], seq: int, digest: bytes
) -> tuple[int, bytes]:
    """Entries that were acknowledged are not in the database: takes them from the mirror."""
    known = known_head(head) | chainwork.known_digests(paths.mirror)
    run, proven = chainwork.prove(dict(chainwork.mirrored(paths.mirror, seq + 1)), seq, digest, known)
    end, end_digest = _insert_run(connection, run[:proven], seq, digest)
    if end > seq:
        text = f"entries {seq + 1} to {end} of the log were missing in the database and were restored from the mirror"
        findings.append(Finding("log", text, "warning", {"from": seq + 1, "to": end}))
    if end < head.seq:
        kept = keep_bytes(paths.data, "head", head.digest)
        text = (
            f"entries {end + 1} to {head.seq} of the log were acknowledged and are lost; the log goes on at {end + 1}"
        )
        findings.append(Finding("log", text, "error", {"from": end + 1, "to": head.seq, "kept": kept.name}))
    return end, end_digest


def _beyond(
    connection: sqlite3.Connection, paths: Paths, findings: list[Finding], seq: int, digest: bytes
) -> tuple[int, bytes]:
    """The head is damaged, so it proves nothing: what the mirror holds behind the database's end is taken."""
    run, proven = chainwork.prove(
        dict(chainwork.mirrored(paths.mirror, seq + 1)), seq, digest, chainwork.known_digests(paths.mirror)
    )
    end, end_digest = _insert_run(connection, run, seq, digest)
    if end > seq:
        text = f"entries {seq + 1} to {end} of the log were taken from the mirror, {len(run) - proven} without a proof"
        findings.append(Finding("log", text, "error" if len(run) > proven else "warning"))
    return end, end_digest


def _insert_run(
    connection: sqlite3.Connection, run: list[tuple[int, bytes, bytes]], seq: int, digest: bytes
) -> tuple[int, bytes]:
    if not run:
        return seq, digest
    connection.execute("BEGIN IMMEDIATE")
    for _seq, entry, entry_digest in run:
        WAL.put(connection, chainwork.row_of(entry, entry_digest))
    connection.execute("COMMIT")
    return run[-1][0], run[-1][2]


def _behind_checkpoints(
    connection: sqlite3.Connection, paths: Paths, findings: list[Finding], seq: int, digest: bytes
) -> tuple[int, bytes]:
    """A log that ends before a checkpoint goes on behind the checkpoint: its numbers must not be given again."""
    row = connection.execute(
        "SELECT seq, chain_digest, id FROM checkpoints WHERE origin = 'own' ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    if row is None or row[0] <= seq:
        return seq, digest
    kept = chainwork.cut(connection, paths.data, 0)
    connection.execute("BEGIN IMMEDIATE")
    WAL_BASE.put(connection, (1, row[0], row[1]))
    connection.execute("COMMIT")
    text = f"the log ended at {seq}, before checkpoint {row[2]} at {row[0]}: it goes on from the checkpoint"
    findings.append(Finding("log", text, "error", {"kept": kept}))
    return int(row[0]), bytes(row[1])


# --- the other tables


def _check_commits(connection: sqlite3.Connection, paths: Paths, head: Head | None, findings: list[Finding]) -> int:
    """Transactions that SQLite dropped took rows of other tables with them: puts them back from the row mirror."""
    row = connection.execute("SELECT commits FROM epoch WHERE id = 1").fetchone()
    if row is None:
        raise CorruptError("the row of the epoch is missing")
    commits = int(row[0])
    if head is None or head.commits <= commits:
        return commits
    connection.execute("BEGIN IMMEDIATE")
    restored, damaged = replay_rows(connection, paths.mirror, commits)
    connection.execute("UPDATE epoch SET commits = ? WHERE id = 1", (head.commits,))
    connection.execute("COMMIT")
    lost = head.commits - commits
    text = f"{lost} transactions were missing in the database; {restored} rows were restored from the mirror"
    findings.append(Finding("rows", text, "error" if damaged else "warning", {"transactions": lost, "rows": restored}))
    return head.commits


def replay_rows(connection: sqlite3.Connection, folder: Path, after_commit: int) -> tuple[int, bool]:
    """Puts back the mirrored rows of the transactions after one; (how many, whether some were damaged)."""
    restored, damaged = 0, False
    for path in row_paths(folder):
        for record in read_rows(path):
            if record is None:
                damaged = True
            elif record[0] > after_commit:
                restored += put_mirrored(connection, record)
    return restored, damaged


def raise_epoch(connection: sqlite3.Connection, opened: Opened) -> int:
    """Fences every earlier opener; returns the new epoch. Raises sqlite3.Error if somebody holds the lock."""
    connection.execute("BEGIN IMMEDIATE")
    (old,) = connection.execute("SELECT epoch FROM epoch WHERE id = 1").fetchone()
    epoch = max(int(old), opened.head.epoch) + 1
    opened.commits += 1
    connection.execute("UPDATE epoch SET epoch = ?, commits = ? WHERE id = 1", (epoch, opened.commits))
    connection.execute("COMMIT")
    return epoch
