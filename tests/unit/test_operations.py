"""Operations and entries: packed, unpacked, chained; hostile data is refused like a bad frame."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.protocol import operations
from tests.support.structs import sample, structs

GOLDEN = Path(__file__).parents[1] / "data" / "operations.txt"
ENTRY = operations.Entry(
    seq=9, time_ns=1_700_000_000_123_456_789, epoch=2, request_id="r1", position=0, operation="skip", data=b"\x80"
)


@pytest.mark.parametrize("name", sorted(operations.TYPES))
@settings(max_examples=25)
@given(data=st.data())
def test_every_operation_comes_back(name: str, data: st.DataObject) -> None:
    operation = data.draw(structs(operations.TYPES[name]))
    packed_name, packed = operations.pack(operation)
    assert packed_name == name
    assert operations.unpack(name, packed) == operation
    for end in range(len(packed)):
        with pytest.raises(msgspec.DecodeError):
            operations.unpack(name, packed[:end])


@given(structs(operations.Entry))
def test_entries_come_back(entry: operations.Entry) -> None:
    packed = operations.pack_entry(entry)
    assert operations.unpack_entry(packed) == entry
    for end in range(len(packed)):
        with pytest.raises(msgspec.DecodeError):
            operations.unpack_entry(packed[:end])


def golden_lines() -> list[str]:
    lines = [f"{name} {operations.pack(sample(struct))[1].hex()}" for name, struct in sorted(operations.TYPES.items())]
    packed = operations.pack_entry(ENTRY)
    return [*lines, f"entry {packed.hex()}", f"chain {operations.chain(operations.GENESIS, packed).hex()}"]


def test_the_bytes_are_what_they_were() -> None:
    """Old logs must stay readable, and their chain must verify."""
    assert golden_lines() == GOLDEN.read_text().splitlines()


BEFORE_THREADS = bytes.fromhex(
    "88a26964a7c3a42074657874a46b696e64aa73686f72745f7465726da474657874a7c3a42074657874a6736f75726365a7c3"
    "a42074657874a774696d655f6e7307aa696d706f7274616e6365cb3ff8000000000000a7636f6e74657874a7c3a420746578"
    "74a6766563746f72c40200ff"
)


def test_a_memory_of_a_log_from_before_threads_is_read() -> None:
    added = operations.unpack("memory_add", BEFORE_THREADS)
    assert isinstance(added, operations.MemoryAdd)
    assert (added.text, added.vector, added.thread) == ("ä text", b"\0\xff", "")


BEFORE_EMBEDDERS = bytes.fromhex(
    "89a26964a7c3a42074657874a46b696e64aa73686f72745f7465726da474657874a7c3a42074657874a6736f75726365a7c3"
    "a42074657874a774696d655f6e7307aa696d706f7274616e6365cb3ff8000000000000a7636f6e74657874a7c3a420746578"
    "74a6766563746f72c40200ffa6746872656164a7c3a42074657874"
)


def test_a_memory_of_a_log_from_before_embedders_is_read() -> None:
    added = operations.unpack("memory_add", BEFORE_EMBEDDERS)
    assert isinstance(added, operations.MemoryAdd)
    assert (added.text, added.vector, added.embedder) == ("ä text", b"\0\xff", "")


def test_the_chain() -> None:
    packed = operations.pack_entry(ENTRY)
    first = operations.chain(operations.GENESIS, packed)
    assert first == hashlib.sha256(bytes(32) + packed).digest()
    assert operations.chain(first, packed) != first


@given(st.sampled_from(sorted(operations.TYPES)), st.binary(max_size=200))
def test_any_bytes_are_an_operation_or_a_decode_error(name: str, data: bytes) -> None:
    try:
        operations.unpack(name, data)
    except msgspec.DecodeError:
        pass


def state_update(value: Any) -> bytes:
    return msgspec.msgpack.encode({"key": "k", "value": value})


@pytest.mark.parametrize(
    "value",
    [
        msgspec.Raw(b"\x91" * 5000 + b"\x01"),
        msgspec.msgpack.Ext(1, b"x"),
        msgspec.Raw(b"\xd6\xff\x00\x00\x00\x00"),
        float("nan"),
        msgspec.Raw(b"\x82\xa1a\x01\xa1a\x02"),
        msgspec.Raw(b"\x81\x91\x01\x01"),
        msgspec.Raw(b"\xdd\xff\xff\xff\xff"),
    ],
)
def test_hostile_values_are_refused(value: Any) -> None:
    with pytest.raises(msgspec.DecodeError):
        operations.unpack("state_update", state_update(value))


def test_what_is_no_operation() -> None:
    with pytest.raises(KeyError):
        operations.unpack("nonsense", b"\x80")
    with pytest.raises(msgspec.ValidationError):
        operations.unpack("memory_add", msgspec.msgpack.encode({"id": "x", "kind": "eternal"}))
    assert set(operations.TYPES) >= operations.GUARDIAN_ONLY


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(golden_lines()) + "\n")
