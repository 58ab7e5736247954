"""Reducers: pure, total, idempotent, the same in every replica."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.agent import reducers
from o_tui.agent.memory import MemorySearch, View
from o_tui.agent.state import State
from o_tui.protocol import operations
from o_tui.protocol.operations import Operation
from tests.support.agents import block, entries, operations_

LOGS = st.lists(operations_(), max_size=12)
_PROPERTY = settings(max_examples=60)


def replayed(packed: list[bytes], state: State | None = None) -> State:
    state = state or State.empty()
    for entry in packed:
        reducers.apply(state, entry)
    return state


@_PROPERTY
@given(LOGS, st.data())
def test_replaying_a_prefix_twice_is_once(log: list[Operation], data: st.DataObject) -> None:
    packed = entries(log)
    prefix = data.draw(st.integers(0, len(packed)))
    twice = replayed(packed, replayed(packed[:prefix], replayed(packed[:prefix])))
    assert twice.logical_digest() == replayed(packed).logical_digest()


@_PROPERTY
@given(LOGS)
def test_one_transaction_or_many_make_the_same_state(log: list[Operation]) -> None:
    packed = entries(log)
    together = State.empty()
    assert len(reducers.apply_all(together, packed)) == len(packed)
    assert together.logical_digest() == replayed(packed).logical_digest()


@_PROPERTY
@given(LOGS, st.data())
def test_a_checkpoint_at_any_point_and_the_rest_is_straight_through(log: list[Operation], data: st.DataObject) -> None:
    packed = entries(log)
    point = data.draw(st.integers(0, len(packed)))
    before = replayed(packed[:point])
    restored = State.from_sections({name: memoryview(raw) for name, raw in before.sections().items()})
    assert restored.logical_digest() == before.logical_digest()
    straight = replayed(packed)
    assert replayed(packed, restored).logical_digest() == straight.logical_digest()
    assert restored.digest == straight.digest
    found = [
        [(hit.block, hit.score) for hit in MemorySearch(state).lexical("demo friday cat ünïcödé", 9)]
        for state in (restored, straight)
    ]
    assert [block.id for block, _score in found[0]] == [block.id for block, _score in found[1]]


def test_a_gap_is_an_error_and_names_the_entry() -> None:
    packed = entries([block("a", "x"), block("b", "y"), block("c", "z")])
    state = replayed(packed[:1])
    with pytest.raises(reducers.ReduceError, match="gap") as caught:
        reducers.apply(state, packed[2])
    assert caught.value.seq == 3


@pytest.mark.parametrize(
    "data",
    [
        b"not an entry",
        operations.pack_entry(operations.Entry(1, 1, 1, "", 0, "unknown", b"")),
        operations.pack_entry(operations.Entry(1, 1, 1, "", 0, "memory_add", b"\x80")),
    ],
)
def test_what_cannot_be_reduced_is_named(data: bytes) -> None:
    with pytest.raises(reducers.ReduceError) as caught:
        reducers.apply(State.empty(), data)
    assert caught.value.seq == 1


def test_a_digest_that_is_not_the_chains_is_seen() -> None:
    with pytest.raises(reducers.ReduceError, match="chain"):
        reducers.apply_all(State.empty(), entries([block("a", "x")]), b"\1" * 32)


def test_a_removed_memory_is_found_no_more() -> None:
    changes: list[Operation] = [block("a", "the demo"), block("b", "the cat"), operations.MemoryRemove(ids=["a", "?"])]
    state = replayed(entries(changes))
    search = MemorySearch(state)
    assert search.lexical("demo", 5) == []
    assert [hit.block.id for hit in search.find("the demo", 5)] == ["b"]
    assert View(state).count() == 1


def test_a_memory_under_a_known_id_takes_its_place() -> None:
    state = replayed(entries([block("a", "the demo"), block("a", "the cat")]))
    assert MemorySearch(state).lexical("demo", 5) == []
    assert [found.text for found in View(state).blocks()] == ["the cat"]


def test_accesses_add_up_and_kinds_change() -> None:
    change = operations.MemoryUpdate(id="a", kind="long_term", importance=7.0, accesses=2)
    state = replayed(entries([block("a", "x"), change, change]))
    found = View(state).block("a")
    assert found is not None
    assert (found.kind, found.importance, found.accesses) == ("long_term", 1.0, 4)


def test_an_overlay_changes_the_state_but_not_the_chain() -> None:
    state = State.empty()
    reducers.apply_local(state, block("a", "the demo"))
    assert state.digest == operations.GENESIS
    assert MemorySearch(state).lexical("demo", 1)[0].block.id == "a"
