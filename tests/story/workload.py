"""Conversations as a gene's workload: each is a memory of its own, its questions know which turns answer them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from o_tui.bench.recall import read_conversations_of
from o_tui.guardian.imports import Conversation, parts

K = 5


def write_workload(file: Path, talks: list[dict[str, Any]], unseen: int) -> tuple[int, int]:
    """Writes it; the last `unseen` conversations are held back for the proof. Returns the questions of both kinds."""
    counts = [0, 0]
    lines: list[str] = []
    read = msgspec.convert(talks, list[Conversation])
    for number, (talk, (items, questions)) in enumerate(zip(read, read_conversations_of(read), strict=True)):
        holdout = number >= len(talks) - unseen
        scope = {"scope": talk.sample_id} | ({"holdout": True} if holdout else {})
        for part in parts(items):
            lines.append(
                json.dumps({"setup": True, "kind": "memory.add", "text": json.dumps({"items": part}), **scope})
            )
        for asked in questions:
            counts[holdout] += 1
            sources = sorted(f"locomo:{talk.sample_id}:{place}" for place in asked.evidence)
            wanted = {"text": json.dumps({"text": asked.text, "k": K}), "expect": {"hits": sources, "k": K}}
            lines.append(json.dumps({"kind": "memory.search", **wanted, **scope}))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return counts[0], counts[1]
