"""Continuing the mirrors at an opening; those that disagree with the database go aside and are written again."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace

from o_tui.guardian.storage import chainwork
from o_tui.guardian.storage.findings import Finding, quarantine, read_file
from o_tui.guardian.storage.mirror import Mirror, Segment, framed, read_segment, segment_paths
from o_tui.guardian.storage.row_mirror import RowMirror, row_paths, rows_whole
from o_tui.paths import Paths
from o_tui.protocol.errors import OError
from o_tui.protocol.operations import GENESIS

_MIRROR_SLICE = 5_000


def open_mirror(
    connection: sqlite3.Connection, paths: Paths, seq: int, digest: bytes, findings: list[Finding], segment_bytes: int
) -> Mirror:
    """Continues the mirror where it agrees with the log; puts it aside and writes it again where it does not."""
    segments = segment_paths(paths.mirror)
    if segments:
        segment = read_segment(segments[-1])
        size = segments[-1].stat().st_size
        at, at_digest = segment.last_seq, segment.digest()
        agrees = at <= seq and _digest_or_none(connection, at) == at_digest
        if agrees and segment.damaged and _torn(connection, segment):
            os.truncate(segment.path, segment.good_bytes)  # a kill in the middle of a write: nothing is lost by it
            segment, size = replace(segment, damaged=False), segment.good_bytes
        if agrees and not segment.damaged and size == segment.good_bytes:
            mirror = Mirror(paths.mirror, at, at_digest, segment_bytes=segment_bytes)
            mirror.continue_in(segments[-1])
            extend_mirror(connection, mirror)
            return mirror
        kept = quarantine(paths.data, segments[-1])
        text = f"segment {segments[-1].name} of the log's mirror was damaged; kept as {kept.name}, written again"
        findings.append(Finding("mirror", text))
        start = segment.first_seq - 1
        if not segment.first_seq or _digest_or_none(connection, start) != segment.previous:
            start = -1
    else:
        start = -1
    if start < 0:
        for path in segment_paths(paths.mirror):
            quarantine(paths.data, path)
        start, _ = chainwork.base_of(connection)
    start_digest = chainwork.digest_at(connection, start) if start else GENESIS
    mirror = Mirror(paths.mirror, start, start_digest, segment_bytes=segment_bytes)
    extend_mirror(connection, mirror)
    return mirror


def _torn(connection: sqlite3.Connection, segment: Segment) -> bool:
    """Whether what cannot be read at a segment's end is the beginning of the entry that comes next."""
    try:
        rest = read_file(segment.path)[segment.good_bytes :]
    except OSError:
        return False
    row = connection.execute("SELECT * FROM wal WHERE seq = ?", (segment.last_seq + 1,)).fetchone()
    return row is not None and framed([chainwork.pack_row(row)]).startswith(rest)


def _digest_or_none(connection: sqlite3.Connection, seq: int) -> bytes | None:
    if seq == 0:
        return GENESIS
    try:
        return chainwork.digest_at(connection, seq)
    except OError:
        return None


def extend_mirror(connection: sqlite3.Connection, mirror: Mirror) -> None:
    """Copies the entries of the database that the mirror does not have yet."""
    while True:
        sql = "SELECT * FROM wal WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = connection.execute(sql, (mirror.seq, _MIRROR_SLICE)).fetchall()
        if not rows:
            return
        mirror.append([chainwork.pack_row(row) for row in rows], rows[-1][7])


def open_rows(paths: Paths, findings: list[Finding], segment_bytes: int) -> RowMirror:
    """Continues the row mirror; a damaged file of it goes aside (its rows are in the database by now)."""
    rows = RowMirror(paths.mirror, segment_bytes=segment_bytes)
    files = row_paths(paths.mirror)
    if files and rows_whole(files[-1]):
        rows.continue_in(files[-1])
    elif files:
        kept = quarantine(paths.data, files[-1])
        findings.append(Finding("mirror", f"a file of the row mirror was damaged; kept as {kept.name}"))
    return rows
