"""The kernel's own requests about memory, and what is embedded before it is kept or searched."""

from __future__ import annotations

import json

import pytest

from o_tui.protocol import messages, operations
from tests.support.agents import ECHO, Stage, genome, stage
from tests.support.nursery_driver import genome_files


def ask_json(made: Stage, kind: str, request: object, request_id: str = "q") -> object:
    made.ask(json.dumps(request), request_id, kind=kind)
    while made.proposals():
        made.commit()
    done = made.done()
    assert done.ok, done.error
    return json.loads(done.text)


def test_memory_is_added_searched_listed_and_removed() -> None:
    made = Stage(genome_files(ECHO))
    items = [{"text": "the demo", "source": "s", "time_ns": 5}, {"text": "the cat", "kind": "episodic"}]
    assert ask_json(made, "memory.add", {"items": items}) == {"ids": ["q.0", "q.1"]}
    (hit,) = ask_json(made, "memory.search", {"text": "demo", "k": 1}, "q2")  # type: ignore[misc]
    assert (hit["id"], hit["time_ns"], hit["source"]) == ("q.0", 5, "s")
    listed = ask_json(made, "memory.list", {"kind": "episodic"}, "q3")
    assert listed["count"] == 2 and [found["text"] for found in listed["blocks"]] == ["the cat"]  # type: ignore[index]
    assert ask_json(made, "memory.remove", {"ids": ["q.0", "x"]}, "q4") == {"ids": ["q.0"]}
    assert ask_json(made, "state.digest", {}, "q5")["seq"] == 3  # type: ignore[index]


def test_a_text_with_an_id_is_known_by_it_and_kept_once() -> None:
    made = Stage(genome_files(ECHO))
    items = [{"text": "the demo", "id": "import-a"}, {"text": "the cat"}]
    assert ask_json(made, "memory.add", {"items": items}) == {"ids": ["import-a.0", "q.1"]}
    assert ask_json(made, "memory.known", {"ids": ["import-a.0", "import-b.0"]}, "q2") == {"ids": ["import-a.0"]}
    assert ask_json(made, "memory.add", {"items": items[:1]}, "q3") == {"ids": ["import-a.0"]}
    assert ask_json(made, "memory.list", {}, "q4")["count"] == 2  # type: ignore[index]


@pytest.mark.parametrize("text", ["", "[]", '{"text": 5}', '{"items": [{}]}'])
def test_a_malformed_request_of_its_own_kinds_is_an_error(text: str) -> None:
    made = Stage(genome_files(ECHO))
    made.ask(text, kind="memory.add")
    assert not made.done().ok


def embedded(made: Stage, *vectors: bytes, **data: object) -> messages.BrokerRequest:
    """Answers the one call for embeddings; returns what was asked."""
    (asked,) = made.take(messages.BrokerRequest)
    state = "done" if vectors else "error"
    made.give(messages.BrokerReply(call_id=asked.call_id, state=state, data={"vectors": list(vectors), **data}))
    return asked


def added(made: Stage) -> list[operations.MemoryAdd]:
    """The memories that were proposed."""
    found = [operations.unpack(item.operation, item.data) for _request, item in made.proposals()]
    return [each for each in found if isinstance(each, operations.MemoryAdd)]


def test_a_memory_gets_its_vector_before_it_is_proposed() -> None:
    made = stage("yield Together([Record('user', 'x'), Remember('the demo', 's')])\nyield Say('kept')")
    made.ask("", embedder="small")
    assert not made.proposals()
    assert embedded(made, b"\0\0\x80?").arguments == {"texts": ["the demo"]}
    assert [each.vector for each in added(made)] == [b"\0\0\x80?"]
    made.commit()
    assert made.done().text == "kept"


def test_many_memories_are_embedded_in_parts_and_in_order() -> None:
    made = stage("yield Together([Remember(f'text {n}', 's') for n in range(20)])\nyield Say('kept')")
    made.ask("", embedder="small")
    sizes = [len(embedded(made, *[bytes([n, 0, 0, 0]) for n in range(count)]).arguments["texts"]) for count in (16, 4)]
    assert sizes == [16, 4]
    assert [each.vector[0] for each in added(made)] == [*range(16), *range(4)]


def test_what_cannot_be_embedded_is_kept_by_its_words_and_told_once() -> None:
    made = stage("yield Remember(request.text, 's')\nyield Say('kept')")
    for number in range(2):
        made.ask(f"text {number}", f"r{number}", embedder="small")
        embedded(made, error="no such model")
        told = [message for message, _meta in made.sent if isinstance(message, messages.Log)]
        assert [("no such model" in message.text.raw) for message in told] == [True][number:]
        assert [each.vector for each in added(made)] == [b""]
        made.commit()
        assert made.done().ok


def test_what_is_durable_is_not_embedded_again() -> None:
    made = stage("yield Remember('the demo', 's')\nyield Say('kept')")
    made.ask("", embedder="small", committed=1)
    assert not made.take(messages.BrokerRequest)


def test_a_query_is_embedded_before_memory_is_searched() -> None:
    made = stage("hits = yield Recall('demo', 5)\nyield Say(str(len(hits)))")
    made.ask("", embedder="small")
    assert embedded(made, b"\0\0\x80?").arguments == {"texts": ["demo"]}
    assert made.done().text == "0"


def test_another_embedding_model_starts_anew_and_that_is_said() -> None:
    made = stage("hits = yield Recall('demo', 5)\nyield Remember('the demo', 's')\nyield Say(str(len(hits)))")
    for number, model in enumerate(("small", "large")):
        made.ask("", f"r{number}", embedder=model)
        if number == 0:
            embedded(made, b"\0\0\x80?")  # the query; with another model's vectors it would be compared in vain
        assert embedded(made, b"\0\0\x80?").arguments == {"texts": ["the demo"]}
        assert [each.embedder for each in added(made)] == [model]
        made.commit()
        told = [message.text.raw for message, _meta in made.sent if isinstance(message, messages.Log)]
        assert (
            told == ["memories are embedded by large now; those that small embedded are found by words"][1 - number :]
        )
        assert made.done().ok
    assert made.state.vectors is not None and len(made.state.vectors) == 1


def test_a_gene_that_fails_after_an_embedding_is_told() -> None:
    made = Stage(genome("hits = yield Recall('demo', 5)") | {"recall.py": "def recall(query, search, k, now_ns): 1/0"})
    made.sent.clear()
    made.ask("", embedder="small")
    embedded(made, b"\0\0\x80?")
    assert "ZeroDivisionError" in made.done().error
