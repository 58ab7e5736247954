"""A log in files that only grow, one after the other: the newest is open, and full ones are not written any more."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path

SEGMENT_BYTES = 8 << 20


class SegmentWriter(ABC):
    """The open end of such a log. What is written is in the page cache; `sync` waits for the disk."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self._limit = segment_bytes
        self._fd = -1
        self._size = 0

    @abstractmethod
    def next_path(self) -> Path:
        """Where the next segment goes."""

    def continue_in(self, path: Path) -> None:
        """Goes on at the end of an existing segment."""
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size

    def write(self, raw: bytes) -> None:
        """Writes behind what is there, in a new segment where the open one is full. On an OSError nothing stays."""
        if self._fd < 0 or self._size >= self._limit:
            self._rotate()
        try:
            write_all(self._fd, raw)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(raw)

    def _rotate(self) -> None:
        self.sync()
        fd = os.open(self.next_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.close()
        self._fd, self._size = fd, 0

    def sync(self) -> None:
        """Waits for the disk."""
        if self._fd >= 0:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def write_all(fd: int, raw: bytes) -> None:
    """Writes all of it, however little the system takes at once."""
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]
