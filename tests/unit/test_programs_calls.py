"""Programs: plain data and calls between a candidate's process and its evaluator's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.programs import plain
from o_tui.programs.calls import Peer, ProgramEndedError

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
DATA = st.recursive(
    LEAVES | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner, max_size=4)
    | st.frozensets(st.integers(), max_size=4)
    | st.sets(st.text(), max_size=4),
    max_leaves=20,
)  # fmt: skip


def no_objects(*_: Any) -> Any:
    raise AssertionError("there are no objects here")


@settings(max_examples=50)
@given(DATA)
def test_plain_data_comes_out_as_it_went_in(value: Any) -> None:
    found = plain.unpack(plain.pack(value, no_objects), no_objects)
    assert found == value and repr(type(found)) == repr(type(value))


def test_arrays_of_numbers_go_over_and_arrays_of_objects_do_not() -> None:
    numpy = pytest.importorskip("numpy")
    for array in (numpy.arange(6.0).reshape(2, 3)[:, ::2], numpy.array([]), numpy.array([True]), numpy.float32(1.5)):
        found = plain.unpack(plain.pack(array, no_objects), no_objects)
        assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
    with pytest.raises(plain.PlainError):
        plain.pack(numpy.array([object()]), no_objects)


@given(st.binary(max_size=200))
def test_what_is_no_plain_data_is_one_kind_of_error(data: bytes) -> None:
    try:
        plain.unpack(data, lambda *_: None)
    except plain.PlainError:
        pass


def test_nesting_has_an_end() -> None:
    value: Any = 1
    for _ in range(100):
        value = (value,)
    with pytest.raises(plain.PlainError, match="nested"):
        plain.pack(value, no_objects)
    data = msgspec.msgpack.encode(1)
    for _ in range(100):
        data = msgspec.msgpack.encode(msgspec.msgpack.Ext(1, data))
    with pytest.raises(plain.PlainError):
        plain.unpack(data, no_objects)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """The evaluator's end; the other end serves a module of a few names."""
    ours, theirs = socket.socketpair()
    other = Peer(theirs, opened=True)

    class Counting:
        def __init__(self, start: int = 0) -> None:
            self.value = start

        def add(self, number: int) -> int:
            self.value += number
            return self.value

    class Module:
        Counter = Counting
        SIZE = 3

        @staticmethod
        def apply(function: Any, value: int, twice: bool = False) -> Any:
            return function(function(value)) if twice else function(value)

        @staticmethod
        def steps() -> Iterator[int]:
            yield from range(3)

        @staticmethod
        def fails() -> None:
            raise KeyError("x")

    other.keep(Module)
    thread = threading.Thread(target=other.serve)
    thread.start()
    yield Peer(ours, opened=False)
    ours.close()
    thread.join()
    theirs.close()


def test_objects_stay_where_they_are(peer: Peer) -> None:
    counter = peer.ask("get", 0, "Counter")(5)
    assert counter.add(2) == 7 and counter.value == 7
    assert list(peer.ask("get", 0, "steps")()) == [0, 1, 2]
    assert peer.ask("get", 0, "SIZE") == 3
    apply = peer.ask("get", 0, "apply")
    assert apply.__name__ == "apply" and apply(lambda x: x * 3, 2, twice=True) == 18
    with pytest.raises(KeyError, match="x"):
        peer.ask("get", 0, "fails")()
    with pytest.raises(AttributeError):
        peer.ask("get", 0, "nothing")
    with pytest.raises(plain.PlainError, match="cannot be handed"):
        apply(object(), 2)


def test_an_end_is_an_error_of_its_own() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(ProgramEndedError):
        Peer(ours, opened=False).ask("get", 0, "x")
    ours.close()
