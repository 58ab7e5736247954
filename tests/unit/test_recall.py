"""The shipped gene `recall`, over the real state: what it finds of a conversation, and how that is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import msgspec
import pytest

from o_tui.agent.memory import MemorySearch
from o_tui.agent.state import State
from o_tui.bench import recall
from o_tui.guardian.imports import Conversation
from o_tui.protocol.errors import NotFoundError, UsageError
from tests.support.agents import block
from tests.support.locomo import conversation, written
from tests.support.patience import PATIENCE_S

CORPUS = os.environ.get("O_TUI_LOCOMO", "")
GENOME = recall.seed_genome()


def ask(state: State, query: str, k: int = 5) -> list[str]:
    return [hit.block.id for hit in GENOME.recall(query, MemorySearch(state), k, 0)]


def test_an_answer_is_found_by_the_question_before_it() -> None:
    ((items, questions),) = recall.read_conversations_of(msgspec.convert(conversation(), list[Conversation]))
    state = recall.remember(list(recall.memories(items, GENOME, 0)))
    by_text = {question.text: question for question in questions}
    assert len(questions) == 5  # neither the one without evidence, nor that of category 5
    for text, place in (("How much money did Ben get for the canoe?", "D1:4"), ("When will Mira fly to Oslo?", "D2:4")):
        hits = GENOME.recall(text, MemorySearch(state), 3, 0)
        assert place in [recall.place_of(hit.block.source) for hit in hits]
        assert place in by_text[text].evidence


def test_who_is_named_is_preferred_and_questions_are_not() -> None:
    said = ["Ben: I like the sea", "Ada: I like the sea", "Ada: Do you like the sea?"]
    state = recall.remember([block(f"b{n}", text) for n, text in enumerate(said)])
    assert ask(state, "Does Ada like the sea?") == ["b1", "b2", "b0"]
    assert ask(state, "Does Ben like the sea?")[0] == "b0"


def test_scores_say_how_much_of_the_question_was_found() -> None:
    state = recall.remember([block("a", "the harbour is closed on Mondays"), block("b", "Mondays are long")])
    scores = {hit.block.id: hit.score for hit in GENOME.recall("harbour Mondays", MemorySearch(state), 5, 0)}
    assert 0.95 < scores["a"] < 1.05 and scores["b"] < 0.5
    (only,) = GENOME.recall("harbour opening hours tomorrow evening", MemorySearch(state), 5, 0)
    assert only.score < 0.25
    assert GENOME.recall("zebra", MemorySearch(state), 5, 0) == []


def test_equal_memories_come_in_the_order_of_their_ids() -> None:
    state = recall.remember([block(name, "the same words") for name in ("c", "a", "b")])
    assert ask(state, "same words") == ["a", "b", "c"]


def test_the_measure_counts_evidence_among_the_first() -> None:
    tally = recall.Tally()
    question = recall.Question("?", 4, frozenset({"D1:1", "D1:9"}))
    tally.ask(question, lambda _text: [f"locomo:x:D1:{n}" for n in (3, 1, 4, 5, 6, 9)])
    _category, at_5, at_10, ndcg, _ms = tally.rows[0]
    assert (at_5, at_10) == (0.5, 1.0)
    assert ndcg == pytest.approx((0.6309 + 0.3562) / (1 + 0.6309), abs=1e-3)


def test_the_command_measures_a_file(folder: Path) -> None:
    command = [sys.executable, "-m", "o_tui", "bench", "recall", str(written(folder)), "--blocks", "50", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    value = json.loads(done.stdout)
    results = value["results"]
    assert (results["questions"], results["blocks"], results["recall@10"]) == (5, 10, 1.0)
    assert {"recall@5", "ndcg@10", "p50_ms", "p99_ms", "category_4_recall@5", "50_blocks_p95_ms"} <= set(results)
    assert {"recall@5", "p50_ms"} <= set(value["peers"]["fts5"]) and value["ratios"] and value["machine"]


def test_a_file_that_is_none_is_a_clear_error(folder: Path) -> None:
    with pytest.raises(NotFoundError):
        recall.run(Namespace(file=str(folder / "nothing.json"), blocks=0))
    file = folder / "other.json"
    for text in ("{", '{"a": 1}', '[{"sample_id": "x", "conversation": {}, "qa": []}]'):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"cannot be read|not a LoCoMo file|no questions"):
            recall.run(Namespace(file=str(file), blocks=0))


@pytest.mark.skipif(not CORPUS, reason="O_TUI_LOCOMO names no file of the LoCoMo data set, which is not O's to ship")
def test_the_corpus_is_searched_as_well_as_promised() -> None:
    results = recall.run(Namespace(file=CORPUS, blocks=0)).results
    assert results["recall@5"] >= 0.65 and results["recall@10"] >= 0.74
