"""Conversations of other formats become memories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from o_tui.guardian.imports import read_locomo
from o_tui.protocol.errors import NotFoundError, UsageError


def write(folder: Path, value: object) -> Path:
    file = folder / "conversations.json"
    file.write_text(json.dumps(value), "utf-8")
    return file


def test_turns_become_memories_with_their_neighbours_as_context(folder: Path) -> None:
    said = [{"speaker": "Ada", "dia_id": f"D1:{n}", "text": f"word{n}"} for n in range(5)]
    said[2]["blip_caption"] = "a kettle"
    conversation = {"session_1": said, "session_1_date_time": "8 May 2023", "speaker_a": "Ada"}
    memories = read_locomo(write(folder, [{"sample_id": "c1", "conversation": conversation}]))
    assert [memory["source"] for memory in memories] == [f"locomo:c1:D1:{n} 8 May 2023" for n in range(5)]
    assert memories[2]["text"] == "Ada: word2 [a kettle]"
    assert memories[1]["context"] == "Ada: word0 Ada: word2 [a kettle] Ada: word3"
    assert all(memory["kind"] == "episodic" for memory in memories)


@pytest.mark.parametrize(
    "value", [[{"sample_id": "x"}], {"a": 1}, [3], [{"sample_id": "x", "conversation": {"session_1": [{}]}}]]
)
def test_another_format_is_said_to_be_one(folder: Path, value: object) -> None:
    with pytest.raises(UsageError, match="not a LoCoMo file"):
        read_locomo(write(folder, value))


def test_no_file_and_no_json_are_clear_errors(folder: Path) -> None:
    with pytest.raises(NotFoundError):
        read_locomo(folder / "nothing.json")
    file = folder / "bad.json"
    file.write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        read_locomo(file)
