"""The row mirror: what else was inserted, once more beside the database, to be put back after a loss.

It is written as the log's mirror is (mirror.py): `[size u32][crc32 u32][MessagePack [commit, table, values]]…`.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from o_tui.guardian.storage.findings import read_file
from o_tui.guardian.storage.segments import SEGMENT_BYTES, SegmentWriter

ROW_SEGMENTS = 8
"""How many files of the row mirror stay."""
_ROW = struct.Struct(">II")


class RowMirror(SegmentWriter):
    """Its open end, with the rows that the running transaction has inserted."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        super().__init__(folder, segment_bytes=segment_bytes)
        self._pending: list[bytes] = []
        self._settled = 0

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
        self.write(b"".join(self._pending))
        self._pending.clear()
        self._settled = 0

    def next_path(self) -> Path:
        """Newer than the last one by its name too, whatever has become of the clock: the oldest names are removed."""
        names = (path.stem.removeprefix("rows_") for path in row_paths(self.folder))
        last_ns = max((int(name) for name in names if name.isdecimal()), default=0)
        return self.folder / f"rows_{max(time.time_ns(), last_ns + 1):020d}.log"

    def _rotate(self) -> None:
        super()._rotate()
        for old in row_paths(self.folder)[:-ROW_SEGMENTS]:
            old.unlink()


def row_paths(folder: Path) -> list[Path]:
    """The files of the row mirror, oldest first."""
    return sorted(folder.glob("rows_*.log"))


def read_rows(path: Path) -> Iterator[tuple[int, str, list[Any]] | None]:
    """The records of a file of the row mirror; a last None means that something behind is damaged."""
    for payload in _payloads(path):
        yield None if payload is None else _decode_row(payload)


def rows_whole(path: Path) -> bool:
    """Whether every record of a file of the row mirror is what was written."""
    return all(payload is not None for payload in _payloads(path))


def _payloads(path: Path) -> Iterator[bytes | None]:
    try:
        raw = read_file(path)
    except OSError:  # as good as damaged
        yield None
        return
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
