"""The head: the last acknowledged entry in a small file beside the database, so that a lost tail is noticed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct(">8sQQQQ32sq")
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

    def __init__(self, path: Path, *, only_read: bool = False) -> None:
        self.path = path
        flags = os.O_RDONLY if only_read else os.O_RDWR | os.O_CREAT
        self._fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)  # a pipe in its place is not waited for
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise OSError(errno.EISDIR, "it is no file: move it away, and it is made anew", str(path))

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
