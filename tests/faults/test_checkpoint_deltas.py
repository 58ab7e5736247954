"""Deltas of checkpoints under faults: a death or a full disk in the middle, a damaged base. Nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from o_tui.guardian.core import Guardian
from o_tui.guardian.fleet.processes import Watch
from o_tui.guardian.storage.vault_files import Pending
from o_tui.paths import Paths
from o_tui.protocol.errors import OError, PeerError
from tests.support.guardian_process import Link, guardian_process
from tests.support.guardians import running, until

FILLING = [random.Random(number).randbytes(900).hex() for number in range(40)]


async def fill(guardian: Guardian) -> dict[str, Any]:
    """Some state, so that a delta pays; the full checkpoint of it."""
    for text in FILLING:
        assert (await guardian.dispatch.ask(f"remember {text}")).ok
    row = await guardian.checkpoints.take("full")
    assert row["kind"] == "full"
    return row


async def remember(guardian: Guardian, what: str) -> None:
    assert (await guardian.dispatch.ask(f"remember {what} is kept")).ok


async def kept(guardian: Guardian) -> str:
    ticket = await guardian.dispatch.ask('{"limit": 1000}', "memory.list", journalled=False)
    assert ticket.ok, ticket.error
    return ticket.answer


@pytest.fixture
async def guardian(workspace: Paths) -> AsyncIterator[Guardian]:
    async with running(workspace) as started:
        await until(lambda: started.fleet.standby is not None and started.fleet.standby.state == "running")
        yield started


def damage(guardian: Guardian, row: dict[str, Any]) -> None:
    file = guardian.paths.checkpoints / f"{row['id']}.ckpt"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 4
    file.write_bytes(raw)


async def drop_rows(guardian: Guardian, row: dict[str, Any]) -> None:
    sql = "DELETE FROM checkpoint_parts WHERE checkpoint_id = ?"
    await guardian.stores.database.write(lambda connection: connection.execute(sql, (row["id"],)))


async def new_nursery(guardian: Guardian) -> None:
    """Everything starts cold: from a checkpoint and the log."""
    fleet = guardian.fleet
    old = fleet.nursery
    assert old is not None
    old.watch.kill()
    await until(lambda: fleet.nursery is not None and fleet.nursery is not old)
    for instance in (fleet.main, fleet.standby):
        if instance is not None:
            instance.kill("drill: the test's")


async def test_the_state_comes_back_from_a_delta_and_is_restored_from_one(guardian: Guardian) -> None:
    await fill(guardian)
    await remember(guardian, "the kettle")
    delta = await guardian.checkpoints.take("delta")
    assert delta["kind"] == "delta"
    await remember(guardian, "the gate")
    await new_nursery(guardian)
    memories = await kept(guardian)
    assert "the kettle" in memories
    assert "the gate" in memories
    await guardian.checkpoints.restore(delta["id"])
    memories = await kept(guardian)
    assert "the kettle" in memories
    assert "the gate" not in memories
    assert (await guardian.stores.vault.verify())["ok"]


async def test_a_small_state_that_was_loaded_again_gets_a_full_one_and_then_deltas(guardian: Guardian) -> None:
    """As after a death of the nursery: what was loaded has room to grow, which is over a third of a small state."""
    await fill(guardian)
    await remember(guardian, "the kettle")
    await new_nursery(guardian)
    await remember(guardian, "the gate")
    assert (await guardian.checkpoints.take("loaded"))["kind"] == "full"
    await remember(guardian, "the roof")
    assert (await guardian.checkpoints.take("next"))["kind"] == "delta"


@pytest.mark.parametrize("copies", ["one", "both"])
async def test_a_damaged_base_costs_no_memory(guardian: Guardian, copies: str) -> None:
    base = await fill(guardian)
    await remember(guardian, "the kettle")
    assert (await guardian.checkpoints.take("delta"))["kind"] == "delta"
    damage(guardian, base)
    if copies == "both":
        await drop_rows(guardian, base)
    await remember(guardian, "the gate")
    await new_nursery(guardian)
    memories = await kept(guardian)
    assert "the kettle" in memories
    assert "the gate" in memories
    events = str(await guardian.stores.events.page(limit=200))
    assert base["id"] in events
    assert list((guardian.paths.data / "quarantine").iterdir())
    await guardian.checkpoints.take("of the state as it was loaded")
    await remember(guardian, "the roof")
    await guardian.checkpoints.take("next")
    assert (await guardian.stores.vault.verify())["usable"] == (copies == "one")


async def test_the_writing_child_is_killed(guardian: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(guardian)
    await remember(guardian, "the kettle")
    nursery = guardian.fleet.nursery
    assert nursery is not None
    snapshot = nursery.snapshot

    async def killed(message: Any, descriptors: Any) -> tuple[Watch, int]:
        watch, seq = await snapshot(message, descriptors)
        watch.kill()
        return watch, seq

    with monkeypatch.context() as patch:
        patch.setattr(nursery, "snapshot", killed)
        for _ in range(5):
            with contextlib.suppress(OError):  # it may have been quicker
                await guardian.checkpoints.take("killed")
    assert not list(guardian.paths.checkpoints.glob("*.tmp"))
    row = await guardian.checkpoints.take("after")
    assert row["kind"] == "delta"
    assert (await guardian.stores.vault.verify())["ok"]


async def test_the_disk_is_full_while_a_delta_is_written(guardian: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(guardian)
    await remember(guardian, "the kettle")
    vault = guardian.stores.vault
    begin = vault.begin

    async def full(*arguments: Any, **options: Any) -> Pending:
        pending = await begin(*arguments, **options)
        os.close(pending.fd)
        pending.fd = os.open("/dev/full", os.O_RDWR)
        return pending

    with monkeypatch.context() as patch:
        patch.setattr(vault, "begin", full)
        with pytest.raises(PeerError, match="before it was done"):
            await guardian.checkpoints.take("no room")
    assert not list(guardian.paths.checkpoints.glob("*.tmp"))
    assert len(await vault.list()) == 1
    assert (await guardian.checkpoints.take("room again"))["kind"] == "delta"
    assert "the kettle" in await kept(guardian)


async def test_the_guardian_is_killed_between_the_steps_of_a_delta(workspace: Paths) -> None:
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        for text in FILLING:
            await link.call("memory.add", text=text)
        await link.call("checkpoint.create", reason="full")
        process.kill()
    async with guardian_process(workspace) as process:
        # a state that was loaded has room to grow, which small ones have not before
        await (await Link.connect(workspace)).call("checkpoint.create", reason="full")
        process.kill()
    for number, delay_s in enumerate((0.0, 0.01, 0.02, 0.04, 0.08)):
        async with guardian_process(workspace) as process:
            link = await Link.connect(workspace)
            memories = str(await link.call("memory.list", limit=1000))
            assert all(f"thing{earlier} is kept" in memories for earlier in range(number)), delay_s
            await link.call("memory.add", text=f"thing{number} is kept")
            taking = asyncio.create_task(link.call("checkpoint.create", reason="delta"))
            await asyncio.sleep(delay_s)
            process.kill()
            with contextlib.suppress(ConnectionError):  # it may have been quicker
                await taking
    async with guardian_process(workspace) as process:
        link = await Link.connect(workspace)
        assert "thing4 is kept" in str(await link.call("memory.list", limit=1000))
        assert (await link.call("checkpoint.verify"))["usable"]
        assert (await link.call("checkpoint.verify"))["ok"]
        # the first may be a full one: by how far the log was replayed, the state may lie otherwise than in its base
        kinds = [(await link.call("checkpoint.create", reason="delta"))["kind"] for _ in range(2)]
        assert kinds[1] == "delta"
        assert not list(workspace.checkpoints.glob("*.tmp"))
        assert await process.stop() == 0
