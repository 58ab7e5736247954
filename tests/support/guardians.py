"""Starting real guardians in tests: in this process on this loop (o_tui/bench/guardians.py), and waiting for them."""

from __future__ import annotations

import asyncio
from typing import Any

from o_tui.bench.guardians import ECHO, PATIENT, running
from o_tui.guardian.audience import Nobody
from o_tui.guardian.core import Guardian
from tests.support.patience import PATIENCE_S

__all__ = ["ECHO", "PATIENT", "Follower", "running", "until"]


class Follower(Nobody):
    """In place of a guardian's views: one that follows, and keeps what it is told."""

    followers = 1

    def __init__(self, guardian: Guardian) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        guardian.audience = self

    def publish(self, topic: str, data: dict[str, Any]) -> None:
        self.told.append((topic, data))

    def said(self) -> list[str]:
        """The pieces of answers, as they were streamed."""
        events = [data for topic, data in self.told if topic == "chat.event"]
        return [str(event["data"]["text"]) for event in events if event["kind"] == "text"]


async def until(condition: object, timeout_s: float = PATIENCE_S) -> None:
    """Waits for a plain condition that no event announces; fails after `timeout_s`."""
    assert callable(condition)
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
