"""The `.ckpt` format: a header of 256 bytes and zstd frames (docs/STORAGE.md has the table).

What the frames hold is the body: `u32 little-endian` size of an index, the index (MessagePack: a list of
`{name, size, sha256}`), then the sections one after the other. A skippable frame behind them lists the chunks that the
content consists of, so that a delta can be made without reading the content again.

A delta's body has two sections of its own: `recipe` (the index of what it stands for, and runs over the content of the
base) and `data` (the bytes that the base does not have). Its base is always a full checkpoint.

All of it goes through descriptors: the extension reads and writes at offsets, whatever the file's position is.
"""

from __future__ import annotations

import hashlib
import os
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Annotated

import msgspec

from o_tui import _native
from o_tui.protocol.errors import CorruptError

MAGIC = b"O_CKPT_V2".ljust(16, b"\0")
VERSION = 2
HEADER_BYTES = 256
BODY_LIMIT_BYTES = 2 * 1024**3
"""Largest body that is read."""
FLAG_ENCRYPTED = 1
FLAG_DELTA = 2
DELTA_SHARE = 0.3
"""A delta that would bring more of the content than this anew is not worth its base."""
_INDEX_LIMIT_BYTES = 1024 * 1024
_RECIPE_LIMIT_BYTES = 64 * 1024 * 1024
_RECIPE, _DATA = "recipe", "data"
_FIELDS = struct.Struct("<16sII Q16s QQQ 32s32s32s20sI")


class Section(msgspec.Struct, frozen=True):
    """One entry of the index."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _Recipe(msgspec.Struct, frozen=True):
    """What a delta stands for: the index, and runs of (place in the base's content or 2**64-1, size), u64 each."""

    index: bytes
    runs: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 256 bytes say."""

    checkpoint_id: uuid.UUID
    time_ns: int
    seq: int
    compressed_bytes: int
    uncompressed_bytes: int
    data_sha256: bytes
    chain_digest: bytes
    base_digest: bytes = bytes(32)
    revision: bytes = bytes(20)
    flags: int = 0

    def pack(self) -> bytes:
        """The header as it stands in the file."""
        fields = _FIELDS.pack(
            MAGIC,
            VERSION,
            HEADER_BYTES,
            self.time_ns,
            self.checkpoint_id.bytes,
            self.seq,
            self.compressed_bytes,
            self.uncompressed_bytes,
            self.data_sha256,
            self.chain_digest,
            self.base_digest,
            self.revision,
            self.flags,
        )
        return (fields + hashlib.sha256(fields).digest()).ljust(HEADER_BYTES, b"\0")

    @classmethod
    def unpack(cls, raw: bytes) -> Header:
        """Reads a header.

        Raises:
            CorruptError: It is short, of another format or version, or damaged.
        """
        if len(raw) < HEADER_BYTES:
            raise CorruptError(f"a checkpoint's header has {HEADER_BYTES} bytes, here are {len(raw)}")
        if raw[:16] != MAGIC:
            raise CorruptError("this is not a checkpoint of O", hint="a .ckpt file starts with O_CKPT_V2")
        fields = raw[: _FIELDS.size]
        _magic, version, size, time_ns, identity, seq, packed, whole, sha, chain, base, revision, flags = (
            _FIELDS.unpack(fields)
        )
        if version != VERSION:
            raise CorruptError(f"a checkpoint of version {version}; this O reads version {VERSION}")
        seal = hashlib.sha256(fields).digest().ljust(HEADER_BYTES - _FIELDS.size, b"\0")
        if size != HEADER_BYTES or raw[_FIELDS.size : HEADER_BYTES] != seal:
            raise CorruptError("a checkpoint's header is damaged")
        return cls(uuid.UUID(bytes=identity), time_ns, seq, packed, whole, sha, chain, base, revision, flags)

    @property
    def is_delta(self) -> bool:
        """It stands only together with its base."""
        return bool(self.flags & FLAG_DELTA)


def write(file: IO[bytes], sections: Mapping[str, bytes], header: Header, base: IO[bytes] | None = None) -> Header:
    """Writes a checkpoint at the start of `file`; returns the header with sizes, digests and flags filled in.

    It becomes a delta where `base` (an open full checkpoint) is given, whole as far as it is needed, and has most of
    the content; otherwise a full one. The file is neither flushed to the disk nor renamed: that is the vault's part.
    """
    contents = list(sections.values())
    digests, chunks = _native.fingerprint(contents)
    index = _encode_index(
        [Section(name, len(data), sha256) for (name, data), sha256 in zip(sections.items(), digests, strict=True)]
    )
    whole = 4 + len(index) + sum(map(len, contents))
    full = replace(header, flags=header.flags & ~FLAG_DELTA, base_digest=bytes(32), uncompressed_bytes=whole)
    delta = _delta(contents, index, chunks, base) if base is not None else None
    if delta is None:
        parts = [struct.pack("<I", len(index)), index, *contents]
        return _put(file, full, _native.pack(file.fileno(), HEADER_BYTES, parts, chunks))
    base_digest, own = delta
    index = _encode_index([Section(name, len(data), hashlib.sha256(data).digest()) for name, data in own.items()])
    parts = [struct.pack("<I", len(index)), index, *own.values()]
    full = replace(full, flags=full.flags | FLAG_DELTA, base_digest=base_digest)
    return _put(file, full, _native.pack(file.fileno(), HEADER_BYTES, parts))


def _encode_index(sections: Sequence[Section]) -> bytes:
    return msgspec.msgpack.encode(sections)


def _put(file: IO[bytes], header: Header, packed: tuple[int, int, bytes]) -> Header:
    header = replace(header, compressed_bytes=packed[0], data_sha256=packed[2])
    os.pwrite(file.fileno(), header.pack(), 0)
    return header


def _delta(
    contents: Sequence[bytes], index: bytes, chunks: bytes, base: IO[bytes]
) -> tuple[bytes, dict[str, bytes]] | None:
    """The base's digest and a delta's own sections; None where a full checkpoint is better, or the base is no base."""
    limit = int(sum(map(len, contents)) * DELTA_SHARE)
    try:
        header = read_header(base)
        if header.flags:
            return None
        known = _native.Body(base.fileno(), HEADER_BYTES, header.compressed_bytes).tail()
        found = _native.delta(contents, chunks, known, limit)
    except (CorruptError, ValueError, OSError):
        return None  # the vault finds the damage when it reads that file; what is written now must not depend on it
    if found is None:
        return None
    runs, data = found
    return header.data_sha256, {_RECIPE: msgspec.msgpack.encode(_Recipe(index, runs)), _DATA: data}


def read_header(file: IO[bytes]) -> Header:
    """The header of an open file; raises CorruptError."""
    return Header.unpack(os.pread(file.fileno(), HEADER_BYTES, 0))


def verify(file: IO[bytes]) -> Header:
    """Checks the header and the SHA-256 of the compressed data without unpacking it; raises CorruptError."""
    header = read_header(file)
    with _corrupt():
        if _native.file_sha256(file.fileno(), HEADER_BYTES, header.compressed_bytes) != header.data_sha256:
            raise CorruptError("a checkpoint's data does not have its digest")
    return header


def read(file: IO[bytes], base: IO[bytes] | None = None) -> tuple[Header, dict[str, memoryview]]:
    """Reads and verifies a whole checkpoint, a delta over its `base`; the sections are views of one buffer.

    Raises:
        CorruptError: Anything in it does not have its digest or its size, or it is a delta of another base.
    """
    opened = _open(file, base)
    with _corrupt():
        content = opened.body.unpack(opened.at, opened.named, opened.sha256)
    return opened.header, _views(opened.sections, content)


def inspect(file: IO[bytes], base: IO[bytes] | None = None) -> tuple[Header, list[Section]]:
    """Verifies as `read` does and keeps nothing: memory stays bounded. Raises CorruptError."""
    opened = _open(file, base)
    with _corrupt():
        opened.body.check(opened.at, opened.named, opened.sha256)
    return opened.header, opened.sections


def flatten(file: IO[bytes], base: IO[bytes], target: IO[bytes]) -> Header:
    """Writes what a delta stands for as a full checkpoint with the same id into `target`; raises CorruptError.

    Its digests are compared after it is written, so that memory stays bounded.
    """
    opened = _open(file, base)
    header = replace(opened.header, flags=opened.header.flags & ~FLAG_DELTA, base_digest=bytes(32))
    head = struct.pack("<I", len(opened.index)) + opened.index
    with _corrupt():
        written = _put(target, header, opened.body.repack(target.fileno(), HEADER_BYTES, head))
    inspect(target)
    return written


@dataclass(frozen=True, slots=True)
class _Opened:
    """A checkpoint that can be unpacked: its sections begin at `at` of the body.

    Attributes:
        sha256: Of the file that is still to be compared; None where it has been.
    """

    header: Header
    body: _native.Body
    index: bytes
    sections: list[Section]
    at: int
    sha256: bytes | None

    @property
    def named(self) -> list[tuple[str, int, bytes]]:
        """The sections as the extension takes them."""
        return [(section.name, section.size, section.sha256) for section in self.sections]


def _open(file: IO[bytes], base: IO[bytes] | None) -> _Opened:
    header = read_header(file)
    if header.flags & ~FLAG_DELTA:
        raise CorruptError(f"a checkpoint with flags {header.flags:#x}, which this O cannot read")
    if header.uncompressed_bytes > BODY_LIMIT_BYTES:
        raise CorruptError("a checkpoint that says it is larger than 2 GiB")
    if header.is_delta and base is None:
        raise CorruptError("a checkpoint that is a delta (flags 0x2), without its base")
    own = _open_full(file, header)
    if base is None or not header.is_delta:
        if own.body.size != header.uncompressed_bytes:
            raise CorruptError("a checkpoint's sizes contradict each other")
        return own
    return _open_delta(own, base)


def _open_full(file: IO[bytes], header: Header) -> _Opened:
    with _corrupt():
        body = _native.Body(file.fileno(), HEADER_BYTES, header.compressed_bytes)
        (size,) = struct.unpack("<I", body.read(0, 4))
        if size > _INDEX_LIMIT_BYTES:
            raise CorruptError("a checkpoint's index is too large")
        index = body.read(4, size)
    return _Opened(header, body, index, _decode_index(index), 4 + size, header.data_sha256)


def _open_delta(own: _Opened, base: IO[bytes]) -> _Opened:
    header = own.header
    base_header = read_header(base)
    if base_header.data_sha256 != header.base_digest or base_header.flags:
        raise CorruptError("a checkpoint that is a delta of another base")
    if [section.name for section in own.sections] != [_RECIPE, _DATA] or own.sections[0].size > _RECIPE_LIMIT_BYTES:
        raise CorruptError("a checkpoint's delta is damaged")
    with _corrupt():
        parts = _views(own.sections, own.body.unpack(own.at, own.named, own.sha256))
        recipe = msgspec.msgpack.decode(parts[_RECIPE], type=_Recipe)
        below = _open_full(base, base_header)
        body = below.body.patched(below.at, recipe.runs, bytes(parts[_DATA]))
    if 4 + len(recipe.index) + body.size != header.uncompressed_bytes:
        raise CorruptError("a checkpoint's sizes contradict each other")
    return _Opened(header, body, recipe.index, _decode_index(recipe.index), 0, None)


def _decode_index(index: bytes) -> list[Section]:
    with _corrupt():
        sections = msgspec.msgpack.decode(index, type=list[Section])
    if len({section.name for section in sections}) != len(sections):
        raise CorruptError("a section of a checkpoint is there twice")
    return sections


def _views(sections: Sequence[Section], content: bytes) -> dict[str, memoryview]:
    views: dict[str, memoryview] = {}
    position = 0
    for section in sections:
        views[section.name] = memoryview(content)[position : position + section.size]
        position += section.size
    return views


@contextmanager
def _corrupt() -> Iterator[None]:
    """What the extension and the decoder refuse, as our own error."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise CorruptError(f"a checkpoint is damaged: {error}") from error
