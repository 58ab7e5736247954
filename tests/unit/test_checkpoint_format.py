"""The `.ckpt` format: what is written is read, and no damage passes."""

from __future__ import annotations

import hashlib
import io
import struct
import uuid
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError

HEADER = checkpoint.Header(
    checkpoint_id=uuid.UUID(int=0x0123456789ABCDEF0123456789ABCDEF),
    time_ns=1_700_000_000_000_000_000,
    seq=42,
    compressed_bytes=0,
    uncompressed_bytes=0,
    data_sha256=bytes(32),
    chain_digest=bytes(range(32)),
    revision=bytes(range(20)),
)
SMALL = {"meta": b"\x81\xa1k\x01", "memory": b"some text " * 5, "empty": b""}


def written(sections: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    header = checkpoint.write(file, sections, HEADER)
    assert checkpoint.read_header(file) == header
    return file.getvalue()


def with_body(body: bytes, **changes: object) -> io.BytesIO:
    """A file that is right in every digest around a body that may be wrong."""
    packed = zstandard.ZstdCompressor().compress(body)
    fields = {
        "compressed_bytes": len(packed),
        "uncompressed_bytes": len(body),
        "data_sha256": hashlib.sha256(packed).digest(),
    }
    header = checkpoint.Header(**(vars_of(HEADER) | fields | changes))
    return io.BytesIO(header.pack() + packed)


def vars_of(header: checkpoint.Header) -> dict[str, object]:
    return {name: getattr(header, name) for name in header.__slots__}


def with_index(index: object, rest: bytes = b"") -> io.BytesIO:
    packed = msgspec.msgpack.encode(index)
    return with_body(struct.pack("<I", len(packed)) + packed + rest)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=9), st.binary(max_size=3000)))
def test_what_is_written_is_read(sections: dict[str, bytes]) -> None:
    file = io.BytesIO(written(sections))
    header, got = checkpoint.read(file)
    assert {name: bytes(data) for name, data in got.items()} == sections
    assert list(got) == list(sections)
    assert header == checkpoint.verify(file)
    assert (header.seq, header.revision, header.chain_digest) == (42, HEADER.revision, HEADER.chain_digest)


def test_the_header_stands_where_it_should() -> None:
    raw = written(SMALL)
    assert raw[:16] == b"O_CKPT_V2" + bytes(7)
    assert struct.unpack_from("<II", raw, 16) == (2, 256)
    assert struct.unpack_from("<Q", raw, 24) == (HEADER.time_ns,)
    assert raw[32:48] == HEADER.checkpoint_id.bytes
    assert struct.unpack_from("<QQQ", raw, 48) == (42, len(raw) - 256, len(zstandard.decompress(raw[256:])))
    assert raw[72:104] == hashlib.sha256(raw[256:]).digest()
    assert raw[104:136] == HEADER.chain_digest
    assert raw[136:168] == bytes(32)
    assert raw[168:188] == HEADER.revision
    assert raw[192:224] == hashlib.sha256(raw[:192]).digest()
    assert raw[224:256] == bytes(32)


def test_large_sections_come_back(tmp_path: Path) -> None:
    sections = {"vectors": bytes(range(256)) * 20_000, "text": b"word " * 300_000}
    path = tmp_path / "a.ckpt"
    with path.open("w+b") as file:
        checkpoint.write(file, sections, HEADER)
        _, got = checkpoint.read(file)
    assert {name: bytes(data) for name, data in got.items()} == sections


def test_every_bit_flip_is_found() -> None:
    raw = bytearray(written(SMALL))
    for bit in range(8 * len(raw)):
        raw[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            checkpoint.read(io.BytesIO(raw))
        with pytest.raises(CorruptError):
            checkpoint.verify(io.BytesIO(raw))
        raw[bit // 8] ^= 1 << bit % 8
    checkpoint.read(io.BytesIO(raw))


def test_every_cut_is_found() -> None:
    raw = written(SMALL)
    for length in range(len(raw)):
        for look in (checkpoint.read, checkpoint.verify):
            with pytest.raises(CorruptError):
                look(io.BytesIO(raw[:length]))


def test_other_formats_and_versions_are_named() -> None:
    with pytest.raises(CorruptError, match="not a checkpoint") as caught:
        checkpoint.read(io.BytesIO(b"PK\x03\x04" + bytes(400)))
    assert "O_CKPT_V2" in caught.value.hint
    raw = bytearray(written(SMALL))
    raw[16] = 3
    raw[192:224] = hashlib.sha256(raw[:192]).digest()
    with pytest.raises(CorruptError, match="version 3; this O reads version 2"):
        checkpoint.read(io.BytesIO(raw))
    for flags in (checkpoint.FLAG_ENCRYPTED, checkpoint.FLAG_DELTA, 8):
        with pytest.raises(CorruptError, match="flags"):
            checkpoint.read(with_body(b"", flags=flags))


def test_sizes_that_lie() -> None:
    for size in (0, 1, 10_000, checkpoint.BODY_LIMIT_BYTES, checkpoint.BODY_LIMIT_BYTES + 1, (1 << 64) - 1):
        with pytest.raises(CorruptError):
            checkpoint.read(with_body(b"x" * 99, uncompressed_bytes=size))
    for size in (0, 5, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
        with pytest.raises(CorruptError):
            checkpoint.read(with_body(b"x" * 99, compressed_bytes=size))
        with pytest.raises(CorruptError):
            checkpoint.verify(with_body(b"x" * 99, compressed_bytes=size))


def entry(name: object, data: bytes, size: object = None) -> dict[str, object]:
    return {"name": name, "size": len(data) if size is None else size, "sha256": hashlib.sha256(data).digest()}


@pytest.mark.parametrize(
    ("index", "rest"),
    [
        (5, b""),
        ({"name": "x"}, b""),
        ([5], b""),
        ([{}], b""),
        ([entry(5, b"")], b""),
        ([entry(["x"], b"")], b""),
        ([entry("x", b"abc", 4)], b"abc"),
        ([entry("x", b"abc", 2)], b"abc"),
        ([entry("x", b"", -1)], b"abc"),
        ([entry("x", b"ab", -1)], b"abc"),
        ([entry("x", b"abc", 2.5)], b"abc"),
        ([entry("x", b"abc", 1 << 63)], b"abc"),
        ([entry("x", b"abc"), entry("x", b"abc")], b"abcabc"),
        ([entry("x", b"abc")], b"abc and more"),
    ],
)
def test_an_index_that_lies(index: object, rest: bytes) -> None:
    with pytest.raises(CorruptError):
        checkpoint.read(with_index(index, rest))


@given(st.binary(max_size=60))
def test_any_body_is_sections_or_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptError):
        checkpoint.read(with_body(body))


def test_data_that_is_not_zstd() -> None:
    data = b"these bytes are no zstd frame"
    header = checkpoint.Header(
        **(vars_of(HEADER) | {"compressed_bytes": len(data), "data_sha256": hashlib.sha256(data).digest()})
    )
    with pytest.raises(CorruptError):
        checkpoint.read(io.BytesIO(header.pack() + data))
