"""Conversations of other formats become memories."""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

import pytest

from o_tui.bench import recall
from o_tui.guardian.imports import PART_BYTES, parts, read_locomo, text_parts
from o_tui.protocol.errors import NotFoundError, RefusedError, UsageError


def write(folder: Path, value: object) -> Path:
    file = folder / "conversations.json"
    file.write_text(json.dumps(value), "utf-8")
    return file


def test_turns_become_memories_of_one_thread_a_session_with_their_date(folder: Path) -> None:
    said = [{"speaker": "Ada", "dia_id": f"D1:{n}", "text": f"word{n}"} for n in range(5)]
    said[2]["blip_caption"] = "a kettle"
    said[4]["text"] = " "
    conversation = {"session_1": said, "session_1_date_time": "1:56 pm on 8 May, 2023", "speaker_a": "Ada"}
    memories, empty = read_locomo(write(folder, [{"sample_id": "c1", "conversation": conversation}]))
    assert [memory["source"] for memory in memories] == [f"locomo:c1:D1:{n}" for n in range(4)]
    assert memories[2]["text"] == "Ada: word2 [a kettle]"
    assert {memory["context"] for memory in memories} == {"1:56 pm on 8 May, 2023"}
    assert {memory["thread"] for memory in memories} == {"locomo:c1:1"}
    assert {memory["time_ns"] for memory in memories} == {1_683_554_160_000_000_000}
    assert empty == 1


def test_sessions_come_in_their_order_and_without_a_date_they_have_no_time(folder: Path) -> None:
    conversation = {f"session_{n}": [{"speaker": "Ada", "dia_id": f"D{n}:1", "text": "x"}] for n in (10, 2, 1)}
    memories, _empty = read_locomo(write(folder, [{"sample_id": "c1", "conversation": conversation}]))
    assert [memory["thread"] for memory in memories] == ["locomo:c1:1", "locomo:c1:2", "locomo:c1:10"]
    assert {memory["time_ns"] for memory in memories} == {0}


def test_parts_are_in_order_and_of_a_moderate_size() -> None:
    items = [{"text": "x" * (50_000 if n % 3 else 1)} for n in range(250)]
    made = list(parts(items))
    assert [item for part in made for item in part] == items
    assert max(sum(len(item["text"]) for item in part) for part in made) <= PART_BYTES


def test_a_text_that_is_too_large_takes_no_other_with_it() -> None:
    items = [{"text": "x"}, {"text": "y" * 10 * PART_BYTES}, {"text": "z"}]
    assert list(parts(items)) == [[item] for item in items]


@pytest.mark.parametrize("joint", ["\n\n", "\n", " ", ""])
def test_a_long_text_is_cut_where_it_hurts_least(joint: str) -> None:
    text = joint.join(f"word{number}" for number in range(50_000))
    made = list(text_parts(text))
    assert "".join(made) == text and len(made) > 3
    assert all(0 < len(part) <= PART_BYTES and part.endswith(joint) for part in made[:-1])
    assert list(text_parts("")) == [""] and list(text_parts("x" * PART_BYTES)) == ["x" * PART_BYTES]


def conversation(*turns: object, **fields: object) -> list[dict[str, object]]:
    return [{"sample_id": "c", "conversation": {"session_1": turns}, **fields}]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([{"sample_id": "x"}], "field `conversation`"),
        ({"a": 1}, "got `object`"),
        ([3], "got `int`"),
        (None, "got `null`"),
        (conversation({}), "field `speaker` - at `$[0]` in session_1"),
        (conversation({"speaker": "A", "dia_id": "D1:1", "text": {"a": 1}}), "`$[0].text` in session_1"),
        ([{"sample_id": "c", "conversation": {"session_1": None}}], "got `null` in session_1"),
        ([{"sample_id": "c", "conversation": {"session_1": [], "session_1_date_time": 5}}], "`str`, got `int`"),
    ],
)
def test_another_format_is_one_line_that_says_what_is_wrong_where(folder: Path, value: object, what: str) -> None:
    for read in (read_locomo, recall.read):
        with pytest.raises(UsageError, match="not a LoCoMo file: [^\n]*" + re.escape(what)):
            read(write(folder, value))


def test_questions_of_another_form_are_no_matter_to_an_import_but_to_the_benchmark(folder: Path) -> None:
    for asked in ([{"question": None, "category": 1}], [{"question": "x", "category": [1]}], 5):
        file = write(folder, conversation({"speaker": "Ada", "dia_id": "D1:1", "text": "x"}, qa=asked))
        assert len(read_locomo(file)[0]) == 1
        with pytest.raises(UsageError, match=r"not a LoCoMo file: [^\n]* in qa of c"):
            recall.read(file)


def test_what_is_not_text_is_said_to_be_none(folder: Path) -> None:
    (file := folder / "conversations.json").write_bytes(b'[{"sample_id": "\xe9"}]')
    for read in (read_locomo, recall.read):
        with pytest.raises(UsageError, match=r"not UTF-8 text \(byte 16\)"):
            read(file)


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [{"question": "x", "category": 5, "evidence": ["D1:1"]}],
        [{"question": "x", "category": 1, "evidence": None}],
        [{"question": "x", "category": 1, "evidence": ["D" + "9" * 5_000 + ":1"]}],
    ],
)
def test_a_benchmark_without_a_question_that_counts_says_so(folder: Path, asked: list[object]) -> None:
    said = {"speaker": "Ada", "dia_id": "D1:1", "text": "x"}
    with pytest.raises(UsageError, match="no questions with evidence"):
        recall.read(write(folder, conversation(said, qa=asked)))


def test_a_question_without_a_word_finds_nothing(folder: Path) -> None:
    said = {"speaker": "Ada", "dia_id": "D1:1", "text": "x"}
    asked = {"question": "?!", "category": 1, "evidence": ["D1:1"]}
    file = write(folder, conversation(said, qa=[asked]))
    report = recall.run(argparse.Namespace(file=str(file), blocks=0))
    assert report.results["recall@5"] == report.peers["fts5"]["recall@5"] == 0


def test_what_has_no_end_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for path in (Path("/dev/zero"), folder / "pipe", folder):
        for read in (read_locomo, recall.read):
            with pytest.raises(RefusedError, match="is not a file"):
                read(path)


def test_half_a_sign_costs_that_sign_only(folder: Path) -> None:
    said = [{"speaker": "\udfff", "dia_id": "D1:1", "text": "a boat \ud83d", "blip_caption": "\ud83d\ude00"}]
    conversation = {"session_1": said, "session_1_date_time": "\ud800"}
    memories, _empty = read_locomo(write(folder, [{"sample_id": "c\ud800", "conversation": conversation}]))
    assert [(memory["text"], memory["source"], memory["context"]) for memory in memories] == [
        ("\ufffd: a boat \ufffd [\U0001f600]", "locomo:c\ufffd:D1:1", "\ufffd")
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5000, "[" + "9" * 5000 + "]", "\ufeff", "[NaN"])
def test_json_that_is_too_deep_or_too_large_or_broken_is_one_clear_line(folder: Path, text: str) -> None:
    (file := folder / "conversations.json").write_text(text, "utf-8")
    for read in (read_locomo, recall.read):
        with pytest.raises(UsageError, match="cannot be read"):
            read(file)


def test_a_mark_of_byte_order_is_no_matter(folder: Path) -> None:
    said = [{"speaker": "Ada", "dia_id": "D1:1", "text": "x"}]
    file = write(folder, [{"sample_id": "c", "conversation": {"session_1": said}}])
    file.write_text("\ufeff" + file.read_text("utf-8"), "utf-8")
    assert len(read_locomo(file)[0]) == 1


def test_no_file_and_no_json_are_clear_errors(folder: Path) -> None:
    with pytest.raises(NotFoundError):
        read_locomo(folder / "nothing.json")
    file = folder / "bad.json"
    for text in ("{", "[" * 100_000):
        file.write_text(text)
        with pytest.raises(UsageError, match="cannot be read"):
            read_locomo(file)
