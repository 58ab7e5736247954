"""A workspace that an O of before has written: schema 1, its own genome, its checkpoint, its log."""

from __future__ import annotations

import asyncio
from pathlib import Path

from o_tui.guardian import doctor
from o_tui.guardian.storage import backup, schema
from o_tui.paths import Paths
from tests.support.guardians import running

OLD = Path(__file__).parents[1] / "data" / "workspace_1.tar.zst"
"""What `o-tui backup` wrote, of a version whose newest schema was the first, after two requests and a checkpoint."""


async def test_a_workspace_of_an_older_version_is_brought_forward_and_forgets_nothing(workspace: Paths) -> None:
    await asyncio.to_thread(backup.restore, OLD, workspace)
    checks = await asyncio.to_thread(doctor.checks, workspace)
    # a backup holds neither: they are made at the first start
    assert {check["name"] for check in checks if not check["ok"]} <= {"head", "genome"}
    (tables,) = (check["detail"] for check in checks if check["name"] == "tables")
    assert tables == f"version 1, of an earlier O: brought to {len(schema.migrations())} at the next start"
    async with running(workspace) as guardian:
        for question, known in (("what is the kettle made of?", "copper"), ("what colour is the boat?", "green")):
            assert known in (await guardian.dispatch.ask(question)).answer
        assert (await guardian.stores.wal.verify())["ok"]
        (kept,) = await guardian.stores.vault.list(limit=10)
        await guardian.checkpoints.restore(kept["id"])
        assert "green" not in (await guardian.dispatch.ask("what colour is the boat?")).answer
    async with running(workspace) as guardian:
        assert "copper" in (await guardian.dispatch.ask("what is the kettle made of?")).answer
        (told,) = await guardian.stores.events.page(kind="migrated")
        assert told["text"] == f"the database was brought {len(schema.migrations()) - 1} schema versions forward"
