"""A stand-in for the guardian's traffic: tests say what the canary serves, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from o_tui.evolution.samples import RecordedRequest
from o_tui.guardian.evolving.seams import Fault, GenomeLoadError, Served
from o_tui.guardian.fleet.code import Code
from o_tui.protocol.errors import OError


@dataclass
class Road:
    """Implements `seams.Traffic`; what was done with it is kept for the test to look at.

    Attributes:
        on_divert: Called with each share that the canary gets.
        migration: Why the hook of a gene fails, if it does.
    """

    shares: list[float] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)
    migrated: list[str] = field(default_factory=list)
    told: list[Callable[[Served], None]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    on_divert: Callable[[float], None] = lambda _share: None
    migration: str = ""
    serving: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, code: Code, evolution: str) -> None:
        if "unstartable" in "".join(code.files.values()):
            raise GenomeLoadError("the canary did not take it")
        self.started.append(code.revision)

    async def migrate(self, text: str) -> None:
        self.migrated.append(text)
        if self.migration:
            raise OError(self.migration)

    def divert(self, share: float) -> None:
        self.shares.append(share)
        self.serving.set()
        self.on_divert(share)

    async def fault(self) -> Fault | None:
        return self.faults.pop(0) if self.faults else None

    async def end(self, *, at_once: bool) -> None:
        self.ended.append(at_once)

    def follow(self, told: Callable[[Served], None]) -> Callable[[], None]:
        self.told.append(told)
        return lambda: self.told.remove(told)

    async def recorded(self, served: Served) -> RecordedRequest:
        return RecordedRequest(served.request_id, served.text, served.kind, served.session, served.time_ns)

    def serve(
        self, text: str = "hello", by: str = "canary", *, ok: bool = True, fault: str = "", ms: float = 0
    ) -> None:
        """A real request has ended."""
        number = f"{len(text)}-{len(self.told)}"
        served = Served(number, text, "chat", "main", 1, by, ok, fault, int(ms * 1e6))
        for told in list(self.told):
            told(served)
