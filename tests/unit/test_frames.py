"""Frames: what goes in comes out, the bytes are what they always were, and whatever else comes is a FrameError.

Golden bytes: `tests/data/frames.txt`. When the format is changed on purpose, `python -m tests.unit.test_frames`
rewrites it; the change is then seen in review. A field that is only added changes the `full` line of its message.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.protocol import frames, messages
from o_tui.protocol.errors import FrameError
from o_tui.protocol.safe_text import Untrusted
from tests.support import fuzz
from tests.support.structs import sample, structs

GOLDEN = fuzz.GOLDEN
TIME_NS = 1_700_000_000_123_456_789
METADATA = frames.Metadata(request_id="r1", instance="main-1", epoch=3)
ANY_MESSAGE = st.sampled_from(sorted(messages.TYPES)).flatmap(lambda name: structs(messages.TYPES[name]))


def payload_of(message: messages.Message, metadata: frames.Metadata = METADATA) -> bytes:
    return frames.encode(message, metadata)[frames.HEADER_BYTES :]


def envelope(data: Any, kind: str = "result") -> bytes:
    """A payload of raw parts, as somebody else may make it."""
    parts = {"type": kind, "timestamp": 1, "data": data, "metadata": {}}
    return msgspec.msgpack.encode(parts)


@pytest.mark.parametrize("name", sorted(messages.TYPES))
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_comes_back(name: str, data: st.DataObject) -> None:
    message = data.draw(structs(messages.TYPES[name]))
    metadata = data.draw(structs(frames.Metadata))
    before = time.time_ns()
    whole = frames.encode(message, metadata)
    assert int.from_bytes(whole[:4], "big") == len(whole) - 4
    frame = frames.decode(whole[4:])
    assert (frame.type, frame.data, frame.metadata) == (name, message, metadata)
    assert before <= frame.timestamp <= time.time_ns()


def golden_lines() -> list[str]:
    lines = []
    for name, struct in messages.TYPES.items():
        for label, required_only in (("required", True), ("full", False)):
            lines.append(f"{name} {label} {payload_of(sample(struct, required_only)).hex()}")
    return lines


def test_the_bytes_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: TIME_NS)
    assert golden_lines() == GOLDEN.read_text().splitlines()


def test_golden_bytes_can_be_read() -> None:
    for line in GOLDEN.read_text().splitlines():
        name, label, payload = line.split(" ")
        frame = frames.decode(bytes.fromhex(payload))
        assert frame.data == sample(messages.TYPES[name], label == "required")
        assert (frame.timestamp, frame.metadata) == (TIME_NS, METADATA)


def test_names_are_one_to_one() -> None:
    assert len(messages.NAMES) == len(messages.TYPES)
    for line in GOLDEN.read_text().splitlines():
        assert line.split(" ")[0] in messages.TYPES


def test_unknown_fields_are_ignored_and_unknown_types_are_not() -> None:
    assert frames.decode(envelope({"new": 1}, "cancel_request")).data == messages.CancelRequest()
    with pytest.raises(FrameError, match="unknown type 'nonsense'"):
        frames.decode(envelope({}, "nonsense"))
    with pytest.raises(FrameError, match="missing required field"):
        frames.decode(envelope({}, "notice"))
    with pytest.raises(FrameError, match="Expected"):
        frames.decode(envelope({"seq": "1", "topic": "t", "data": {}}, "notice"))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def result(value: Any) -> bytes:
    return envelope({"id": 1, "ok": True, "value": value})


def test_depth() -> None:
    room = frames.DEPTH_LIMIT - 2  # the envelope and the result's own map
    assert frames.decode(result(nested(room))).data.value == nested(room)
    with pytest.raises(FrameError, match="too deep"):
        frames.decode(result(nested(room + 1)))
    with pytest.raises(FrameError, match="too deep"):
        frames.decode(b"\x91" * 100_000 + b"\x01")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (msgspec.msgpack.Ext(1, b"x"), "extension"),
        (msgspec.msgpack.Ext(-1, bytes(4)), "extension"),
        (msgspec.Raw(b"\xc1"), "extension"),
        (float("nan"), "NaN"),
        (float("inf"), "NaN"),
        (msgspec.Raw(b"\xca\x7f\x80\x00\x00"), "NaN"),
        (msgspec.Raw(b"\xa2\xed\xa0"), "UTF-8"),
        (msgspec.Raw(b"\xa3\xed\xa0\x80"), "UTF-8"),
        (msgspec.Raw(b"\x82\xa1a\x01\xa1a\x02"), "twice"),
        (msgspec.Raw(b"\x81\x91\x01\x01"), "key"),
        (msgspec.Raw(b"\x81\xc4\x01a\x01"), "key"),
        (msgspec.Raw(b"\xdd\xff\xff\xff\xff"), "past the end"),
        (msgspec.Raw(b"\xdf\x7f\xff\xff\xff"), "past the end"),
        (msgspec.Raw(b"\xc6\xff\xff\xff\xff"), "past the end"),
        (msgspec.Raw(b"\xdb\xff\xff\xff\xff"), "past the end"),
    ],
)
def test_what_has_no_place_in_a_frame(value: Any, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        frames.decode(result(value))


def test_values_are_counted() -> None:
    empty_maps = b"\xdd" + (frames.VALUES_LIMIT).to_bytes(4, "big") + b"\x80" * frames.VALUES_LIMIT
    with pytest.raises(FrameError, match="too many values"):
        frames.decode(result(msgspec.Raw(empty_maps)))


def test_size() -> None:
    room = frames.FRAME_LIMIT_BYTES - len(payload_of(messages.Log(level="info", text=Untrusted("")))) - 4
    frames.encode(messages.Log(level="info", text=Untrusted("x" * room)), METADATA)
    with pytest.raises(FrameError, match="passes the limit"):
        frames.encode(messages.Log(level="info", text=Untrusted("x" * (room + 1))), METADATA)


def test_what_cannot_be_packed() -> None:
    for value in ("\ud800", 1 << 70):
        with pytest.raises(FrameError, match="cannot be packed"):
            frames.encode(messages.Result(id=1, ok=True, value=value))


@given(ANY_MESSAGE, st.data())
def test_a_prefix_is_an_error(message: messages.Message, data: st.DataObject) -> None:
    payload = payload_of(message)
    end = data.draw(st.integers(0, len(payload) - 1))
    with pytest.raises(FrameError):
        frames.decode(payload[:end])
    with pytest.raises(FrameError, match="after the end"):
        frames.decode(payload + b"\xc0")


def decode_or_refuse(payload: bytes) -> bool:
    try:
        frames.decode(payload)
    except FrameError:
        return False
    return True


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_a_frame_error(payload: bytes) -> None:
    decode_or_refuse(payload)


def test_damaged_frames_never_raise_anything_else() -> None:
    dice, known = random.Random(1), fuzz.goods()
    damaged = [fuzz.damaged(dice, known) for _ in range(30_000)]
    tracemalloc.start()
    try:
        good = sum(decode_or_refuse(payload) for payload in damaged)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < good < len(damaged), "some damage cannot be seen, most is"
    assert peak < 8 << 20


@given(st.lists(ANY_MESSAGE, max_size=5), st.data())
def test_a_stream_is_cut_into_its_frames(sent: list[messages.Message], data: st.DataObject) -> None:
    stream = b"".join(frames.encode(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader = frames.FrameReader()
    payloads: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        payloads += reader.feed(memoryview(stream)[start:end])
    assert [frames.decode(payload).data for payload in payloads] == sent


def test_an_announced_size_is_not_believed() -> None:
    tracemalloc.start()
    try:
        for size in (frames.FRAME_LIMIT_BYTES + 1, 1 << 31, (1 << 32) - 1):
            with pytest.raises(FrameError, match="announces"):
                frames.FrameReader().feed(size.to_bytes(4, "big") + b"x")
        reader = frames.FrameReader()
        assert reader.feed(frames.FRAME_LIMIT_BYTES.to_bytes(4, "big")) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


if __name__ == "__main__":
    time.time_ns = lambda: TIME_NS
    GOLDEN.write_text("\n".join(golden_lines()) + "\n")
