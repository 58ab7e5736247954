"""A checkpoint is proven by a fresh process before the log is cut behind it."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from o_tui.guardian import checkpointing
from o_tui.guardian.core import Guardian
from o_tui.guardian.proving import prove
from o_tui.paths import Paths
from o_tui.protocol import checkpoint
from o_tui.protocol.errors import CorruptError
from tests.support.guardians import running


@pytest.fixture
async def guardian(workspace: Paths) -> AsyncIterator[Guardian]:
    async with running(workspace) as started:
        yield started


async def test_a_good_checkpoint_is_proven_although_the_log_has_gone_on(guardian: Guardian) -> None:
    await guardian.dispatch.ask("remember the kettle is copper")
    row = await guardian.checkpoints.take("test")
    await guardian.dispatch.ask("remember the gate is green")
    await prove(guardian.fleet, guardian.stores, row)
    assert (await guardian.stores.vault.get(row["id"]))["proven"]


async def test_a_checkpoint_of_a_wrong_state_is_found(guardian: Guardian) -> None:
    await guardian.dispatch.ask("remember the kettle is copper")
    old = await guardian.checkpoints.take("test")
    await guardian.dispatch.ask("remember the gate is green")
    with os.fdopen(await guardian.stores.vault.open_fd(old["id"]), "rb") as file:
        header, sections = checkpoint.read(file)
        sections = {name: bytes(data) for name, data in sections.items()}
    # every digest of it is right, only its content is not what the log says at that entry
    pending = await guardian.stores.vault.begin(uuid.uuid4(), "a lie")
    with os.fdopen(os.dup(pending.fd), "wb") as file:
        lie = checkpoint.Header(
            uuid.UUID(pending.id), header.time_ns, guardian.stores.wal.seq, 0, 0, b"", guardian.stores.wal.digest
        )
        from o_tui.agent.state import State

        state = State.from_sections(sections)
        state.meta.seq, state.meta.digest = guardian.stores.wal.seq, guardian.stores.wal.digest
        checkpoint.write(file, state.sections(), lie)
    row = await guardian.stores.vault.commit(pending)
    with pytest.raises(CorruptError, match="not the replicas'"):
        await prove(guardian.fleet, guardian.stores, row)
    assert not (await guardian.stores.vault.get(row["id"]))["proven"]


async def test_the_log_is_cut_behind_proven_checkpoints_and_still_verifies(
    guardian: Guardian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointing, "CUT_ENTRIES", 10)
    for number in range(12):
        await guardian.dispatch.ask(f"remember number {number} is in the box")
    row = await guardian.checkpoints.take("test")
    await guardian.checkpoints.cut(row)
    assert await guardian.stores.wal.first_seq() >= row["seq"] - 1 > 10
    assert (await guardian.stores.wal.verify())["ok"]
    main = guardian.fleet.main
    assert main is not None
    answer = await guardian.dispatch.ask("what is in the box?")
    assert "number" in answer.answer
