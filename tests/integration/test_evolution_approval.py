"""Approving, rejecting and rolling back: compare-and-set, once, and the old code always to be had."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from o_tui.guardian.evolving.seams import GenomeLoadError, Operator
from o_tui.guardian.fleet.code import Code
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.protocol.errors import NotFoundError, OError, RefusedError
from tests.support import desk as desks
from tests.support.desk import ANN, Desk, World, source

database, seed, world, desk, read_only = desks.database, desks.seed, desks.world, desks.desk, desks.read_only


# --- approval


async def test_an_approved_candidate_runs_and_is_a_version(desk: Desk, world: World) -> None:
    row = await desk.promote("fast")
    assert (row["state"], row["version"], row["by"]) == ("promoted", "0.2.0", "ann")
    assert world.reloads == [(desk.genome.head(), "0.2.0")] and world.files["recall.py"] == source("fast")
    assert await desk.verdicts() == [("approved", row["id"])]
    (approval,) = await desk.audit.page()
    assert approval["diff_sha256"] == row["diff_sha256"] and approval["evidence_sha256"] == row["evidence_sha256"]
    assert (approval["uid"], approval["how"], approval["place"]) == (1000, "socket peer", "local")
    log = (desk.genome.path / "CHANGELOG.md").read_text()
    assert "latency -50.0 %" in log and "approved by ann" in log
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "promoted"
    assert await desk.evolutions.reports.pending() == []


async def test_approving_is_compare_and_set(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    approve, digest = desk.evolutions.approve, row["diff_sha256"]
    with pytest.raises(NotFoundError):
        await approve("e00000000", digest, ANN)
    with pytest.raises(RefusedError, match="changed: nothing was named"):
        await approve(row["id"], "", ANN)
    with pytest.raises(RefusedError, match="changed: 0000"):
        await approve(row["id"], "0" * 64, ANN)
    with pytest.raises(RefusedError, match="changed: the evidence"):
        await approve(row["id"], digest, ANN, evidence_sha256="0" * 64)
    with pytest.raises(RefusedError, match="forbidden: eve may look"):
        await approve(row["id"], digest, Operator("eve", 1001, viewer=True))
    world.hold = "storage takes nothing"
    with pytest.raises(RefusedError, match="storage takes nothing"):
        await approve(row["id"], digest, ANN)
    world.hold = ""
    assert await desk.verdicts() == [] and world.reloads == []
    assert (await approve(row["id"], digest, ANN, evidence_sha256=row["evidence_sha256"]))["state"] == "promoted"


async def test_two_approvals_at_once_promote_once(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    approvals = [desk.evolutions.approve(row["id"], row["diff_sha256"], Operator(n, 1)) for n in ("ann", "bob", "cy")]
    results = await asyncio.gather(*approvals, return_exceptions=True)
    refused = [str(result) for result in results if isinstance(result, RefusedError)]
    assert refused == ["already approved by ann"] * 2
    assert len(world.reloads) == 1 and len(desk.genome.log()) == 2
    assert await desk.verdicts() == [("approved", row["id"])]


async def test_a_view_that_leaves_in_the_middle_changes_nothing(desk: Desk, world: World) -> None:
    row = await desk.evolve("fast")
    world.verify_gate = asyncio.Event()
    view = asyncio.create_task(desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))
    await world.reloaded.wait()
    view.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await view
    world.verify_gate.set()
    await desk.evolutions.close()
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "promoted"


async def test_a_stale_base_is_refused(desk: Desk) -> None:
    late = await desk.evolve("other")
    await desk.promote("fast")
    with pytest.raises(RefusedError, match="stale base: made from"):
        await desk.evolutions.approve(late["id"], late["diff_sha256"], ANN)
    assert (await desk.evolutions.reports.show(late["id"]))["state"] == "pending"


async def test_a_candidate_that_was_changed_in_git_is_refused(desk: Desk) -> None:
    row = await desk.evolve("fast")
    rows = EvolutionRows(desk.database)
    other = desk.genome.candidate("recall", source("sneaky"), row["base"], row["id"], "x", 0)
    await rows.update(row["id"], {"revision": other})
    with pytest.raises(RefusedError, match="changed: the candidate in git"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    await rows.update(row["id"], {"revision": row["revision"], "evidence": {**row["evidence"], "pairs": 10_000}})
    with pytest.raises(RefusedError, match="changed: the evidence"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)


@pytest.mark.parametrize(
    ("behaviour", "state"), [("unreloadable", "did not take it"), ("sick", "did not answer a probe")]
)
async def test_a_deployment_that_does_not_work_is_rolled_back(
    desk: Desk, world: World, behaviour: str, state: str
) -> None:
    before = desk.genome.digest("head")
    row = await desk.evolve(behaviour)
    with pytest.raises(OError, match=f"was approved and did not work, rolled back to the code of .*{state}"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "rolled_back"
    assert desk.genome.digest("head") == before and desk.genome.version("head") == "0.2.1"
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1")
    assert any(level == "error" and state in text for level, text in world.events)
    assert (await desk.promote("fast"))["version"] == "0.3.0", "and life goes on"


async def test_rejecting_names_its_reason(desk: Desk) -> None:
    row = await desk.evolve("fast")
    with pytest.raises(RefusedError, match="forbidden"):
        await desk.evolutions.reject(row["id"], "no", Operator("eve", 1001, viewer=True))
    rejected = await desk.evolutions.reject(row["id"][:5], "too clever", ANN)
    assert (rejected["state"], rejected["reason"], rejected["by"]) == ("rejected", "too clever", "ann")
    assert (await desk.audit.page())[0]["reason"] == "too clever"
    with pytest.raises(RefusedError, match="it is rejected: too clever"):
        await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    with pytest.raises(RefusedError, match="it is rejected"):
        await desk.evolutions.reject(row["id"], "again", ANN)


async def test_rejecting_one_that_runs_stops_it(desk: Desk, world: World) -> None:
    begun = await desk.evolutions.evolve("recall", source("gate"))
    await world.at_gate.wait()
    row = await desk.evolutions.reject(begun["evolution"], "changed my mind", ANN)
    assert (row["state"], row["reason"]) == ("rejected", "changed my mind")
    assert not any(instance.alive for instance in world.forked)


# --- back again


async def test_rolling_back_runs_the_old_code_as_a_new_version(desk: Desk, world: World) -> None:
    row = await desk.promote("fast")
    done = await desk.evolutions.rollback("", ANN)
    assert done["version"] == "0.2.1" and world.files["recall.py"] == source("base")
    assert world.reloads[-1] == (desk.genome.head(), "0.2.1")
    shown = await desk.evolutions.reports.show(row["id"])
    assert (shown["state"], shown["reason"]) == ("rolled_back", "rolled back by ann")
    assert await desk.verdicts() == [("approved", row["id"]), ("rolled_back", "")]
    with pytest.raises(RefusedError, match="no version before"):
        await desk.evolutions.rollback("", ANN)
    forward = await desk.evolutions.rollback("v0.2.0", ANN)
    assert forward["version"] == "0.2.2" and world.files["recall.py"] == source("fast")
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "promoted"


async def test_a_rollback_that_may_not_be_is_not_in_the_audit(desk: Desk) -> None:
    row = await desk.evolve("fast")
    for revision, error in (("", RefusedError), (row["revision"], RefusedError), ("v7", NotFoundError)):
        with pytest.raises(error):
            await desk.evolutions.rollback(revision, ANN)
    with pytest.raises(RefusedError, match="forbidden"):
        await desk.evolutions.rollback("", Operator("eve", 1001, viewer=True))
    assert await desk.verdicts() == []


async def test_a_rollback_to_code_that_does_not_run_leaves_what_ran(desk: Desk, world: World) -> None:
    await desk.promote("fast")
    first = desk.genome.resolve("v0.1.0")
    real = world.hot_reload

    async def reload(code: Code, reason: str) -> None:
        if "# base" in code.files["recall.py"]:
            raise GenomeLoadError("too old")
        await real(code, reason)

    world.hot_reload = reload  # type: ignore[method-assign]
    with pytest.raises(OError, match=rf"{first[:12]} does not run any more \(too old\)"):
        await desk.evolutions.rollback("", ANN)
    assert world.files["recall.py"] == source("fast") and desk.genome.source("head", "recall") == source("fast")


async def test_the_genome_can_be_looked_at(desk: Desk) -> None:
    row = await desk.promote("fast")
    newest, _seed = await desk.evolutions.reports.genome_log(10)
    assert (newest["version"], newest["evolution"]) == ("0.2.0", row["id"])
    shown = await desk.evolutions.reports.genome_show("v0.1.0", "recall.py")
    assert shown["text"] == source("base") and shown["files"] == ["genome.toml", "recall.py"]
    diff = await desk.evolutions.reports.genome_diff("v0.1.0")
    assert "+# fast" in diff["diff"] and diff["b"] == desk.genome.head()
    assert [entry["id"] for entry in await desk.evolutions.reports.history(5)] == [row["id"]]
