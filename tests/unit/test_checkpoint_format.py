"""The `.ckpt` format: what is written is read, and no damage passes."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import IO

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError
from tests.support.patience import PATIENCE_S

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


def opened(raw: bytes) -> IO[bytes]:
    """A file without a name that holds these bytes."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when nobody has it any more
    file.write(raw)
    file.flush()
    return file


def content(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def written(sections: dict[str, bytes], base: IO[bytes] | None = None) -> bytes:
    with tempfile.TemporaryFile() as file:
        header = checkpoint.write(file, sections, HEADER, base)
        assert checkpoint.read_header(file) == header
        return content(file)


def plain(sections: dict[str, memoryview]) -> dict[str, bytes]:
    return {name: bytes(data) for name, data in sections.items()}


def with_body(body: bytes, **changes: object) -> IO[bytes]:
    """A file that is right in every digest around a body that may be wrong."""
    packed = zstandard.ZstdCompressor().compress(body)
    fields = {
        "compressed_bytes": len(packed),
        "uncompressed_bytes": len(body),
        "data_sha256": hashlib.sha256(packed).digest(),
    }
    header = checkpoint.Header(**(vars_of(HEADER) | fields | changes))
    return opened(header.pack() + packed)


def vars_of(header: checkpoint.Header) -> dict[str, object]:
    return {name: getattr(header, name) for name in header.__slots__}


def with_index(index: object, rest: bytes = b"") -> IO[bytes]:
    packed = msgspec.msgpack.encode(index)
    return with_body(struct.pack("<I", len(packed)) + packed + rest)


@settings(max_examples=40)
@given(st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=9), st.binary(max_size=3000)))
def test_what_is_written_is_read(sections: dict[str, bytes]) -> None:
    file = opened(written(sections))
    header, got = checkpoint.read(file)
    assert plain(got) == sections
    assert list(got) == list(sections)
    assert header == checkpoint.verify(file)
    assert checkpoint.inspect(file)[0] == header
    assert (header.seq, header.revision, header.chain_digest) == (42, HEADER.revision, HEADER.chain_digest)


def test_the_header_stands_where_it_should() -> None:
    raw = written(SMALL)
    assert raw[:16] == b"O_CKPT_V2" + bytes(7)
    assert struct.unpack_from("<II", raw, 16) == (2, 256)
    assert struct.unpack_from("<Q", raw, 24) == (HEADER.time_ns,)
    assert raw[32:48] == HEADER.checkpoint_id.bytes
    assert struct.unpack_from("<QQQ", raw, 48) == (42, len(raw) - 256, len(unpacked(raw)))
    assert raw[72:104] == hashlib.sha256(raw[256:]).digest()
    assert raw[104:136] == HEADER.chain_digest
    assert raw[136:168] == bytes(32)
    assert raw[168:188] == HEADER.revision
    assert raw[192:224] == hashlib.sha256(raw[:192]).digest()
    assert raw[224:256] == bytes(32)


def unpacked(raw: bytes) -> bytes:
    """The body as a plain reader of zstd sees it."""
    with zstandard.ZstdDecompressor().stream_reader(raw[256:], read_across_frames=True) as reader:
        return reader.read()


def test_any_reader_of_zstd_reads_the_body() -> None:
    sections = {"text": b"word " * 900_000, "vectors": random.Random(1).randbytes(5_000_000), "none": b""}
    body = unpacked(written(sections))
    (size,) = struct.unpack_from("<I", body)
    index = msgspec.msgpack.decode(body[4 : 4 + size])
    assert [(item["name"], item["size"]) for item in index] == [(name, len(data)) for name, data in sections.items()]
    assert body[4 + size :] == b"".join(sections.values())
    for item in index:
        assert item["sha256"] == hashlib.sha256(sections[item["name"]]).digest()


def test_a_file_of_one_frame_is_still_read() -> None:
    """Written before bodies were cut into frames."""
    path = Path(__file__).parents[1] / "data" / "one_frame.ckpt"
    with path.open("rb") as file:
        header, got = checkpoint.read(file)
        assert plain(got) == SMALL
        assert header == checkpoint.verify(file) == checkpoint.inspect(file)[0]
        assert header.seq == 42


def test_large_sections_come_back(tmp_path: Path) -> None:
    sections = {"vectors": bytes(range(256)) * 20_000, "text": b"word " * 300_000}
    path = tmp_path / "a.ckpt"
    with path.open("w+b") as file:
        checkpoint.write(file, sections, HEADER)
        _, got = checkpoint.read(file)
    assert {name: bytes(data) for name, data in got.items()} == sections


def looks(file: IO[bytes], base: IO[bytes] | None = None) -> None:
    """Every way of looking at a damaged file finds the damage."""
    with pytest.raises(CorruptError):
        checkpoint.read(file, base)
    with pytest.raises(CorruptError):
        checkpoint.inspect(file, base)
    with pytest.raises(CorruptError):
        checkpoint.verify(file)


def test_every_bit_flip_is_found() -> None:
    raw = written(SMALL)
    file = opened(raw)
    for bit in range(8 * len(raw)):
        at = bit // 8
        os.pwrite(file.fileno(), bytes([raw[at] ^ 1 << bit % 8]), at)
        looks(file)
        os.pwrite(file.fileno(), raw[at : at + 1], at)
    checkpoint.read(file)


def test_every_cut_is_found() -> None:
    raw = written(SMALL)
    file = opened(raw)
    for length in reversed(range(len(raw))):
        os.truncate(file.fileno(), length)
        looks(file)


def words(size: int) -> bytes:
    choose = random.Random(4)
    return b" ".join(choose.choices([b"the", b"harbour", b"is", b"closed", b"on", b"mondays"], k=size // 6))


BASE = {"meta": b"1", "memory": random.Random(2).randbytes(400_000), "text": words(300_000)}
EDITED = {
    **BASE,
    "meta": b"22",
    "memory": BASE["memory"][:150_000] + b"an edit" + BASE["memory"][150_100:],
    "new": b"a section that was not there",
}


@settings(max_examples=30)
@given(st.data())
def test_a_delta_is_its_base_and_what_was_edited(data: st.DataObject) -> None:
    base = opened(written(BASE))
    sections = dict(BASE)
    for _ in range(data.draw(st.integers(0, 6))):
        name = data.draw(st.sampled_from(list(sections)))
        at = data.draw(st.integers(0, len(sections[name])))
        gone = data.draw(st.integers(0, 2_000))
        sections[name] = sections[name][:at] + data.draw(st.binary(max_size=300)) + sections[name][at + gone :]
    raw = written(sections, base)
    header, got = checkpoint.read(opened(raw), base)
    assert plain(got) == sections
    assert header.is_delta
    assert header.base_digest == checkpoint.read_header(base).data_sha256
    assert len(raw) < 0.3 * len(content(base)) + 4_000
    with tempfile.TemporaryFile() as whole:
        flat = checkpoint.flatten(opened(raw), base, whole)
        assert (flat.flags, flat.checkpoint_id, flat.seq) == (0, header.checkpoint_id, header.seq)
        assert plain(checkpoint.read(whole)[1]) == sections
        assert checkpoint.verify(whole) == flat


def test_a_delta_that_does_not_pay_becomes_a_full_one() -> None:
    base = opened(written(BASE))
    other = {"memory": random.Random(3).randbytes(400_000)}
    assert checkpoint.read(opened(written(other, base)))[0].flags == 0


@pytest.mark.parametrize("damage", ["empty", "flipped", "delta", "of one frame"])
def test_what_is_no_base_makes_a_full_one(damage: str) -> None:
    raw = bytearray(written(BASE))
    if damage == "flipped":
        raw[-40] ^= 1  # in the list of chunks
    elif damage == "empty":
        raw.clear()
    elif damage == "delta":
        raw = bytearray(written(EDITED, opened(bytes(raw))))
    else:
        raw = bytearray((Path(__file__).parents[1] / "data" / "one_frame.ckpt").read_bytes())
    header, got = checkpoint.read(opened(written(EDITED, opened(bytes(raw)))))
    assert (header.flags, plain(got)) == (0, EDITED)


def test_a_delta_needs_its_own_base() -> None:
    raw = written(EDITED, opened(written(BASE)))
    other = opened(written({**BASE, "meta": b"2"}))
    for base in (None, other, opened(raw), opened(b"")):
        with pytest.raises(CorruptError):
            checkpoint.read(opened(raw), base)


@settings(max_examples=200)
@given(st.data())
def test_flipped_bits_of_a_delta_and_its_base_are_found(data: st.DataObject) -> None:
    base = written(BASE)
    raw = written(EDITED, opened(base))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    looks(opened(bytes(flipped)), opened(base))
    # of the base only what the delta has from it is read: it is right, or it is refused
    bit = data.draw(st.integers(0, 8 * len(base) - 1))
    flipped = bytearray(base)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        assert plain(checkpoint.read(opened(raw), opened(bytes(flipped)))[1]) == EDITED
    except CorruptError:
        pass
    with pytest.raises(CorruptError):
        checkpoint.verify(opened(bytes(flipped)))


def recipe(runs: list[tuple[int, int]], size: int) -> dict[str, bytes]:
    index = msgspec.msgpack.encode([entry("x", b"", size)])
    packed = b"".join(struct.pack("<QQ", *run) for run in runs)
    return {"recipe": msgspec.msgpack.encode({"index": index, "runs": packed}), "data": b"12345"}


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(0, 0)],
        [(0, 1 << 62)],
        [((1 << 64) - 2, 2)],
        [((1 << 64) - 1, 6)],
        [((1 << 64) - 1, 4)],
        [(0, 10)] * 70_000 + [((1 << 64) - 1, 5)],
        [(0, 700_000)] * 4_000 + [((1 << 64) - 1, 5)],
        [(700_000, 500_000), ((1 << 64) - 1, 5)],
    ],
)
def test_a_recipe_that_lies(runs: list[tuple[int, int]]) -> None:
    base = opened(written(BASE))
    raw = written(recipe(runs, sum(size for _from, size in runs)))
    header = checkpoint.read_header(opened(raw))
    changes = {"flags": checkpoint.FLAG_DELTA, "base_digest": checkpoint.read_header(base).data_sha256}
    lying = checkpoint.Header(**(vars_of(header) | changes)).pack()
    with pytest.raises(CorruptError):
        checkpoint.read(opened(lying + raw[256:]), base)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    """A frame that says 2 GiB in blocks that cannot hold it, or that are too many."""
    head = struct.pack("<IBQ", 0xFD2FB528, 0xE0, 2 << 30)
    block = (1 << 10 << 3 | 1).to_bytes(3, "little") + bytes(1 << 10)
    zeros = b"".join((128 << 10 << 3 | 1 << 1 | last).to_bytes(3, "little") + b"\0" for last in [0] * 16_384 + [1])
    big = struct.pack("<IBQ", 0xFD2FB528, 0xE0, (2 << 30) + (128 << 10)) + zeros
    for data in (head + block, big):
        fields = {"compressed_bytes": len(data), "data_sha256": hashlib.sha256(data).digest()}
        header = checkpoint.Header(**(vars_of(HEADER) | fields | {"uncompressed_bytes": 2 << 30}))
        with pytest.raises(CorruptError, match="says"):
            checkpoint.read(opened(header.pack() + data))


HUGE_FRAME = """
import hashlib, msgspec, resource, struct, sys, tempfile, uuid
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError
from tests.support.patience import PATIENCE_S
each = int(sys.argv[1]) << 20
zeros = {"size": each, "sha256": hashlib.sha256(bytes(each)).digest()}
index = msgspec.msgpack.encode([{"name": f"s{number}"} | zeros for number in range(4)])
head = struct.pack("<I", len(index)) + index
repeats = [128 << 10 << 3 | 1 << 1] * (4 * each >> 17)
repeats[-1] |= 1
data = struct.pack("<IBQ", 0xFD2FB528, 0xE0, len(head) + 4 * each) + (len(head) << 3).to_bytes(3, "little") + head
data += b"".join(repeat.to_bytes(3, "little") + b"\\0" for repeat in repeats)
sizes = {"compressed_bytes": len(data), "uncompressed_bytes": len(head) + 4 * each}
sizes["data_sha256"] = hashlib.sha256(data).digest()
header = checkpoint.Header(uuid.uuid4(), 1, 1, **sizes, chain_digest=bytes(32))
with tempfile.TemporaryFile() as file:
    file.write(header.pack() + data)
    file.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        checkpoint.inspect(file)
    except CorruptError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_a_file_that_is_small_and_says_much_takes_little_memory() -> None:
    """One frame of zeros: each thread that reads a section of it would hold all of it."""

    def taken(each_mb: int) -> tuple[str, int]:
        command = [sys.executable, "-c", HUGE_FRAME, str(each_mb)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        *said, mebibytes = done.stdout.splitlines()
        return " ".join(said), int(mebibytes)

    text, mebibytes = taken(256)
    assert "says it is larger than 128 MiB" in text and mebibytes < 32
    text, mebibytes = taken(24)
    assert not text and mebibytes < 140


def test_other_formats_and_versions_are_named() -> None:
    with pytest.raises(CorruptError, match="not a checkpoint") as caught:
        checkpoint.read(opened(b"PK\x03\x04" + bytes(400)))
    assert "O_CKPT_V2" in caught.value.hint
    raw = bytearray(written(SMALL))
    raw[16] = 3
    raw[192:224] = hashlib.sha256(raw[:192]).digest()
    with pytest.raises(CorruptError, match="version 3; this O reads version 2"):
        checkpoint.read(opened(bytes(raw)))
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
        checkpoint.read(opened(header.pack() + data))
