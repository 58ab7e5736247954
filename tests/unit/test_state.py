"""The state: sections that restore without rebuilding, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from o_tui.agent import reducers
from o_tui.agent.memory import MemorySearch
from o_tui.agent.state import Meta, State
from o_tui.protocol import operations
from o_tui.protocol.errors import CorruptError
from tests.support.agents import block, entries


def filled(count: int = 40) -> State:
    state = State.empty()
    reducers.apply_all(state, entries([block(f"b{n}", f"memory number {n} of the demo") for n in range(count)]))
    return state


def test_meta_comes_back() -> None:
    state = filled()
    switch = operations.GenomeSwitch(revision="f" * 40, version="1.2.3")
    running = operations.LifecycleChange(state="running")
    reducers.apply_all(state, entries([switch, running], 41))
    meta = State.from_sections(state.sections()).meta
    assert (meta.seq, meta.revision, meta.version, meta.lifecycle) == (42, "f" * 40, "1.2.3", "running")
    assert meta.digest == state.digest != operations.GENESIS


def test_values_and_tools_can_be_read() -> None:
    state = State.empty()
    tool = operations.ToolRegister(name="dates", description="d", parameters={}, revision="r1")
    update = operations.StateUpdate(key="k", value={"a": [1, None]})
    reducers.apply_all(state, entries([tool, update]))
    assert state.tools() == {"dates": "r1"}
    assert state.value("k") == {"a": [1, None]}
    assert state.value("?", 5) == 5


def test_replicas_agree_whatever_their_pages_look_like() -> None:
    one, other = filled(), State.from_sections(filled().sections())
    other.database.execute("INSERT INTO words(words) VALUES('optimize')")
    assert one.sections()["memory"] != other.sections()["memory"]
    assert one.logical_digest() == other.logical_digest()


def test_a_vector_that_differs_is_a_difference() -> None:
    one, other = State.empty(), State.empty()
    reducers.apply_all(one, entries([block("a", "x")]))
    reducers.apply_all(other, entries([block("a", "x")]))
    other.vectors.add(1, b"\0\0\x80\x3f" * 256)
    assert one.logical_digest() != other.logical_digest()


def test_restoring_leaves_both_usable() -> None:
    first = filled()
    second = State.from_sections(first.sections())
    more = entries([block("new", "something new")], 41)
    reducers.apply_all(first, more)
    reducers.apply_all(second, more)
    assert MemorySearch(second).lexical("something", 1)[0].block.id == "new"
    assert first.logical_digest() == second.logical_digest()


@pytest.mark.parametrize("missing", ["meta", "memory", "vectors"])
def test_a_missing_section_is_corruption(missing: str) -> None:
    sections = filled().sections()
    del sections[missing]
    with pytest.raises(CorruptError, match=missing):
        State.from_sections(sections)


@pytest.mark.parametrize("name", ["meta", "memory", "vectors"])
def test_garbage_is_corruption(name: str) -> None:
    with pytest.raises(CorruptError):
        State.from_sections({**filled().sections(), name: b"\x93garbage" * 999})


def test_sections_that_do_not_belong_together_are_corruption() -> None:
    with pytest.raises(CorruptError, match="40 memories but 3 vectors"):
        State.from_sections({**filled().sections(), "vectors": filled(3).sections()["vectors"]})


def test_another_format_is_refused() -> None:
    with pytest.raises(CorruptError, match="format 9"):
        State.from_sections({**filled().sections(), "meta": msgspec.msgpack.encode(Meta(format=9))})
