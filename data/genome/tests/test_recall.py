"""Which memories answer a query."""

from __future__ import annotations

from ..recall import recall
from .stage import NOW_NS, Memory


def test_the_best_comes_first() -> None:
    memory = Memory("the cat sleeps", "the demo for Basel is on Friday", "Friday is fish")
    hits = recall("demo Friday", memory, 3, NOW_NS)
    assert hits[0].block.text == "the demo for Basel is on Friday"
    assert hits[0].score > hits[1].score


def test_never_more_than_asked_for() -> None:
    memory = Memory(*[f"apple {number}" for number in range(20)])
    assert len(recall("apple", memory, 5, NOW_NS)) == 5
    assert recall("apple", memory, 0, NOW_NS) == []


def test_equal_ones_in_the_order_of_their_ids() -> None:
    memory = Memory("apple", "apple", "apple")
    first = [hit.block.id for hit in recall("apple", memory, 3, 0)]
    memory.all.reverse()
    assert [hit.block.id for hit in recall("apple", memory, 3, 0)] == first


def test_nothing_for_nothing() -> None:
    assert recall("", Memory("apple"), 5, NOW_NS) == []
    assert recall("(*+", Memory("apple"), 5, NOW_NS) == []
