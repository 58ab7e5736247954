"""What enters memory, and what becomes of it."""

from __future__ import annotations

from o_tui.agent.dsl import Block

from ..remember import CHUNK_CHARS, chunk, consolidate, importance
from .stage import NOW_NS

DAY_NS = 86_400_000_000_000


def test_pieces_keep_every_word_and_the_limit() -> None:
    text = "One sentence. Another one.\n\n" + "word " * 1_000 + "\n\n" + "x" * 2_500
    pieces = chunk(text)
    assert all(0 < len(piece) <= CHUNK_CHARS for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_short_text_is_one_piece_and_nothing_is_none() -> None:
    assert chunk(" hello ") == ["hello"]
    assert chunk(" \n\n ") == []


def test_facts_weigh_more_than_small_talk() -> None:
    assert importance("hello", "short_term") < 0.1
    assert importance("My birthday is on 3 May", "short_term") > importance("it is nice", "short_term")
    assert importance("what is that?", "short_term") < importance("that is it", "short_term")


def test_what_matters_stays_and_what_never_did_goes() -> None:
    blocks = [
        Block("fact", "short_term", "my code is 4711", time_ns=NOW_NS, importance=0.8),
        Block("new", "short_term", "it rains", time_ns=NOW_NS, importance=0.3),
        Block("read", "short_term", "the key is blue", time_ns=NOW_NS, importance=0.3, accesses=3),
        Block("old", "short_term", "hm", time_ns=NOW_NS - 40 * DAY_NS, importance=0.05),
        Block("twice", "short_term", "It  rains", time_ns=NOW_NS - 1, importance=0.3),
    ]
    by_id = {change.id: change for change in consolidate(blocks, NOW_NS)}
    assert by_id["fact"].kind == "long_term"
    assert by_id["read"].kind == "long_term"
    assert by_id["old"].remove
    assert by_id["twice"].remove
    assert "new" not in by_id
