"""Second tries: an operator edits a candidate, or has it measured again. A real repository and database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from o_tui.evolution import evidence
from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.protocol.errors import RefusedError, UsageError
from tests.support import desk as desks
from tests.support.desk import ANN, Desk, World, source
from tests.support.patience import PATIENCE_S

database, seed, world, desk, read_only = desks.database, desks.seed, desks.world, desks.desk, desks.read_only
EVE = Operator("eve", 1001, viewer=True)


async def settled(desk: Desk, evolution: str, state: str) -> dict[str, Any]:
    """The row, once it has a state; one that is left at once is not seen."""
    async with asyncio.timeout(PATIENCE_S):
        while (row := await desk.evolutions.reports.wait(evolution))["state"] != state:
            await asyncio.sleep(0.01)
    return row


# --- edited


async def test_an_edited_text_is_tried_anew_and_takes_the_place_of_the_first(desk: Desk) -> None:
    first = await desk.evolve("fast")
    text = source("fast") + "\n# by hand\n"
    begun = await desk.evolutions.edit(first["id"], first["diff_sha256"], text, ANN)
    edited = await settled(desk, begun["evolution"], "pending")
    assert desk.genome.source(edited["revision"], "recall") == text
    assert edited["source"]["origin"] == "edit" and edited["source"]["parents"] == [first["revision"][:12]]
    assert edited["evidence"]["pairs"] >= 20 and len(edited["stages"]) > 6
    assert edited["hypothesis"] == f"{first['id']}, edited by ann"
    old = await settled(desk, first["id"], "rejected")
    assert (old["by"], old["reason"]) == ("ann", f"superseded by {edited['id']}, an edit of it")
    with pytest.raises(RefusedError):
        await desk.evolutions.approve(first["id"], first["diff_sha256"], ANN)
    assert (await desk.evolutions.approve(edited["id"], edited["diff_sha256"], ANN))["state"] == "promoted"


async def test_a_slip_in_an_edited_text_leaves_the_first_one_waiting(desk: Desk) -> None:
    first = await desk.evolve("fast")
    begun = await desk.evolutions.edit(first["id"], first["diff_sha256"], "def recall(:\n", ANN)
    assert (await desk.evolutions.reports.wait(begun["evolution"]))["state"] == "rejected"
    await asyncio.gather(*desk.evolutions._superseding)
    assert (await desk.evolutions.reports.show(first["id"]))["state"] == "pending"


async def test_an_edit_of_what_has_changed_or_is_nothing_new_is_refused(desk: Desk) -> None:
    first = await desk.evolve("fast")
    digest = first["diff_sha256"]
    for arguments, error, text in (
        ((first["id"], "0" * 64, "x = 1\n", ANN), RefusedError, "the candidate's diff is"),
        ((first["id"], digest, "x = 1\n", EVE), RefusedError, "forbidden"),
        ((first["id"], digest, source("fast"), ANN), UsageError, "the candidate's text"),
        ((first["id"], digest, source("base"), ANN), UsageError, "main's text"),
        ((first["id"], digest, "#" * 1_000_000, ANN), UsageError, "at most"),
    ):
        with pytest.raises(error, match=text):
            await desk.evolutions.edit(*arguments)
    assert [row["id"] for row in await desk.evolutions.reports.pending()] == [first["id"]]


# --- measured again


async def test_another_shadow_run_replaces_the_evidence_and_outdates_an_approval_of_the_old(
    desk: Desk, world: World
) -> None:
    first = await desk.evolve("fast")
    asked = await desk.evolutions.measure_again(first["id"], first["diff_sha256"], ANN)
    assert asked == {"evolution": first["id"], "again": 1}
    during = await desk.evolutions.reports.show(first["id"])
    assert (during["state"], during["evidence_sha256"]) == ("shadow", first["evidence_sha256"])
    with pytest.raises(RefusedError):  # not while it is measured
        await desk.evolutions.approve(first["id"], first["diff_sha256"], ANN)
    second = await settled(desk, first["id"], "pending")
    assert second["evidence_sha256"] == evidence.digest(second["evidence"]) != first["evidence_sha256"]
    assert (second["diff_sha256"], second["revision"]) == (first["diff_sha256"], first["revision"])
    assert second["budget"]["spent"]["requests"] > first["budget"]["spent"]["requests"]
    with pytest.raises(RefusedError, match="changed: the evidence"):
        await desk.evolutions.approve(first["id"], first["diff_sha256"], ANN, first["evidence_sha256"])
    row = await desk.evolutions.approve(first["id"], first["diff_sha256"], ANN, second["evidence_sha256"])
    assert row["state"] == "promoted"


async def test_what_does_worse_in_another_run_is_rejected(desk: Desk, world: World) -> None:
    first = await desk.evolve("fast")
    row = await EvolutionRows(desk.database).get(first["id"])
    assert row is not None
    # the same commit does not turn bad by itself: here the row is about another one
    slow = await desk.evolve("slow")
    other = {name: slow[name] for name in ("revision", "diff_sha256")}
    await EvolutionRows(desk.database).update(first["id"], other)
    await desk.evolutions.measure_again(first["id"], slow["diff_sha256"], ANN)
    row = await settled(desk, first["id"], "rejected")
    assert row["verdict"] == "reject" and row["evidence_sha256"] == evidence.digest(row["evidence"])


@pytest.mark.parametrize("end", ["stopped", "killed"])
async def test_a_run_that_is_interrupted_leaves_the_change_waiting_with_its_evidence(desk: Desk, end: str) -> None:
    first = await desk.evolve("fast")
    if end == "stopped":
        await desk.evolutions.measure_again(first["id"], first["diff_sha256"], ANN)
        await desk.evolutions.close()
    else:  # nothing was said at the end: the row is as it was in the middle
        await EvolutionRows(desk.database).update(first["id"], {"state": "shadow", "again": 1})
    after = desk.restarted()
    await after.recover()
    row = await after.reports.show(first["id"])
    assert row["state"] == "pending" and row["evidence_sha256"] == first["evidence_sha256"]
    assert row["reason"].startswith("another shadow run was not finished")
    assert (await after.approve(row["id"], row["diff_sha256"], ANN, row["evidence_sha256"]))["state"] == "promoted"


async def test_only_an_operator_asks_for_it_and_only_of_what_waits(desk: Desk) -> None:
    first = await desk.evolve("fast")
    digest = first["diff_sha256"]
    with pytest.raises(RefusedError, match="forbidden"):
        await desk.evolutions.measure_again(first["id"], digest, EVE)
    with pytest.raises(RefusedError, match="the candidate's diff is"):
        await desk.evolutions.measure_again(first["id"], "0" * 64, ANN)
    await desk.evolutions.measure_again(first["id"], digest, ANN)
    with pytest.raises(RefusedError, match="it is shadow"):
        await desk.evolutions.measure_again(first["id"], digest, ANN)
    stopped = await desk.evolutions.reject(first["id"], "enough", ANN)
    assert (stopped["state"], stopped["reason"]) == ("rejected", "enough")
