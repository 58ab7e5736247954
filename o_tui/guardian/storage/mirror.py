"""What is kept beside the database, because SQLite drops a damaged tail in silence: the head, and mirrors.

All of it is written after the commit and before the acknowledgement, into the page cache; it is synced lazily.
A *segment* of the WAL's mirror is `[size u32 big-endian][entry]…` (the seeds' form); its name carries the first
sequence number and the chain's digest before it, so that every segment verifies by itself. The *row mirror* holds
what else was inserted, `[size u32][crc32 u32][MessagePack [commit, table, values]]…`.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from o_tui.protocol.operations import GENESIS, chain, unpack_entry

SEGMENT_BYTES = 8 << 20
ROW_SEGMENTS = 8
"""How many files of the row mirror stay."""
ENTRY_LIMIT_BYTES = 64 << 20
_SIZE = struct.Struct(">I")
_ROW = struct.Struct(">II")
_HEAD = struct.Struct(">8sQQQQ32sQ")
_HEAD_MAGIC = b"O_HEAD_1"
_SLOT_BYTES = 128


@dataclass(frozen=True, slots=True)
class Head:
    """The last acknowledged entry: sequence number and chain digest, and the count of transactions."""

    counter: int
    epoch: int
    commits: int
    seq: int
    digest: bytes
    time_ns: int


class HeadFile:
    """Two slots, written in turn, each with its own digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def read(self) -> tuple[Head | None, bool]:
        """The newest good head, and whether a slot is damaged."""
        raw = os.pread(self._fd, 2 * _SLOT_BYTES + 1, 0)
        damaged = len(raw) not in (0, 2 * _SLOT_BYTES)
        best: Head | None = None
        for start in (0, _SLOT_BYTES):
            slot = raw[start : start + _SLOT_BYTES]
            if not slot.strip(b"\0"):
                continue
            head = _unpack_head(slot)
            if head is None or slot[_HEAD.size + 32 :].strip(b"\0"):
                damaged = True
            elif best is None or head.counter > best.counter:
                best = head
        return best, damaged

    def write(self, head: Head) -> None:
        """Writes the slot that `head.counter` chooses."""
        body = _HEAD.pack(_HEAD_MAGIC, head.counter, head.epoch, head.commits, head.seq, head.digest, head.time_ns)
        slot = (body + hashlib.sha256(body).digest()).ljust(_SLOT_BYTES, b"\0")
        os.pwrite(self._fd, slot, (head.counter % 2) * _SLOT_BYTES)

    def write_both(self, head: Head) -> None:
        """Replaces both slots (after one was damaged)."""
        os.ftruncate(self._fd, 2 * _SLOT_BYTES)
        for counter in (head.counter, head.counter + 1):
            self.write(Head(counter, head.epoch, head.commits, head.seq, head.digest, head.time_ns))

    def sync(self) -> None:
        """Waits for the disk."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._fd)


def _unpack_head(slot: bytes) -> Head | None:
    if len(slot) < _SLOT_BYTES:
        return None
    body = slot[: _HEAD.size]
    if hashlib.sha256(body).digest() != slot[_HEAD.size : _HEAD.size + 32]:
        return None
    magic, counter, epoch, commits, seq, digest, time_ns = _HEAD.unpack(body)
    if magic != _HEAD_MAGIC:
        return None
    return Head(counter, epoch, commits, seq, digest, time_ns)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the WAL's mirror, as read: its good entries, in order, and whether something behind is bad."""

    path: Path
    first_seq: int
    previous: bytes
    entries: list[bytes]
    good_bytes: int
    damaged: bool

    @property
    def last_seq(self) -> int:
        """Sequence number of the last good entry (`first_seq - 1` if there is none)."""
        return self.first_seq + len(self.entries) - 1

    def digest(self) -> bytes:
        """The chain's digest after the last good entry."""
        digest = self.previous
        for entry in self.entries:
            digest = chain(digest, entry)
        return digest


def framed(entries: Sequence[bytes]) -> bytes:
    """Entries as they stand in a segment."""
    return b"".join([part for entry in entries for part in (_SIZE.pack(len(entry)), entry)])


def segment_paths(folder: Path) -> list[Path]:
    """The segments of a mirror, oldest first."""
    return sorted(folder.glob("wal_*.log"))


def _segment_name(first_seq: int, previous: bytes) -> str:
    return f"wal_{first_seq:020d}_{previous.hex()}.log"


def read_segment(path: Path) -> Segment:
    """Reads one segment as far as it can be parsed and its entries count up without a gap.

    Entries are not yet proven by this: the chain proves them, against the next segment's name or the head.
    """
    try:
        _, number, digest = path.stem.split("_")
        first_seq, previous = int(number), bytes.fromhex(digest)
    except ValueError:
        return Segment(path, 0, GENESIS, [], 0, True)
    raw = path.read_bytes()
    entries: list[bytes] = []
    position = 0
    damaged = len(previous) != 32
    while position < len(raw) and not damaged:
        size = int.from_bytes(raw[position : position + 4], "big")
        entry = raw[position + 4 : position + 4 + size]
        if size > ENTRY_LIMIT_BYTES or len(entry) < size or _seq_of(entry) != first_seq + len(entries):
            damaged = True
            break
        entries.append(entry)
        position += 4 + size
    return Segment(path, first_seq, previous, entries, position, damaged)


def _seq_of(entry: bytes) -> int:
    try:
        return unpack_entry(entry).seq
    except (msgspec.DecodeError, UnicodeDecodeError):  # the second: text inside that is not UTF-8
        return -1


class Mirror:
    """The open end of the WAL's mirror.

    Attributes:
        seq: The last entry that it holds.
        digest: The chain's digest there.
    """

    def __init__(self, folder: Path, seq: int, digest: bytes, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.seq = seq
        self.digest = digest
        self._limit = segment_bytes
        self._fd = -1
        self._size = 0

    def continue_in(self, path: Path) -> None:
        """Goes on at the end of an existing segment."""
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size

    def append(self, entries: Sequence[bytes], digest: bytes) -> None:
        """Writes entries behind the last one. On an OSError nothing of them is kept."""
        if not entries:
            return
        if self._fd < 0 or self._size >= self._limit:
            self._rotate()
        raw = framed(entries)
        try:
            _write_all(self._fd, raw)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(raw)
        self.seq += len(entries)
        self.digest = digest

    def _rotate(self) -> None:
        path = self.folder / _segment_name(self.seq + 1, self.digest)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.fdatasync(self._fd)
            os.close(self._fd)
        self._fd, self._size = fd, 0

    def sync(self) -> None:
        """Waits for the disk."""
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def compact(self, below_seq: int) -> int:
        """Removes segments whose entries all are at or below `below_seq`; returns how many."""
        paths = segment_paths(self.folder)
        removed = 0
        for path, following in pairwise(paths):
            if int(following.stem.split("_")[1]) <= below_seq + 1:
                path.unlink()
                removed += 1
        return removed

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_segment(path: Path, entries: Sequence[bytes]) -> None:
    """Writes a whole segment again, durably."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(fd, framed(entries))
        os.fsync(fd)
    finally:
        os.close(fd)


class RowMirror:
    """The open end of the row mirror: what was inserted beside the WAL's entries, to be put back after a loss."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._limit = segment_bytes
        self._fd = -1
        self._size = 0
        self._pending: list[bytes] = []
        self._settled = 0

    def continue_in(self, path: Path) -> None:
        """Goes on at the end of an existing file."""
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size

    def add(self, commit: int, table: str, values: Sequence[Any]) -> None:
        """Remembers a row of the running transaction."""
        payload = _encode((commit, table, values))
        self._pending.append(_ROW.pack(len(payload), zlib.crc32(payload)) + payload)

    def settle(self) -> None:
        """The transaction is durable: its rows are not forgotten any more, even if they cannot be written now."""
        self._settled = len(self._pending)

    def forget(self) -> None:
        """The transaction was taken back."""
        del self._pending[self._settled :]

    def mark(self) -> int:
        """How many rows are remembered."""
        return len(self._pending)

    def back_to(self, mark: int) -> None:
        """Forgets the rows after a mark."""
        del self._pending[mark:]

    def flush(self) -> None:
        """Writes what is remembered. On an OSError it stays remembered."""
        if not self._pending:
            return
        if self._fd < 0 or self._size >= self._limit:
            self._rotate()
        raw = b"".join(self._pending)
        try:
            _write_all(self._fd, raw)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(raw)
        self._pending.clear()
        self._settled = 0

    def _rotate(self) -> None:
        # newer than the last one by its name too, whatever has become of the clock: the oldest names are removed
        names = (path.stem.removeprefix("rows_") for path in row_paths(self.folder))
        last_ns = max((int(name) for name in names if name.isdecimal()), default=0)
        path = self.folder / f"rows_{max(time.time_ns(), last_ns + 1):020d}.log"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, 0
        for old in row_paths(self.folder)[:-ROW_SEGMENTS]:
            old.unlink()

    def sync(self) -> None:
        """Waits for the disk."""
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def row_paths(folder: Path) -> list[Path]:
    """The files of the row mirror, oldest first."""
    return sorted(folder.glob("rows_*.log"))


def read_rows(path: Path) -> Iterator[tuple[int, str, list[Any]] | None]:
    """The records of a file of the row mirror; a last None means that something behind is damaged."""
    for payload in _payloads(path.read_bytes()):
        yield None if payload is None else _decode_row(payload)


def rows_whole(path: Path) -> bool:
    """Whether every record of a file of the row mirror is what was written."""
    return all(payload is not None for payload in _payloads(path.read_bytes()))


def _payloads(raw: bytes) -> Iterator[bytes | None]:
    position = 0
    while position < len(raw):
        if len(raw) - position < _ROW.size:
            yield None
            return
        size, crc = _ROW.unpack_from(raw, position)
        payload = raw[position + _ROW.size : position + _ROW.size + size]
        if len(payload) < size or zlib.crc32(payload) != crc:
            yield None
            return
        yield payload
        position += _ROW.size + size


_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(tuple[int, str, list[Any]]).decode


def _write_all(fd: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]
