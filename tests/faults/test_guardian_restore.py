"""A death in the middle of restoring a checkpoint or of taking one: one state or the other, never half."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from o_tui.guardian.core import Guardian
from o_tui.guardian.fleet.nursery import Nursery
from o_tui.paths import Paths
from o_tui.protocol import messages
from o_tui.protocol.errors import OError
from tests.support.guardian_process import Link, guardian_process, pids
from tests.support.guardians import running, until
from tests.support.patience import PATIENCE_S


@pytest.fixture
async def guardian(workspace: Paths) -> AsyncIterator[Guardian]:
    async with running(workspace) as started:
        await until(lambda: started.fleet.standby is not None and started.fleet.standby.state == "running")
        yield started


def kill(guardian: Guardian, role: str) -> None:
    fleet = guardian.fleet
    if role == "nursery" and fleet.nursery is not None:
        fleet.nursery.watch.kill()
    for name, instance in (("main", fleet.main), ("standby", fleet.standby)):
        if role in (name, "both") and instance is not None:
            instance.kill("drill: the test's")


async def kept(guardian: Guardian) -> str:
    ticket = await guardian.dispatch.ask('{"limit": 1000}', "memory.list", journalled=False)
    assert ticket.ok, ticket.error
    return ticket.answer


@pytest.mark.parametrize("role", ["nursery", "main", "both"])
async def test_killed_while_a_checkpoint_is_restored(guardian: Guardian, role: str) -> None:
    for number, delay_s in enumerate((0.0, 0.01, 0.03, 0.06, 0.1, 0.2)):
        assert (await guardian.dispatch.ask(f"remember old{number} is kept")).ok
        row = await guardian.checkpoints.take("test")
        assert (await guardian.dispatch.ask(f"remember new{number} is not")).ok
        restoring = asyncio.create_task(guardian.checkpoints.restore(row["id"]))
        await asyncio.sleep(delay_s)
        kill(guardian, role)
        async with asyncio.timeout(PATIENCE_S):
            try:
                await restoring
                restored = True
            except OError:
                restored = False
            memories = await kept(guardian)
        assert f"old{number}" in memories
        assert not restored or f"new{number} is" not in memories, "it said that it was restored"
        assert (await guardian.stores.wal.verify())["ok"]
        # whatever it was, every replica has it
        kill(guardian, "main")
        assert sorted(await kept(guardian)) == sorted(memories)
        await until(lambda: guardian.fleet.nursery is not None and guardian.fleet.standby is not None)


async def test_killed_while_a_checkpoint_is_taken(guardian: Guardian) -> None:
    for number, delay_s in enumerate((0.0, 0.002, 0.005, 0.01, 0.02, 0.05)):
        assert (await guardian.dispatch.ask(f"remember thing{number} is kept")).ok
        taking = asyncio.create_task(guardian.checkpoints.take("test"))
        await asyncio.sleep(delay_s)
        kill(guardian, "nursery")
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({taking})
            if taking.exception() is None:
                assert (await guardian.stores.vault.verify(taking.result()["id"]))["ok"]
            else:
                assert isinstance(taking.exception(), OError)
            assert f"thing{number}" in await kept(guardian)
            await until(lambda: guardian.fleet.nursery is not None)
    report = await guardian.stores.vault.verify()
    assert report["ok"], report
    assert not list(guardian.paths.checkpoints.glob("*.tmp")), "half a checkpoint was left"


async def test_the_guardian_is_killed_while_a_checkpoint_is_restored(workspace: Paths) -> None:
    row = None
    for delay_s in (0.0, 0.02, 0.05, 0.1):
        async with guardian_process(workspace) as process:
            link = await Link.connect(workspace)
            if row is None:
                await link.call("memory.add", text="old is kept")
                row = await link.call("checkpoint.create", reason="test")
            assert "old is kept" in str(await link.call("memory.list")), delay_s
            await link.call("memory.add", text=f"new{delay_s} may go")
            assert pids(await link.call("tree"))
            restoring = asyncio.create_task(link.call("checkpoint.restore", id=row["id"]))
            await asyncio.sleep(delay_s)
            process.kill()
            with contextlib.suppress(ConnectionError):  # it may have been quicker
                await restoring
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        assert "old is kept" in str(await link.call("memory.list"))
        assert (await link.call("wal.verify"))["ok"]
        # of one that was being written one copy may be missing: verifying makes it again
        assert (await link.call("checkpoint.verify"))["usable"]
        assert (await link.call("checkpoint.verify"))["ok"]
        assert await process.stop() == 0


async def test_a_checkpoint_that_every_nursery_dies_of_is_passed_over(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(workspace) as guardian:
        for number in range(2):
            assert (await guardian.dispatch.ask(f"remember fact{number} is kept")).ok
            bad = (await guardian.checkpoints.take("test"))["id"]
        assert (await guardian.dispatch.ask("remember fact2 is kept")).ok
    restore = Nursery.restore

    async def deadly(self: Nursery, message: messages.Restore, descriptors: Sequence[int] = ()) -> messages.Ready:
        if message.checkpoint_id == bad:
            self.watch.kill()
        return await restore(self, message, descriptors)

    monkeypatch.setattr(Nursery, "restore", deadly)
    async with asyncio.timeout(PATIENCE_S), running(workspace) as guardian:
        memories = await kept(guardian)
        assert all(f"fact{number}" in memories for number in range(3))
        rows = await guardian.stores.events.page(0, 200, kind="failed.restore")
        assert [row for row in rows if bad[:8] in row["text"]], rows


async def test_a_standby_that_is_ended_while_it_loads_is_no_failure_of_its_code(guardian: Guardian) -> None:
    fleet = guardian.fleet
    for _ in range(3):
        before = fleet.standby
        kill(guardian, "standby")
        await until(lambda before=before: fleet.standby not in (None, before))
        assert fleet.standby is not None and fleet.standby.state != "running"
        kill(guardian, "standby")
        await until(lambda: fleet.standby is not None and fleet.standby.state == "running")
    assert await guardian.stores.events.page(0, 500, kind="failed.genome") == []
