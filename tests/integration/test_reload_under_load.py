"""New code is loaded while requests come at their times, whoever waits: none is lost, none fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from o_tui.guardian.core import Guardian
from o_tui.guardian.evolution_adapters import FleetInstances
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.ticket import Ticket
from o_tui.paths import Paths
from tests.integration import test_canary_service as service
from tests.support.guardians import ECHO, running, until
from tests.support.operating import LOUD, Operator

operator, validated = service.operator, service._validated_quickly
RATE = 200
SECONDS = 3.0


@dataclass
class Load:
    """Requests at their times, whether or not the ones before have been answered."""

    guardian: Guardian
    ended: list[Ticket] = field(default_factory=list)
    sent: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        began_s = time.perf_counter()
        while not self.over.is_set():
            while self.sent < (time.perf_counter() - began_s) * RATE:
                self.sent += 1
                self.guardian.dispatch.submit("hello", answered=self.ended.append)
            await asyncio.sleep(0.002)

    def answers(self) -> set[str]:
        """What was answered; fails where anything was lost, answered twice, or failed."""
        assert [ticket.error for ticket in self.ended if not ticket.ok] == []
        assert len(self.ended) == self.sent == len({ticket.request_id for ticket in self.ended})
        return {ticket.answer for ticket in self.ended}


@contextlib.asynccontextmanager
async def load(guardian: Guardian) -> AsyncIterator[Load]:
    """Requests as long as this is open; at its end, each has been answered."""
    found = Load(guardian)
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        found.over.set()
        await task
        await until(lambda: len(found.ended) == found.sent)


async def test_a_reload_between_two_requests_loses_none(workspace: Paths) -> None:
    async with running(workspace, seed=ECHO) as guardian:
        await until(lambda: guardian.fleet.standby is not None and guardian.fleet.standby.state == "running")
        genome = guardian.fleet.code
        loud = genome.files | {"respond.py": LOUD}
        async with load(guardian) as requests:
            for files, revision in ((loud, "1" * 40), (genome.files, genome.revision)) * 2:
                before = requests.sent
                await FleetInstances(guardian).hot_reload(Code(files, revision, genome.version), "a test")
                await until(lambda before=before: requests.sent > before + SECONDS / 4 * RATE)
        assert requests.answers() == {"hello", "HELLO"}, "old and new code answered"


@pytest.mark.usefixtures("validated")
async def test_a_canary_under_load_loses_none(operator: Operator) -> None:
    row = await operator.pending(LOUD)
    async with load(operator.guardian) as requests:
        promoted = await operator.approve(row)
    assert promoted["state"] == "promoted", promoted["reason"]
    assert requests.answers() == {"hello", "HELLO"}, "old code answered, and the canary"
