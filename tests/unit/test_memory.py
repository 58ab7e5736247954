"""What genes see of the state."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from o_tui.agent import reducers
from o_tui.agent.memory import MemorySearch, View, match_expression
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


def test_the_nearest_by_embedding_comes_first_with_its_cosine() -> None:
    hits = MemorySearch(STATE).semantic("we painted the house", 3)
    assert hits[0].block.id == "a"
    assert 0.9 < hits[0].similarity <= 1.001


def test_a_request_does_not_find_itself() -> None:
    search = MemorySearch(STATE, hidden="r1.")
    for found in (search.lexical("painting", 1), search.semantic("painting", 3), search.recent(3)):
        assert found
        assert all(hit.block.id != "r1.0" for hit in found)


def test_the_newest_come_first_and_count_down() -> None:
    assert [(hit.block.id, round(hit.score, 2)) for hit in MemorySearch(STATE).recent(2)] == [("b", 1.0), ("r1.0", 0.5)]
    assert [found.id for found in View(STATE).blocks(before=3)] == ["r1.0", "a"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.integers(-3, 5))
def test_any_text_can_be_searched_for(text: str, n: int) -> None:
    search = MemorySearch(STATE)
    assert len(search.lexical(text, n)) <= max(0, n)
    assert len(search.semantic(text, n)) <= max(0, n)


def test_operators_of_the_index_are_only_words() -> None:
    assert match_expression('cat" OR NEAR(x) AND -y*') == '"cat" OR "near" OR "x" OR "y"'
    assert match_expression("what is it") == '"what" OR "is" OR "it"'


def test_turns_are_the_last_ones_in_order() -> None:
    turns = [
        operations.TurnAdd(id=f"t{n}", session="s" if n % 2 else "u", role="user", text=str(n), time_ns=n)
        for n in range(8)
    ]
    assert [turn.text for turn in View(remembering(*turns)).turns("s", 2)] == ["5", "7"]
