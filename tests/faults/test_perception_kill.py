"""kill -9 of the guardian: what perception has learned of a genome goes on with the next one."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from o_tui.guardian.evolving.perception import Perception
from o_tui.guardian.evolving.perception_rows import PerceptionRows
from o_tui.guardian.storage import schema
from o_tui.guardian.storage.database import Database
from o_tui.guardian.storage.rows import DETECTORS
from o_tui.paths import Paths
from tests.support.guardian_process import Link, Process, settle
from tests.support.guardians import running, until

SOON = "from o_tui.guardian.evolving import perception_rows; perception_rows.KEEP_S = 0.0"
ASKED = 60


async def ask(link: Link) -> None:
    for number in range(ASKED):
        await link.call("say", text=f"hello number {number}")
        await asyncio.sleep(0.02)  # no more often is anything looked at


def kept(place: Paths) -> int:
    """How many values of latency are durable."""
    with contextlib.closing(schema.connect_reader(place.database)) as connection:
        rows = connection.execute("SELECT data FROM detectors WHERE name = 'respond latency'").fetchall()
    return int(msgspec.msgpack.decode(rows[0][0])[3]) if rows else 0


async def test_a_killed_guardian_has_not_forgotten_what_is_usual(workspace: Paths) -> None:
    settle(workspace, "[evolution]\nintents_per_day = 0\n")
    process = Process(workspace, SOON)
    try:
        assert (await process.start()).get("ok")
        link = await Link.connect(workspace)
        await ask(link)
        await until(lambda: kept(workspace) > ASKED / 2)
        process.kill()
    finally:
        process.close()
    async with running(workspace) as guardian:
        detector = guardian.perception._detectors["respond", "latency"]
        assert ASKED / 2 < detector.values <= ASKED
        before = detector.values
        await guardian.dispatch.ask("one more")
        assert detector.values == before + 1 and guardian.perception._detectors["respond", "latency"] is detector


async def test_a_damaged_row_is_learned_anew(workspace: Paths) -> None:
    database = await asyncio.to_thread(Database.open, workspace)
    database.start()
    perception = Perception(lambda _intent: None)
    rows = PerceptionRows(database, perception)
    perception.forget("one")
    perception.answered("r1", "one", 2.0, None)
    await rows.keep(now=True)
    await database.write(lambda connection: connection.execute("UPDATE detectors SET data = x'00'"))
    after = Perception(lambda _intent: None)
    await PerceptionRows(database, after).load("one")
    assert after._detectors == {}
    found = await database.read(f"SELECT {DETECTORS.all_columns} FROM detectors")
    assert found and not any(DETECTORS.intact(row) for row in found)
    await database.close()
