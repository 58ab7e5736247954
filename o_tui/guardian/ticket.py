"""A request on its way through the guardian."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from o_tui.guardian.instances import Instance


@dataclass(slots=True)
class Ticket:
    """A request on its way."""

    request_id: str
    text: str
    kind: str
    session: str
    time_ns: int
    answered: Callable[[Ticket], None]
    journalled: bool = True
    started_ns: int = field(default_factory=time.monotonic_ns)
    state: str = "accepted"
    instance: Instance | None = None
    attempts: int = 0
    proposed: int = 0
    deaths: int = 0
    crashes: int = 0
    proven: bool = False
    recovered: bool = False
    ok: bool = False
    answer: str = ""
    error: str = ""
    error_kind: str = ""
    elapsed_ms: float = 0.0

    def row(self) -> dict[str, Any]:
        """What views are shown."""
        return {
            "request_id": self.request_id,
            "text": self.text,
            "kind": self.kind,
            "answer": self.answer,
            "state": self.state,
            "error": self.error,
            "session": self.session,
            "time_ns": self.time_ns,
            "elapsed_ms": round(self.elapsed_ms, 3),
            "recovered": self.recovered,
            "attempts": self.attempts,
        }
