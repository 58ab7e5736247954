"""What a trial is made of: requests to replay, and how each side answered them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from o_tui.protocol.refusals import Refusal

Source = Literal["recorded", "workload", "attack", "mirror"]
"""From the journal, the gene's workload, a kept attack, or live: main has just answered it."""


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """What main was answered when it asked for an effect.

    Attributes:
        kind: `llm.chat`, `tool.clock`, ...
        digest: SHA-256 of the arguments (see `replay.digest_arguments`).
        state: How it ended: "done" or "error".
        data: The reply's data, as in `messages.BrokerReply`.
    """

    kind: str
    digest: bytes
    data: dict[str, Any]
    state: Literal["done", "error"] = "done"


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request that both sides of a trial are given.

    Attributes:
        expect: What a right answer holds (see quality.py).
        scope: Requests of one scope are answered from a memory of their own; "": from the present one.
        held_back: For the proof alone: nothing is chosen by what was seen on it.
        attack: Of a kept attack: its kind, so what a right answer is (attack_requests.py).
    """

    id: str
    text: str
    kind: str = "chat"
    session: str = "main"
    time_ns: int = 0
    brain: str = ""
    replies: tuple[RecordedReply, ...] = ()
    source: Source = "recorded"
    expect: Mapping[str, Any] | None = None
    scope: str = ""
    held_back: bool = False
    attack: str = ""

    @property
    def key(self) -> str:
        """The same for every try of it: a try adds `~` and a number to the id."""
        return self.id.partition("~")[0]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one side answered one request.

    Attributes:
        ok: The request ended well.
        text: The answer.
        error: One line, empty when `ok`.
        wall_ns: From the frame's sending to `done`, taken by the guardian (monotonic).
        operations: How many it proposed; they are kept out of the log.
        wrote: SHA-256 over all of them, in order: what it would have done to the agent's memory.
        effects: Effects answered from the record.
        diverged: Effects that main was not recorded to have asked for like this, one line each.
        would_have: How many of them main had not asked for at all: they were refused.
        cpu_ns: CPU time of the process over the request; 0 where it could not be taken.
    """

    ok: bool
    text: str = ""
    error: str = ""
    wall_ns: int = 0
    operations: int = 0
    wrote: bytes = b""
    effects: int = 0
    diverged: tuple[str, ...] = ()
    would_have: int = 0
    cpu_ns: int = 0


Ending = Literal["answered", "error", "crash", "hang"]


@dataclass(frozen=True, slots=True)
class Side:
    """An outcome as it counts: with how the process took it, and how good the answer is (0 to 1; None: unknown)."""

    ending: Ending
    text: str = ""
    error: str = ""
    wall_ns: int = 0
    cpu_ns: int = 0
    effects: int = 0
    diverged: tuple[str, ...] = ()
    would_have: int = 0
    operations: int = 0
    wrote: bytes = b""
    quality: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the request was answered."""
        return self.ending == "answered"

    @property
    def answer(self) -> tuple[str, bytes]:
        """All that comes of the request for who asked: the text, and what memory would hold."""
        return self.text, self.wrote


@dataclass(frozen=True, slots=True)
class Pair:
    """The same request, given to main's code and to the candidate's, one after the other.

    Attributes:
        fork: Which pair of processes this was: pairs of the same fork are not independent. -1: of its own.
    """

    request: RecordedRequest
    main: Side
    candidate: Side
    fork: int = -1


@dataclass(slots=True)
class Trial:
    """All pairs of one evolution; of each side the largest memory (bytes, 0: unknown), and what it was refused."""

    pairs: list[Pair] = field(default_factory=list)
    main_peak_bytes: int = 0
    candidate_peak_bytes: int = 0
    main_refused: list[Refusal] = field(default_factory=list)
    candidate_refused: list[Refusal] = field(default_factory=list)
