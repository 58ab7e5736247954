"""Somebody at a screen of a real guardian whose agent says what it is told, and code for that agent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from o_tui import client
from o_tui.config import Config
from o_tui.guardian.core import Guardian
from o_tui.paths import Paths
from tests.support.guardians import ECHO, running
from tests.support.patience import PATIENCE_S

HEAD = """from __future__ import annotations

from o_tui.agent.dsl import Context, Request, Say, Steps


def respond(request: Request, context: Context) -> Steps:
"""
LOUD = HEAD + "    yield Say(request.text.upper())\n"


class Operator:
    """Somebody at a screen: calls the public API over the socket."""

    def __init__(self, guardian: Guardian, place: Paths) -> None:
        self.guardian = guardian
        self._place = place

    async def call(self, method: str, **params: Any) -> Any:
        def work() -> Any:
            with client.connect(self._place) as connection:
                return connection.call(method, wait_s=PATIENCE_S, **params)

        return await asyncio.to_thread(work)

    async def say(self, text: str) -> str:
        return str((await self.call("say", text=text))["text"])

    async def evolve(self, source: str, gene: str = "respond", **more: Any) -> dict[str, Any]:
        begun = await self.call("evolve", gene=gene, source=source, **more)
        row: dict[str, Any] = await self.call("evolution.wait", id=begun["evolution"])
        return row

    async def pending(self, source: str) -> dict[str, Any]:
        row = await self.evolve(source)
        assert row["state"] == "pending", row["reason"]
        return row

    async def approve(self, row: dict[str, Any]) -> dict[str, Any]:
        approved: dict[str, Any] = await self.call("approve", id=row["id"], digest=row["diff_sha256"])
        return approved

    async def promote(self, source: str) -> dict[str, Any]:
        return await self.approve(await self.pending(source))


@contextlib.asynccontextmanager
async def operating(place: Paths, settings: Config) -> AsyncIterator[Operator]:
    """An operator who has talked with the agent already: there are requests to replay."""
    async with running(place, settings, ECHO) as guardian:
        someone = Operator(guardian, place)
        for number in range(6):
            assert await someone.say(f"hello number {number}") == f"hello number {number}"
        yield someone
