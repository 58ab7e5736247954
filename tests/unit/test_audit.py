from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from o_tui.guardian.storage.audit import Audit
from o_tui.paths import Paths
from tests.support.storage import opened

ROW: dict[str, Any] = {
    "uid": 5,
    "how": "socket peer",
    "place": "pts/1",
    "evolution": "e1",
    "base": "b",
    "revision": "r",
    "diff_sha256": "d",
    "evidence_sha256": "e",
    "reason": "",
}


async def test_verdicts_are_chained(workspace: Paths) -> None:
    async with opened(workspace) as database:
        audit = Audit(database)
        first = await audit.approve_row(who="ann", verdict="approved", **ROW)
        await audit.approve_row(
            who="ben", verdict="rejected", **ROW | {"reason": "too slow", "evolution": "e2", "uid": 6}
        )
        assert (first["number"], first["who"], first["uid"], first["place"]) == (1, "ann", 5, "pts/1")
        assert await audit.verify() == {"ok": True, "approvals": 2, "first_bad": 0}
        assert [row["who"] for row in await audit.page()] == ["ben", "ann"]
        (found,) = await audit.find("e2")
        assert (found["by"], found["reason"]) == ("ben", "too slow")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE approvals SET verdict = 'approve'",
        "DELETE FROM approvals",
        "INSERT OR REPLACE INTO approvals SELECT * FROM approvals",
        "REPLACE INTO approvals SELECT * FROM approvals WHERE number = 1",
    ],
)
async def test_a_verdict_can_be_neither_changed_nor_removed(workspace: Paths, sql: str) -> None:
    async with opened(workspace) as database:
        audit = Audit(database)
        await audit.approve_row(who="ann", verdict="rejected", **ROW)
        before = await audit.page()
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            await database.write(lambda connection: connection.execute(sql))
        assert await audit.page() == before


@pytest.mark.parametrize(
    "sql", ["UPDATE approvals SET who = 'eve' WHERE number = 2", "DELETE FROM approvals WHERE number = 2"]
)
async def test_a_verdict_changed_behind_the_triggers_is_found(workspace: Paths, sql: str) -> None:
    async with opened(workspace) as database:
        audit = Audit(database)
        for who in ("ann", "ben", "cid"):
            await audit.approve_row(who=who, verdict="approved", **ROW)

        def behind(connection: sqlite3.Connection) -> None:
            for name in ("approvals_no_update", "approvals_no_delete"):
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute(sql)

        await database.write(behind)
        assert await audit.verify() == {"ok": False, "approvals": 1, "first_bad": 2}
