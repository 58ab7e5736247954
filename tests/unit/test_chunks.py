"""Payloads larger than a frame: cut, joined, and never more than the limit."""

from __future__ import annotations

import hashlib
import tracemalloc

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.protocol import chunks, frames, messages
from o_tui.protocol.errors import FrameError

METADATA = frames.Metadata(request_id="r", instance="broker")


def split(data: bytes) -> list[frames.Frame]:
    return [frames.decode(payload) for payload in frames.FrameReader().feed(data)]


def large(size: int) -> messages.Result:
    return messages.Result(id=5, ok=True, value="x" * size)


@settings(max_examples=20)
@given(st.integers(0, 900_000))
def test_any_size_comes_back(size: int) -> None:
    message = large(size)
    joiner = chunks.Joiner()
    parts = split(chunks.encode(message, METADATA))
    got = [joiner.add(part) for part in parts]
    assert got[:-1] == [None] * (len(parts) - 1)
    assert got[-1] is not None
    assert (got[-1].data, got[-1].metadata) == (message, METADATA)


def test_what_fits_is_one_frame() -> None:
    message = large(10)
    (frame,) = split(chunks.encode(message))
    assert chunks.Joiner().add(frame) is frame


def test_streams_one_after_the_other() -> None:
    joiner = chunks.Joiner()
    for size in (400_000, 300_000, 3):
        joined = [frame for part in split(chunks.encode(large(size))) if (frame := joiner.add(part))]
        assert [frame.data for frame in joined] == [large(size)]


def test_limits() -> None:
    with pytest.raises(FrameError, match="pass the limit"):
        chunks.encode(large(chunks.WHOLE_LIMIT_BYTES))
    parts = split(chunks.encode(large(600_000)))
    joiner = chunks.Joiner(limit_bytes=300_000)
    joiner.add(parts[0])
    joiner.add(parts[1])
    with pytest.raises(FrameError, match="pass the limit"):
        joiner.add(parts[2])


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 1, 1], [0, 1, 3], [0, 0, 2]])
def test_out_of_order(order: list[int]) -> None:
    parts = split(chunks.encode(large(600_000)))
    joiner = chunks.Joiner()
    with pytest.raises(FrameError, match="out of order"):
        for index in order:
            joiner.add(parts[index])


def test_two_streams_may_not_mix() -> None:
    first, second = split(chunks.encode(large(600_000))), split(chunks.encode(large(600_000)))
    joiner = chunks.Joiner()
    joiner.add(first[0])
    with pytest.raises(FrameError, match="out of order"):
        joiner.add(second[1])


def joined(payload: bytes) -> frames.Frame | None:
    chunk = messages.Chunk(stream=1, index=0, data=payload, last=True, sha256=hashlib.sha256(payload).digest())
    return chunks.Joiner().add(frames.Frame("chunk", 1, chunk, frames.Metadata()))


def test_the_whole_is_checked() -> None:
    parts = split(chunks.encode(large(400_000)))
    damaged = msgspec.structs.replace(parts[0].data, data=b"y" + parts[0].data.data[1:])
    joiner = chunks.Joiner()
    joiner.add(msgspec.structs.replace(parts[0], data=damaged))
    with pytest.raises(FrameError, match="digest"):
        for part in parts[1:]:
            joiner.add(part)
    inner = frames.encode(messages.Chunk(stream=1, index=0, data=b"", last=True))[4:]
    with pytest.raises(FrameError, match="within chunks"):
        joined(inner)


@given(st.binary(max_size=100))
def test_a_whole_of_any_bytes_is_a_frame_error(payload: bytes) -> None:
    with pytest.raises(FrameError):
        joined(payload)


def test_sixteen_megabytes_of_empty_maps_cost_little() -> None:
    count = 15 << 20
    bomb = (
        b"\x84\xa4type\xa6result\xa9timestamp\x01\xa8metadata\x80\xa4data\x83\xa2id\x01\xa2ok\xc3\xa5value\xdd"
        + count.to_bytes(4, "big")
        + b"\x80" * count
    )
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match="too many values"):
            frames.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
