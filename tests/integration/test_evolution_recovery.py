"""The guardian dies anywhere in an evolution, a canary or a watch: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from o_tui.evolution.genome import Genome
from o_tui.guardian import doctor
from o_tui.guardian.evolving import deploying, elapsed, evolution_book, offload
from o_tui.guardian.evolving.seams import Fault
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.paths import Paths
from o_tui.protocol.errors import OError, PeerError, RefusedError
from tests.support import desk as desks
from tests.support.desk import ANN, Desk, KilledError, World, source
from tests.support.patience import PATIENCE_S

database, seed, world, desk, read_only = desks.database, desks.seed, desks.world, desks.desk, desks.read_only


# --- a full disk


async def until(desk: Desk, evolution: str, state: str) -> dict[str, Any]:
    """The row, once it says so."""
    while (row := await desk.evolutions.reports.show(evolution))["state"] != state:
        await asyncio.sleep(0.01)
    return row


@pytest.mark.parametrize("again", [False, True], ids=["the first run", "another run"])
async def test_a_disk_that_is_full_in_the_middle_is_one_line_at_once_and_a_row_when_there_is_room(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(evolution_book, "AGAIN_S", 0.02)
    if again:
        world.gate.set()
        row = await desk.evolve("gate")
        world.gate.clear()
        world.at_gate.clear()
        begun = await desk.evolutions.measure_again(row["id"], row["diff_sha256"], ANN)
    else:
        begun = await desk.evolutions.evolve("recall", source("gate"))
    waiting = asyncio.create_task(desk.evolutions.reports.wait(begun["evolution"]))
    await world.at_gate.wait()

    async def full(_job: Any) -> Any:
        raise PeerError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(desk.database, "write", full)
        world.gate.set()
        with pytest.raises(PeerError, match=r"the disk is full.*\(to be recorded when that is possible"):
            await asyncio.wait_for(waiting, PATIENCE_S)
        assert (await desk.evolutions.reports.show(begun["evolution"]))["state"] == "shadow"
    row = await asyncio.wait_for(until(desk, begun["evolution"], "pending" if again else "failed"), PATIENCE_S)
    assert "the disk is full" in row["reason"]
    assert not await desk.evolutions.busy("recall") or again
    assert (await desk.evolve("fast"))["state"] == "pending"


async def test_a_promotion_that_the_disk_does_not_take_is_told_as_done_and_recorded_later(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evolution_book, "AGAIN_S", 0.02)
    row = await desk.evolve("fast")
    real = desk.database.write
    with monkeypatch.context() as patch:

        async def full(job: Any) -> Any:
            if world.reloads:
                raise PeerError("the disk is full")
            return await real(job)

        patch.setattr(desk.database, "write", full)
        promoted = await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
        assert promoted["state"] == "promoted"
        assert (await desk.evolutions.reports.show(row["id"]))["state"] == "canary"
    assert (await asyncio.wait_for(until(desk, row["id"], "promoted"), PATIENCE_S))["deployed"] == desk.genome.head()
    assert await desk.verdicts() == [("approved", row["id"])]


async def test_harm_is_undone_at_once_though_the_disk_takes_nothing_and_recorded_when_it_does(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploying, "AGAIN_S", 0.02)
    row = await watched(desk)
    with monkeypatch.context() as patch:

        async def full(_job: Any) -> Any:
            raise PeerError("the disk is full")

        patch.setattr(desk.database, "write", full)
        undoing = asyncio.create_task(desk.evolutions._deploying._harmed(row, "latency +40 %"))
        while world.files["recall.py"] != source("base"):
            await asyncio.sleep(0.01)
        reloads = len(world.reloads)
        await asyncio.sleep(0.1)
        assert len(world.reloads) == reloads, "once is enough"
        assert (await desk.evolutions.reports.show(row["id"]))["state"] == "promoted"
    await asyncio.wait_for(undoing, PATIENCE_S)
    shown = await desk.evolutions.reports.show(row["id"])
    assert (shown["state"], shown["reason"]) == ("rolled_back", "rolled back by itself: latency +40 %")
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1")
    assert await desk.verdicts() == [("approved", row["id"]), ("rolled_back", row["id"])]


# --- the guardian's death


@pytest.mark.parametrize("state", ["intent", "checkpoint", "generate", "validate", "shadow"])
async def test_what_was_in_the_middle_begins_anew_and_once_only(desk: Desk, world: World, state: str) -> None:
    row = await desk.evolve("fast")
    rows = EvolutionRows(desk.database)
    for ended in ("pending", "pending" if state == "intent" else "failed"):
        await rows.update(row["id"], {"state": state})
        after = desk.restarted()
        await after.recover()
        shown = await asyncio.wait_for(after.reports.wait(row["id"]), PATIENCE_S)
        assert shown["state"] == ended, shown["reason"]
    assert ended == "pending" or shown["reason"] == "interrupted: the guardian ended twice at the same place"
    assert len(desk.genome.log()) == 1


async def test_what_an_earlier_o_did_not_write_down_has_failed(desk: Desk) -> None:
    row = await desk.evolve("fast")
    rows = EvolutionRows(desk.database)
    await rows.add({**row, "id": "eold", "state": "intent"})
    after = desk.restarted()
    await after.recover()
    shown = await after.reports.show("eold")
    assert (shown["state"], shown["reason"]) == ("failed", "interrupted: the guardian ended in the middle")


async def test_what_waits_for_its_turn_waits_again_in_the_same_order(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def call(_job: str, asked: dict[str, Any]) -> Any:
        made = {"source": source("fast"), "operator": "literals", "parents": ["0" * 40], "detail": "3 -> 4"}
        return {"proposals": [made] * bool(asked["count"]), "state": {}}

    monkeypatch.setattr(offload, "call", call)
    bad = "# slow\nx = '\udcff'\n"
    first = await desk.evolutions.evolve("recall", source("gate"))
    second = await desk.evolutions.evolve("recall", origin="operators", metric="latency", population=1, generations=1)
    third = await desk.evolutions.evolve("recall", bad.encode("utf-8", "surrogateescape"))
    await world.at_gate.wait()
    await desks.killed(desk, monkeypatch)
    world.gate.set()
    await desk.evolutions.recover()
    ended = [
        await asyncio.wait_for(desk.evolutions.reports.wait(each["evolution"]), PATIENCE_S)
        for each in (first, second, third)
    ]
    assert [row["state"] for row in ended] == ["pending", "pending", "rejected"], [row["reason"] for row in ended]
    assert ended[1]["generations"][0]["measured"] == 1 and "not UTF-8" in ended[2]["reason"]
    assert [row["decided_ns"] for row in ended] == sorted(row["decided_ns"] for row in ended)
    told = [text.rpartition(", and ")[2] for _level, text in world.events if "by the guardian's end" in text]
    assert told == ["begins anew", *["waits for its turn again"] * 2]


async def test_an_edit_that_begins_anew_still_supersedes_what_was_edited(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await desk.evolve("fast")
    edit = await desk.evolutions.edit(row["id"], row["diff_sha256"], source("gate"), ANN)
    await world.at_gate.wait()
    await desks.killed(desk, monkeypatch)
    world.gate.set()
    await desk.evolutions.recover()
    assert (await asyncio.wait_for(desk.evolutions.reports.wait(edit["evolution"]), PATIENCE_S))["state"] == "pending"
    old = await asyncio.wait_for(until(desk, row["id"], "rejected"), PATIENCE_S)
    assert old["reason"] == f"superseded by {edit['evolution']}, an edit of it"


async def test_what_is_taken_up_under_a_hold_waits_until_it_is_released(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    await world.at_gate.wait()
    await desks.killed(desk, monkeypatch)
    world.gate.set()
    world.hold = "held by ann: a demo"
    forked = len(world.forked)
    await desk.evolutions.recover()
    await asyncio.wait_for(world.held_back.wait(), PATIENCE_S)
    assert (await desk.evolutions.reports.show(begun["evolution"]))["state"] == "intent"
    assert len(world.forked) == forked and any("held by ann: a demo" in text for _level, text in world.events)
    world.release()
    assert (await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S))["state"] == "pending"


async def test_what_waits_for_approval_still_waits(desk: Desk) -> None:
    row = await desk.evolve("fast")
    after = desk.restarted()
    await after.recover()
    assert [entry["id"] for entry in await after.reports.pending()] == [row["id"]]
    assert (await after.approve(row["id"], row["diff_sha256"], ANN))["state"] == "promoted"


@pytest.mark.parametrize("place", ["audit", "row", "promote", "tag", "reload", "verify", "recorded"])
async def test_an_approval_survives_the_guardians_death_anywhere(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Killed right after the named step began; the next guardian finishes it, once."""
    row = await desk.evolve("fast")

    def die(*_arguments: Any, **_more: Any) -> Any:
        raise KilledError

    deploy = desk.evolutions._deploying
    with monkeypatch.context() as patch:
        if place == "audit":
            patch.setattr(deploy._book, "change", die)
        elif place == "row":
            patch.setattr(deploy, "_deploy", die)
        elif place == "promote":
            patch.setattr(deploy._releases, "promote", die)
        elif place == "tag":
            patch.setattr(Genome, "_finish", die)
        elif place in ("reload", "verify"):
            world.die_at = place
        else:
            real = deploy._book.change

            async def change(row: dict[str, Any], **fields: Any) -> None:
                if fields.get("state") == "promoted":
                    raise KilledError
                await real(row, **fields)

            patch.setattr(deploy._book, "change", change)
        with pytest.raises(KilledError):
            await deploy.approve(row["id"], row["diff_sha256"], "", ANN)
    world.die_at = ""
    after = desk.restarted()
    await after.recover()
    assert (await asyncio.wait_for(after.reports.wait(row["id"]), PATIENCE_S))["state"] == "promoted"
    assert [entry["kind"] for entry in desk.genome.log()] == ["promotion", "seed"]
    assert desk.genome.resolve("v0.2.0") == desk.genome.head()
    assert await desk.verdicts() == [("approved", row["id"])]
    assert world.reloads[-1] == (desk.genome.head(), "0.2.0")
    again = desk.restarted()
    await again.recover()
    assert len(desk.genome.log()) == 2
    with pytest.raises(RefusedError, match="already approved by"):
        await again.approve(row["id"], row["diff_sha256"], ANN)


async def test_what_cannot_be_recovered_is_told(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    await EvolutionRows(desk.database).update(row["id"], {"state": "deploying"})
    (desk.genome.path / ".git" / "refs" / "heads" / "main").write_text("garbage\n")
    after = desk.restarted()
    await after.recover()
    assert any(level == "error" and "is damaged" in text for level, text in world.events)
    assert (await after.reports.show(row["id"]))["state"] == "deploying"


async def test_a_death_while_rolling_back_ends_rolled_back(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await desk.evolve("sick")
    deploy = desk.evolutions._deploying
    real = deploy._book.change

    async def change(row: dict[str, Any], **fields: Any) -> None:
        if fields.get("state") == "rolled_back":
            raise KilledError
        await real(row, **fields)

    monkeypatch.setattr(deploy._book, "change", change)
    with pytest.raises(KilledError):
        await deploy.approve(row["id"], row["diff_sha256"], "", ANN)
    after = desk.restarted()
    await after.recover()
    assert (await after.reports.show(row["id"]))["state"] == "rolled_back"
    assert [entry["kind"] for entry in desk.genome.log()] == ["rollback", "promotion", "seed"]


async def watched(desk: Desk) -> dict[str, Any]:
    """A promotion under watch, the traffic of which a test serves."""
    row = await desk.promote("fast")
    while not desk.world.road.told:
        await asyncio.sleep(0)
    return row


async def test_a_promotion_that_does_harm_is_taken_back(desk: Desk, world: World) -> None:
    row = await watched(desk)
    while (await desk.evolutions.reports.show(row["id"]))["state"] == "promoted":
        world.road.serve(by="main", ok=False)
    shown = await desk.evolutions.reports.show(row["id"])
    assert shown["state"] == "rolled_back" and shown["reason"].startswith("rolled back by itself: ")
    assert world.reloads[-2] == (row["base"], "0.1.0"), "at once, before git has been asked"
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1") and world.files["recall.py"] == source("base")
    assert await desk.verdicts() == [("approved", row["id"]), ("rolled_back", row["id"])]


@pytest.mark.parametrize("place", ["audit", "reload", "rollback", "tag", "recorded"])
async def test_taking_back_survives_the_guardians_death_anywhere(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    row = await watched(desk)
    deploy = desk.evolutions._deploying

    def die(*_arguments: Any, **_more: Any) -> Any:
        raise KilledError

    with monkeypatch.context() as patch:
        if place == "audit":
            patch.setattr(deploy, "_audit", die)
        elif place == "reload":
            world.die_at = place
        elif place in ("rollback", "tag"):
            patch.setattr(Genome, place if place == "rollback" else "_finish", die)
        else:
            real = deploy._book.change

            async def change(row: dict[str, Any], **fields: Any) -> None:
                if fields.get("state") == "rolled_back":
                    raise KilledError
                await real(row, **fields)

            patch.setattr(deploy._book, "change", change)
        with pytest.raises(KilledError):
            await deploy._harmed(row, "latency +40 %")
    world.die_at = ""
    for _ in range(2):
        after = desk.restarted()
        await after.recover()
        shown = await after.reports.show(row["id"])
        assert (shown["state"], shown["reason"]) == ("rolled_back", "rolled back by itself: latency +40 %")
        assert [entry["kind"] for entry in desk.genome.log()] == ["rollback", "promotion", "seed"]
        assert world.files["recall.py"] == source("base")


async def test_code_that_is_gone_was_rolled_back_by_nobody_and_is_said_to_be_missed(
    desk: Desk, world: World, tmp_path: Path, seed: Path, workspace: Paths
) -> None:
    row = await desk.promote("fast")
    await desk.evolutions.close()
    checks = {check["name"]: check for check in await asyncio.to_thread(doctor.checks, workspace)}
    assert "the code of 1 with it" in checks["changes"]["detail"], "its genome is elsewhere"
    shutil.rmtree(tmp_path / "genome")
    desk.genome = Genome.open(tmp_path / "genome", seed)
    after = desk.restarted()
    await after.recover()
    shown = await after.reports.show(row["id"])
    assert (shown["state"], shown["reason"]) == ("rolled_back", "its code is not in the genome any more")
    assert any("code of 1 approved changes is not in the genome" in text for _level, text in world.events), world.events


async def test_a_watch_goes_on_with_the_next_guardian(desk: Desk, world: World) -> None:
    row = await watched(desk)
    await desk.evolutions.close()
    assert not world.road.told
    after = desk.restarted()
    await after.recover()
    while not world.road.told:
        await asyncio.sleep(0)
    assert (await after.reports.show(row["id"]))["canary"]["state"] == "watching"
    await after.rollback("", ANN)
    await asyncio.sleep(0)
    assert not world.road.told, "what was rolled back is not watched"


@pytest.mark.parametrize("days", [-2, 2])
async def test_a_clock_that_is_set_ends_no_watch_and_begins_none_anew(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    row = await watched(desk)
    began = (await desk.evolutions.reports.show(row["id"]))["canary"]["watched_since"]
    await desk.evolutions.close()
    now_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + days * 86_400 * 10**9)
    assert 0 <= elapsed.since_s(began) < 3_600
    assert elapsed.since_s(began | {"boot": "another"}) == pytest.approx(max(0, days) * 86_400, abs=3_600)
    after = desk.restarted()
    await after.recover()
    async with asyncio.timeout(PATIENCE_S):
        while not world.road.told:
            await asyncio.sleep(0)
    shown = await after.reports.show(row["id"])
    assert (shown["canary"]["state"], shown["canary"]["watched_since"]) == ("watching", began)


async def test_a_canary_that_does_harm_is_never_a_version(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    world.road.faults = [Fault("it ended in service: exit 3")]
    with pytest.raises(OError, match=r"two-faced: .* in service: it ended in service: exit 3"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    shown = await desk.evolutions.reports.show(row["id"])
    assert (shown["state"], shown["canary"]["state"], shown["by"]) == ("rolled_back", "harm", "ann")
    assert len(desk.genome.log()) == 1 and world.reloads == [] and world.road.ended[0] is True
    assert (await desk.promote("other"))["version"] == "0.2.0", "and life goes on"


async def test_a_canary_that_cannot_be_started_fails(desk: Desk, world: World) -> None:
    row = await desk.run(source("fast") + "# unstartable\n")
    with pytest.raises(OError, match="the canary did not take it"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "failed" and world.reloads == []


async def stopped_in_canary(desk: Desk, world: World) -> dict[str, Any]:
    """An approved evolution whose guardian stops while its canary serves."""
    row = await desk.evolve("fast")
    task = asyncio.create_task(desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))
    await world.road.serving.wait()
    await desk.evolutions.close()
    with pytest.raises(OError, match="goes on at its step with the next one"):
        await task
    return row


async def test_a_stop_in_the_middle_of_a_canary_leaves_it_to_the_next_guardian(desk: Desk, world: World) -> None:
    row = await stopped_in_canary(desk, world)
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "canary" and world.road.ended == [True]
    after = desk.restarted()
    await after.recover()
    promoted = await asyncio.wait_for(after.reports.wait(row["id"]), PATIENCE_S)
    assert (promoted["state"], promoted["by"]) == ("promoted", "ann")
    assert await desk.verdicts() == [("approved", row["id"])]


async def test_an_approval_that_is_taken_up_under_a_hold_waits_and_is_kept(desk: Desk, world: World) -> None:
    row = await stopped_in_canary(desk, world)
    world.hold = "held by ann: a demo"
    for _ in range(2):
        after = desk.restarted()
        await after.recover()
        await asyncio.wait_for(world.held_back.wait(), PATIENCE_S)
        world.held_back.clear()
        assert (await after.reports.show(row["id"]))["state"] == "deploying" and len(world.road.started) == 1
        await after.close()
    after = desk.restarted()
    await after.recover()
    world.release()
    promoted = await asyncio.wait_for(after.reports.wait(row["id"]), PATIENCE_S)
    assert (promoted["state"], promoted["by"]) == ("promoted", "ann"), promoted["reason"]
    assert await desk.verdicts() == [("approved", row["id"])]
