"""Reading foreign conversations into memories."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from o_tui.protocol.errors import NotFoundError, UsageError

_SESSION = re.compile(r"session_(\d+)$")
NEIGHBOURS = 2
FILE_LIMIT_BYTES = 256 * 1024 * 1024


def read_locomo(path: Path) -> list[dict[str, Any]]:
    """The turns of a LoCoMo file (Maharana et al. 2024), as arguments of `memory.add`.

    A memory's text says who spoke; its source is `locomo:<conversation>:<dialogue id>` and when that was; its context
    is the two turns before and the two after, which the recall searches too.

    Raises:
        NotFoundError: There is no such file.
        UsageError: It is not in that format.
    """
    try:
        if path.stat().st_size > FILE_LIMIT_BYTES:
            raise UsageError(f"{path} is larger than {FILE_LIMIT_BYTES >> 20} MiB")
        conversations = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    turns: list[dict[str, Any]] = []
    try:
        for conversation in conversations:
            turns.extend(_turns(conversation["sample_id"], conversation["conversation"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} is not a LoCoMo file: {error!r}") from error
    return turns


def _turns(name: str, conversation: dict[str, Any]) -> list[dict[str, Any]]:
    memories: list[dict[str, Any]] = []
    sessions = sorted(int(match[1]) for key in conversation if (match := _SESSION.match(key)))
    for number in sessions:
        when = conversation.get(f"session_{number}_date_time", "")
        turns = conversation[f"session_{number}"]
        texts = [_spoken(turn) for turn in turns]
        for place, turn in enumerate(turns):
            around = texts[max(0, place - NEIGHBOURS) : place] + texts[place + 1 : place + 1 + NEIGHBOURS]
            memories.append(
                {
                    "text": texts[place],
                    "source": f"locomo:{name}:{turn['dia_id']} {when}".strip(),
                    "kind": "episodic",
                    "context": " ".join(around),
                }
            )
    return memories


def _spoken(turn: dict[str, Any]) -> str:
    caption = turn.get("blip_caption")
    return f"{turn['speaker']}: {turn['text']}" + (f" [{caption}]" if caption else "")
