"""What becomes of memories, end to end: the shipped genes in a kernel, operations committed, time passing."""

from __future__ import annotations

import json
import time

from o_tui.agent.builtin import CONSOLIDATE_AFTER, CONSOLIDATE_BLOCKS
from o_tui.agent.memory import View
from tests.support.agents import SEED, Stage
from tests.support.nursery_driver import genome_files

DAY_NS = 86_400_000_000_000


def remembering(*items: dict[str, object]) -> Stage:
    """A kernel with the shipped genome, its tools made known, and these memories."""
    made = Stage(genome_files(SEED))
    made.kernel.beat()
    made.commit()
    for start in range(0, len(items), 100):
        add(made, *items[start : start + 100])
    return made


def add(made: Stage, *items: dict[str, object]) -> None:
    made.ask(json.dumps({"items": items}), f"add{made.seq}", kind="memory.add")
    while made.proposals():
        made.commit()
    assert made.done().ok


def idle(made: Stage) -> None:
    """Heartbeats until there is nothing more to do."""
    for _ in range(100):
        made.kernel.beat()
        while made.proposals():
            made.commit()
    made.sent.clear()


def by_text(made: Stage) -> dict[str, tuple[str, float, int]]:
    return {each.text: (each.kind, each.importance, each.accesses) for each in View(made.state).blocks(n=1000)}


def test_every_kind_is_kept_with_an_importance_of_its_own() -> None:
    kinds = ("short_term", "long_term", "episodic", "semantic")
    made = remembering(*({"text": f"a plain sentence of the {kind} kind", "kind": kind} for kind in kinds))
    kept = {kind: importance for kind, importance, _accesses in by_text(made).values()}
    assert set(kept) == set(kinds)
    assert kept["short_term"] < kept["episodic"] < kept["semantic"] < kept["long_term"]


def test_what_is_recalled_counts_and_becomes_long_term() -> None:
    now = time.time_ns()
    made = remembering(
        {"text": "the plumber knows about the valve", "kind": "short_term", "time_ns": now},
        {"text": "a walk along the river", "kind": "short_term", "time_ns": now},
    )
    before = by_text(made)["the plumber knows about the valve"]
    for number in range(3):
        made.ask(json.dumps({"text": "plumber valve", "k": 1}), f"q{number}", kind="memory.search")
        assert made.done().ok
    idle(made)
    kind, importance, accesses = by_text(made)["the plumber knows about the valve"]
    assert (kind, accesses) == ("long_term", 3) and importance > before[1]
    assert by_text(made)["a walk along the river"][0] == "short_term"


def test_a_day_later_what_is_not_trivial_is_long_term_and_repetitions_go() -> None:
    old = time.time_ns() - 2 * DAY_NS
    made = remembering(
        {"text": "We talked about the garden fence", "kind": "short_term", "time_ns": old},
        {"text": "we talked  about the garden FENCE", "kind": "short_term", "time_ns": old + 1},
        {"text": "thanks", "kind": "short_term", "time_ns": old},
    )
    idle(made)
    left = by_text(made)
    assert {text: kind for text, (kind, _importance, _accesses) in left.items()} == {
        "we talked  about the garden FENCE": "long_term",
        "thanks": "short_term",
    }


def test_small_talk_is_forgotten_after_a_month_however_much_came_after_it() -> None:
    now = time.time_ns()
    new = [
        {"text": f"ok {n}?", "kind": "short_term", "importance": 0.1, "time_ns": now} for n in range(CONSOLIDATE_BLOCKS)
    ]
    made = remembering({"text": "hello", "kind": "short_term", "time_ns": now - 40 * DAY_NS}, *new)
    assert len(new) > CONSOLIDATE_AFTER
    idle(made)
    assert "hello" not in by_text(made)
    assert View(made.state).count() == len(new)
    made.ask(json.dumps({"text": "hello", "k": 5}), "q", kind="memory.search")
    assert json.loads(made.done().text) == []


def test_the_pieces_of_a_long_text_are_found_by_each_others_words() -> None:
    filler = " ".join(f"Sentence {n} says nothing of interest." for n in range(60))
    made = remembering({"text": f"The treasure of Lima. {filler} It lies under the third palm."})
    assert View(made.state).count() > 1
    made.ask(json.dumps({"text": "treasure palm", "k": 10}), "q", kind="memory.search")
    found = json.loads(made.done().text)
    assert {"The treasure of Lima" in each["text"] for each in found[:2]} == {True, False}


def test_what_is_said_in_a_chat_is_found_by_its_day_and_by_what_came_before() -> None:
    made = remembering()
    for number, text in enumerate(("I bought a kayak for the lake", "It is red and I keep it at Jonas's")):
        made.ask(text, f"c{number}", time_ns=1_795_000_000_000_000_000 + number)  # 18 November 2026
        while made.proposals():
            made.commit()
        assert made.done().ok
    red = next(each for each in View(made.state).blocks() if "red" in each.text)
    assert "kayak" in red.context and "2026" in red.context
    made.ask(json.dumps({"text": "kayak", "k": 5}), "q", kind="memory.search")
    assert red.id in [each["id"] for each in json.loads(made.done().text)]
