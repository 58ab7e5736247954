"""Reading foreign conversations into memories."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from o_tui.protocol.errors import NotFoundError, UsageError

_SESSION = re.compile(r"session_(\d+)$")
FILE_LIMIT_BYTES = 256 * 1024 * 1024


def read_locomo(path: Path) -> list[dict[str, Any]]:
    """The turns of a LoCoMo file (Maharana et al. 2024), as arguments of `memory.add`.

    A turn's source is `locomo:<conversation>:<dialogue id>`; its context is who spoke, when, and the turn before.

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
    turns: list[dict[str, Any]] = []
    sessions = sorted(int(match[1]) for key in conversation if (match := _SESSION.match(key)))
    for number in sessions:
        when = conversation.get(f"session_{number}_date_time", "")
        before = ""
        for turn in conversation[f"session_{number}"]:
            text = turn["text"]
            if caption := turn.get("blip_caption"):
                text = f"{text} [{caption}]"
            turns.append(
                {
                    "text": text,
                    "source": f"locomo:{name}:{turn['dia_id']}",
                    "kind": "episodic",
                    "context": f"{turn['speaker']} {when} {before}".strip(),
                }
            )
            before = text
    return turns
