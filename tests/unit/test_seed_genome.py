"""The seed genome as a whole, without processes: its own tests, its workloads, and what it must never do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o_tui.agent.memory import View
from o_tui.protocol import messages
from tests.support.agents import SEED, Stage
from tests.support.nursery_driver import genome_files

FILES = genome_files(SEED)
WORKLOADS = SEED.parent / "workloads"
NOW_NS = 1_795_000_000_000_000_000


def answer(stage: Stage, text: str, request_id: str, kind: str = "chat", session: str = "main") -> messages.Done:
    stage.sent.clear()
    stage.ask(text, request_id, kind=kind, session=session, time_ns=NOW_NS)
    while stage.proposals():
        stage.commit()
    return stage.done()


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (WORKLOADS / f"{name}.jsonl").read_text("utf-8").splitlines()]


def test_its_own_tests_pass() -> None:
    done = answer(Stage(FILES), "", "t", kind="genome.tests")
    result = json.loads(done.text)
    assert result["failed"] == []
    assert result["passed"] >= 20


@pytest.mark.parametrize("name", ["recall", "respond", "remember"])
def test_every_request_of_a_workload_is_answered(name: str) -> None:
    stage = Stage(FILES)
    for number, row in enumerate(rows(name)):
        done = answer(stage, str(row["text"]), f"w{number}", str(row.get("kind", "chat")))
        assert done.ok, (row, done.error)
        assert done.text.strip()
    assert not stage.kernel.tasks


def test_the_workload_of_recall_finds_what_it_asks_for() -> None:
    stage = Stage(FILES)
    setup, *requests = rows("recall")
    answer(stage, str(setup["text"]), "setup", "memory.add")
    asked = [str(row["text"]) for row in requests if row["kind"] == "chat"]
    answers = [answer(stage, text, f"q{number}").text for number, text in enumerate(asked)]
    found = [text for text in answers if "> " in text and "workload, 20" in text]
    assert len(found) == len(asked) - 2
    assert all("I have nothing about that" in text for text in answers[-2:])


def test_a_request_that_comes_again_after_its_operations_answers_the_same() -> None:
    stage = Stage(FILES)
    first = answer(stage, "remember that the door is green", "r1")
    assert (first.ok, first.operations) == (True, 3)
    stage.ask("remember that the door is green", "r1", time_ns=NOW_NS, committed=3, attempt=2)
    assert stage.done() == first
    assert View(stage.state).count() == 1


def test_sessions_do_not_see_each_others_turns_but_share_memory() -> None:
    stage = Stage(FILES)
    answer(stage, "note: the door is green", "r1", session="a")
    other = answer(stage, "what colour is the door?", "r2", session="b").text
    assert "offline mode" in other
    assert "> the door is green" in other


def test_memories_from_outside_do_not_break_the_markdown() -> None:
    stage = Stage(FILES)
    hostile = "the demo\n\n# Heading\n> quote\n```\ncode"
    answer(stage, json.dumps({"text": hostile, "source": "x"}), "a", "memory.add")
    text = answer(stage, "what did I say about the demo?", "b").text
    quoted = text[text.index("> the demo") : text.index("— x")]
    assert all(line.startswith(">") for line in quoted.splitlines() if line)


def test_the_genome_is_complete() -> None:
    assert {"genome.toml", "CHANGELOG.md", "respond.py", "recall.py", "remember.py", "prompts/system.md"} <= set(FILES)
    assert 'version = "0.1.0"' in FILES["genome.toml"]
    assert (Path(SEED) / "tests").is_dir()


def test_a_wish_that_needs_a_model_is_told_so() -> None:
    stage = Stage(FILES)
    assert "Without a model I can only keep that" in answer(stage, "tell me a story about boats", "a").text
    assert "Without a model I can only" not in answer(stage, "the boat is in the harbour", "b").text
