"""The `.ckpt` format: a header of 256 bytes and one zstd frame (docs/STORAGE.md has the table).

Inside the zstd frame is the body: `u32 little-endian` size of an index, the index (MessagePack: a list of
`{name, size, sha256}`), then the sections one after the other.
"""

from __future__ import annotations

import hashlib
import io
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Annotated

import msgspec
import zstandard

from o_tui.protocol.errors import CorruptError

MAGIC = b"O_CKPT_V2".ljust(16, b"\0")
VERSION = 2
HEADER_BYTES = 256
BODY_LIMIT_BYTES = 2 * 1024**3
"""Largest body that is read."""
FLAG_ENCRYPTED = 1
FLAG_DELTA = 2
_INDEX_LIMIT_BYTES = 1024 * 1024
_FIELDS = struct.Struct("<16sII Q16s QQQ 32s32s32s20sI")
_LEVEL = 1


class _Section(msgspec.Struct, frozen=True):
    """One entry of the index."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: bytes


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


def write(file: IO[bytes], sections: Mapping[str, bytes], header: Header) -> Header:
    """Writes a whole checkpoint at the start of `file`; returns the header with sizes and digests filled in.

    The file is neither flushed to the disk nor renamed: that is the vault's part.
    """
    index = msgspec.msgpack.encode(
        [_Section(name, len(data), hashlib.sha256(data).digest()) for name, data in sections.items()]
    )
    parts = [struct.pack("<I", len(index)), index, *sections.values()]
    size = sum(len(part) for part in parts)
    digest = hashlib.sha256()
    packed = 0
    file.seek(HEADER_BYTES)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compressobj(size=size)
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), 1 << 20):
            out = compressor.compress(view[start : start + (1 << 20)])
            digest.update(out)
            packed += file.write(out)
    out = compressor.flush()
    digest.update(out)
    packed += file.write(out)
    full = Header(
        header.checkpoint_id,
        header.time_ns,
        header.seq,
        packed,
        size,
        digest.digest(),
        header.chain_digest,
        header.base_digest,
        header.revision,
        header.flags,
    )
    file.seek(0)
    file.write(full.pack())
    file.flush()
    return full


def read_header(file: IO[bytes]) -> Header:
    """The header of an open file; raises CorruptError."""
    file.seek(0)
    return Header.unpack(file.read(HEADER_BYTES))


def verify(file: IO[bytes]) -> Header:
    """Checks the header and the SHA-256 of the compressed data without unpacking it; raises CorruptError."""
    header = read_header(file)
    digest = hashlib.sha256()
    left = header.compressed_bytes
    while left:
        piece = file.read(min(left, 1 << 20))
        if not piece:
            raise CorruptError("a checkpoint is cut off")
        digest.update(piece)
        left -= len(piece)
    if digest.digest() != header.data_sha256:
        raise CorruptError("a checkpoint's data does not have its digest")
    return header


def read(file: IO[bytes]) -> tuple[Header, dict[str, memoryview]]:
    """Reads and verifies a whole checkpoint; the sections are views of one buffer.

    Raises:
        CorruptError: Anything in it does not have its digest or its size.
    """
    header = read_header(file)
    if header.flags:
        raise CorruptError(f"a checkpoint with flags {header.flags:#x}, which this O cannot read")
    if header.uncompressed_bytes > BODY_LIMIT_BYTES:
        raise CorruptError("a checkpoint that says it is larger than 2 GiB")
    # what the header says is not allocated before it is known to be there
    if file.seek(0, io.SEEK_END) - HEADER_BYTES < header.compressed_bytes:
        raise CorruptError("a checkpoint is cut off")
    file.seek(HEADER_BYTES)
    packed = file.read(header.compressed_bytes)
    if len(packed) != header.compressed_bytes or hashlib.sha256(packed).digest() != header.data_sha256:
        raise CorruptError("a checkpoint's data does not have its digest")
    try:
        # the frame's own size is checked first: a digest proves integrity, not good will
        announced = zstandard.get_frame_parameters(packed).content_size
        if announced != header.uncompressed_bytes:
            raise CorruptError("a checkpoint's sizes contradict each other")
        body = memoryview(zstandard.ZstdDecompressor().decompress(packed))
    except zstandard.ZstdError as error:
        raise CorruptError(f"a checkpoint's data cannot be unpacked: {error}") from error
    return header, _sections(body)


def _sections(body: memoryview) -> dict[str, memoryview]:
    try:
        (index_size,) = struct.unpack_from("<I", body)
        if index_size > _INDEX_LIMIT_BYTES:
            raise CorruptError("a checkpoint's index is too large")
        index = msgspec.msgpack.decode(body[4 : 4 + index_size], type=list[_Section])
    except (struct.error, msgspec.DecodeError) as error:
        raise CorruptError(f"a checkpoint's index is damaged: {error}") from error
    position = 4 + index_size
    sections: dict[str, memoryview] = {}
    for item in index:
        data = body[position : position + item.size]
        if item.name in sections or hashlib.sha256(data).digest() != item.sha256:
            raise CorruptError(f"section {item.name[:40]!r} of a checkpoint is there twice or does not have its digest")
        sections[item.name] = data
        position += item.size
    if position != len(body):
        raise CorruptError("a checkpoint's sections do not have its size")
    return sections
