"""Effects of a shadow are answered from what main was answered; nothing that a shadow does reaches the world."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

import msgpack

from o_tui.evolution.samples import RecordedReply

_SHOWN_CHARS = 160
Match = Literal["exact", "position", "none"]


def digest_arguments(arguments: dict[str, Any]) -> bytes:
    """SHA-256 of an effect's arguments, the same for equal arguments whatever the order of their keys."""
    packed: bytes = msgpack.packb(_sorted(arguments), use_bin_type=True)
    return hashlib.sha256(packed).digest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value


def _short(arguments: dict[str, Any]) -> str:
    text = json.dumps(_sorted(arguments), ensure_ascii=True, default=repr)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."


class Replay:
    """Answers the effects of one request, once.

    The recorded reply with the same kind and arguments is the answer. Where there is none (the memory that a prompt
    was made from may have grown since), the next unused reply of that kind is, and the effect counts as diverged.
    Where main asked for nothing of that kind (any more), there is no answer: the effect is refused, and what it would
    have done is told.
    """

    def __init__(self, replies: Sequence[RecordedReply]) -> None:
        self._unused = list(replies)
        self.effects = 0
        self.diverged: list[str] = []
        self.would_have = 0

    def answer(self, kind: str, arguments: dict[str, Any]) -> tuple[Match, RecordedReply | None]:
        """The reply to an effect, and how it was found; `effects` and `diverged` count along."""
        digest = digest_arguments(arguments)
        same_kind = [reply for reply in self._unused if reply.kind == kind]
        for reply in same_kind:
            if reply.digest == digest:
                self._unused.remove(reply)
                self.effects += 1
                return "exact", reply
        if not same_kind:
            self.would_have += 1
            self.diverged.append(f"{kind} would have been done: {_short(arguments)}")
            return "none", None
        self.diverged.append(f"{kind} {digest.hex()[:12]}")
        self._unused.remove(same_kind[0])
        return "position", same_kind[0]
