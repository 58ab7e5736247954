"""A small conversation with questions, in the format of LoCoMo: written for these tests, nobody's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_TALK = (
    (
        "Ada: Hi Ben! How was your week?",
        "Ben: Long. I finally sold the old canoe on Tuesday.",
        "Ada: Oh! What did you get for it?",
        "Ben: Four hundred, and he took the paddles too.",
        "Ada: I started a pottery course near the station.",
    ),
    (
        "Ben: Did your sister arrive?",
        "Ada: Yes, Mira came by night train from Trieste.",
        "Ben: How long will she stay?",
        "Ada: Two weeks, then she flies to Oslo for the new job.",
        "Ben: My knee hurts again, no running this month.",
    ),
)
_QUESTIONS = (
    ("What did Ben sell?", 4, ["D1:2"]),
    ("How much money did Ben get for the canoe?", 1, ["D1:4"]),
    ("Where does Mira come from?", 4, ["D2:2"]),
    ("When will Mira fly to Oslo?", 2, ["D2:4"]),
    ("What would Ada make on a wheel?", 3, ["D1:5"]),
    ("Who stole the canoe?", 5, ["D1:2"]),
    ("What is not there?", 4, []),
)


def conversation() -> list[dict[str, Any]]:
    """One conversation of two sessions, with questions of every category."""
    sessions: dict[str, Any] = {"speaker_a": "Ada", "speaker_b": "Ben"}
    for number, talk in enumerate(_TALK, 1):
        sessions[f"session_{number}_date_time"] = f"2:15 pm on {number} May, 2024"
        sessions[f"session_{number}"] = [
            {"speaker": line.split(": ")[0], "dia_id": f"D{number}:{place}", "text": line.split(": ", 1)[1]}
            for place, line in enumerate(talk, 1)
        ]
    questions = [
        {"question": text, "answer": "", "category": category, "evidence": evidence}
        for text, category, evidence in _QUESTIONS
    ]
    return [{"sample_id": "small", "conversation": sessions, "qa": questions}]


def written(folder: Path) -> Path:
    """It as a file."""
    file = folder / "conversations.json"
    file.write_text(json.dumps(conversation()), "utf-8")
    return file
