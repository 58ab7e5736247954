"""A request on its way through the guardian."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from o_tui.guardian.fleet.instances import Instance
from o_tui.protocol.errors import OError, PeerError

DISK = "disk"
"""The kind of a request's error where the disk took nothing; the other kinds are the broker's."""


def kind_of(error: OError) -> str:
    """The kind of error that a request ends with because of this one."""
    return DISK if isinstance(error, PeerError) else ""


@dataclass(slots=True)
class Ticket:
    """A request on its way.

    Attributes:
        kept: Its acceptance is durable, or need not be.
        pinned: Only the canary may answer it.
        by: The role of who ended it.
        fault: How the canary failed at it; main was given it then.
        sent_ns, waited_ns: When its instance was given it, and for how long that waited for the log.
        effects: How many effects it has asked for.
        written_bytes: What a model has written for it.
        crowded: Its instance had others in hand at the same time: how long it took says nothing.
    """

    request_id: str
    text: str
    kind: str
    session: str
    time_ns: int
    answered: Callable[[Ticket], None]
    journalled: bool = True
    kept: bool = False
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
    pinned: bool = False
    cancelled: bool = False
    by: str = ""
    fault: str = ""
    sent_ns: int = 0
    waited_ns: int = 0
    active_ns: int = 0
    effects: int = 0
    written_bytes: int = 0
    crowded: bool = False

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


def nobody(_told: object) -> None:
    """Nobody waits for this, or whoever did has been told already."""
