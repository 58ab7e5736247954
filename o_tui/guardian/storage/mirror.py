"""The log's mirror: its entries once more, in files beside the database: SQLite drops a damaged tail in silence.

They are written after the commit and before the acknowledgement, into the page cache; they are synced lazily.
A *segment* is `[size u32 big-endian][entry]…` (the seeds' form); its name carries the first sequence number and the
chain's digest before it, so that every segment verifies by itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from o_tui.guardian.storage.findings import read_file
from o_tui.guardian.storage.segments import SEGMENT_BYTES, SegmentWriter, write_all
from o_tui.protocol.operations import GENESIS, chain, unpack_entry

ENTRY_LIMIT_BYTES = 64 << 20
_SIZE = struct.Struct(">I")


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


def read_segment(path: Path) -> Segment:
    """Reads one segment as far as it can be parsed and its entries count up without a gap.

    Entries are not yet proven by this: the chain proves them, against the next segment's name or the head. A file
    that cannot be read is damaged from its beginning.
    """
    try:
        _, number, digest = path.stem.split("_")
        first_seq, previous = int(number), bytes.fromhex(digest)
    except ValueError:
        return Segment(path, 0, GENESIS, [], 0, True)
    try:
        raw = read_file(path)
    except OSError:  # a disk's bad sector costs this copy, and not the start
        return Segment(path, first_seq, previous, [], 0, True)
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


class Mirror(SegmentWriter):
    """The open end of the WAL's mirror.

    Attributes:
        seq: The last entry that it holds.
        digest: The chain's digest there.
    """

    def __init__(self, folder: Path, seq: int, digest: bytes, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        super().__init__(folder, segment_bytes=segment_bytes)
        self.seq = seq
        self.digest = digest

    def append(self, entries: Sequence[bytes], digest: bytes) -> None:
        """Writes entries behind the last one. On an OSError nothing of them is kept."""
        if not entries:
            return
        self.write(framed(entries))
        self.seq += len(entries)
        self.digest = digest

    def next_path(self) -> Path:
        """Its name says which entry comes first in it, and the chain before."""
        return self.folder / f"wal_{self.seq + 1:020d}_{self.digest.hex()}.log"

    def compact(self, below_seq: int) -> int:
        """Removes segments whose entries all are at or below `below_seq`; returns how many."""
        paths = segment_paths(self.folder)
        removed = 0
        for path, following in pairwise(paths):
            if int(following.stem.split("_")[1]) <= below_seq + 1:
                path.unlink()
                removed += 1
        return removed


def write_segment(path: Path, entries: Sequence[bytes]) -> None:
    """Writes a whole segment again, durably."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, framed(entries))
        os.fsync(fd)
    finally:
        os.close(fd)
