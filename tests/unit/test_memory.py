"""What genes see of the state."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.agent import reducers
from o_tui.agent.memory import MemorySearch, View, telling_words
from o_tui.agent.state import State
from o_tui.protocol import operations
from tests.support.agents import block, entries


def remembering(*blocks: operations.Operation) -> State:
    state = State.empty()
    reducers.apply_all(state, entries(blocks))
    return state


STATE = remembering(
    block("a", "We painted the house", time_ns=1),
    block("b", "A cat sat there", context="they painted it", time_ns=3),
    block("r1.0", "painting again", time_ns=2),
)


def test_words_are_stemmed_and_context_counts_less() -> None:
    assert [hit.block.id for hit in MemorySearch(STATE).lexical("painting", 5)] == ["r1.0", "a", "b"]
    assert all(hit.score > 0 for hit in MemorySearch(STATE).lexical("painting", 5))


def vector(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


MEANING = remembering(
    block("a", "We painted the house", vector=vector(1, 0, 0)),
    block("b", "The walls got a new colour", vector=vector(0.8, 0.6, 0)),
    block("c", "The cat sat there", vector=vector(0, 0, 1)),
    block("d", "The house has no vector"),
)


def test_the_nearest_by_embedding_comes_first_with_its_cosine() -> None:
    hits = MemorySearch(MEANING, vector=vector(2, 0, 0)).semantic("", 2)
    assert [(hit.block.id, round(hit.similarity, 3)) for hit in hits] == [("a", 1.0), ("b", 0.8)]


def test_without_an_embedding_of_its_size_nothing_is_found_by_meaning() -> None:
    assert MemorySearch(STATE).semantic("painting", 3) == []
    assert MemorySearch(MEANING).semantic("painting", 3) == []
    assert MemorySearch(MEANING, vector=vector(1, 0)).semantic("painting", 3) == []


def test_words_and_meaning_are_found_in_one_call() -> None:
    search = MemorySearch(MEANING, vector=vector(1, 0, 0))
    assert [hit.block.id for hit in search.find("house", 5)] == ["a", "d"]
    together = search.find("house", 5, meaning=0.5)
    assert [hit.block.id for hit in together][:2] == ["a", "d"] or [hit.block.id for hit in together][:2] == ["a", "b"]
    assert {"a", "b", "d"} <= {hit.block.id for hit in together}
    assert together[0].score <= 1.001


def test_a_turn_is_found_by_what_was_said_around_it() -> None:
    talk = ("Where did you go?", "To Lisbon, for a week", "With whom?", "With my brother", "How nice")
    state = remembering(*[block(f"t{n}", text, thread="talk") for n, text in enumerate(talk)], block("x", "a brother"))
    hits = MemorySearch(state).find("brother Lisbon", 5)
    assert hits[0].block.id in ("t1", "t3")
    assert {hit.block.id for hit in hits[:2]} == {"t1", "t3"}
    assert hits[0].score == 0.75  # one of two words itself, the other beside it
    without = MemorySearch(state).find("brother Lisbon", 5, neighbour=0.0)
    assert {hit.block.id for hit in without} == {"t1", "t3", "x"}


def test_a_request_does_not_find_itself() -> None:
    search = MemorySearch(STATE, hidden="r1.")
    for found in (search.lexical("painting", 1), search.find("painting", 3), search.recent(3)):
        assert found
        assert all(hit.block.id != "r1.0" for hit in found)


def test_the_newest_come_first_and_count_down() -> None:
    assert [(hit.block.id, round(hit.score, 2)) for hit in MemorySearch(STATE).recent(2)] == [("b", 1.0), ("r1.0", 0.5)]
    assert [found.id for found in View(STATE).blocks(before=3)] == ["r1.0", "a"]


@settings(max_examples=200)
@given(st.text(max_size=60), st.integers(-3, 5))
def test_any_text_can_be_searched_for(text: str, n: int) -> None:
    search = MemorySearch(STATE)
    assert len(search.lexical(text, n)) <= max(0, n)
    assert len(search.find(text, n)) <= max(0, n)


def test_words_that_say_nothing_are_left_out_where_others_remain() -> None:
    assert telling_words('Where is the cat" OR NEAR(x)?') == "cat near x"
    assert telling_words("what is it") == "what is it"


def test_turns_are_the_last_ones_in_order() -> None:
    turns = [
        operations.TurnAdd(id=f"t{n}", session="s" if n % 2 else "u", role="user", text=str(n), time_ns=n)
        for n in range(8)
    ]
    assert [turn.text for turn in View(remembering(*turns)).turns("s", 2)] == ["5", "7"]
