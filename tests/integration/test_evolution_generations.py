"""A population over generations: a real repository and database, instances that stand in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from o_tui.evolution.validation import Stage, Validation
from o_tui.guardian.evolving import candidate_pipeline, offload
from o_tui.guardian.evolving.evolution_book import RUNNING
from o_tui.guardian.evolving.sourcing import size_of
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.protocol.errors import UsageError
from tests.support import desk as desks
from tests.support.desk import ANN, Desk, World, killed, source
from tests.support.patience import PATIENCE_S

database, seed, world, desk, read_only = desks.database, desks.seed, desks.world, desks.desk, desks.read_only


def makes(*behaviours: str) -> tuple[Callable[..., Any], list[dict[str, Any]]]:
    """A process apart that proposes these, and what it was asked each time."""
    left, known = [source(name) for name in behaviours], list[dict[str, Any]]()

    async def call(job: str, asked: dict[str, Any]) -> Any:
        if asked["count"]:
            known.append(asked)
        count = min(asked["count"], 3)
        made, left[:count] = left[:count], []
        plain = [{"source": each, "operator": "literals", "parents": ["0" * 40], "detail": "3 -> 4"} for each in made]
        return {"proposals": plain, "state": {}}

    return call, known


async def search(desk: Desk, population: int = 6, number: int = 2, **more: Any) -> dict[str, Any]:
    asked = {"metric": "latency", "population": population, "generations": number} | more
    return await desk.run("", origin="operators", **asked)


def fast_is_faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candidate `fast` answers otherwise where validation runs it; reading it finds nothing."""
    validate = candidate_pipeline.validate_apart

    async def faulty(gene: str, text: str | bytes, *more: Any, **named: Any) -> Validation:
        found = await validate(gene, text, *more, **named)
        if named["reading"] or "# fast\n" not in str(text):
            return found
        return Validation((*found.stages[:-1], Stage("probe", "fail", 1.0, "recall: another answer")))

    monkeypatch.setattr(candidate_pipeline, "validate_apart", faulty)


async def test_the_best_of_two_generations_is_raced_proven_and_waits(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, asked = makes(
        "slow", "crash", "raise", "fast too", "unloadable", "hang",
        "slow # 2", "burglar", "fast", "slow # 3", "other", "slow # 4",
    )  # fmt: skip
    monkeypatch.setattr(offload, "call", call)
    row = await search(desk)
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert "+# fast\n" in row["diff"] and row["evidence"]["pairs"] >= 20
    first, second = row["generations"]
    assert (first["measured"], second["measured"], first["of"]) == (6, 6, 2)
    assert (first["failed"], second["failed"]) == (3, 1), "a crash, a hang, what cannot be loaded; a refused call"
    assert second["score"] > first["score"] > 0
    assert len(row["race"]) == 2, "only what was better is raced"
    looked = [
        each["data"] for each in await EvolutionRows(desk.database).decisions(row["id"]) if "rungs" in each["data"]
    ]
    assert len(looked) == 12 and sum(each["score"] is None for each in looked) == 4
    members = [each[2] for each in asked[-1]["archive"]]
    assert members[0] == 0 and len(members) > 4, "the next ones are made of what is known"
    message = desk.genome._repo.get(row["revision"]).message
    assert all(line in message for line in ("\nGeneration: 2\n", "\nSource: operators\n", "\nOperator: literals\n"))
    assert (await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))["state"] == "promoted"
    assert not any(instance.alive for instance in world.forked)


async def test_who_watches_sees_which_candidate_of_how_many_it_is_at(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", "slow", "fast too", "other")[0])
    row = await search(desk, 2, 2)
    assert row["state"] == "pending" and row["work"] == {}
    works = [data["work"] for topic, data in world.notices if topic == "evolution" and data["work"]]
    told = {(work["doing"], work["at"], work["of"]) for work in works}
    assert {("make", 2, 2), ("validate", 2, 2), ("look", 1, 2), ("look", 2, 2)} <= told
    assert ("final", 2, 2) in told and ("race", 2, 2) in told and ("prove", 1, 1) in told


async def test_where_no_generation_is_better_nobody_is_bothered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "call", makes("slow", "crash", "slow # 2", "slow # 3")[0])
    row = await search(desk, 2, 2)
    assert (row["state"], row["verdict"]) == ("rejected", "no_evidence")
    assert row["reason"] == "none of 4 candidates did better than main's code" and not row["race"]


async def test_who_is_many_times_slower_than_main_costs_a_few_requests(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("crawl", "slow")[0])
    row = await search(desk, 2, 1)
    assert row["generations"][0]["failed"] == 1 and world.served["crawl"] == 2 < world.served["slow"]


async def test_a_budget_ends_it_with_what_was_found(desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "call", makes("slow", "fast", *(f"slow # {n}" for n in range(48)))[0])
    row = await search(desk, 5, 10, budget={"requests": 600})
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert "+# fast\n" in row["diff"] and row["generations"][-1]["ended"].startswith("the budget is spent")
    assert 4 < sum(each["measured"] for each in row["generations"]) < 50
    assert row["budget"]["spent"]["requests"] <= 600 + 2


async def test_a_race_leaves_the_proof_half_of_what_is_left(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", "fast too", "slow")[0])
    row = await search(desk, 3, 1, budget={"requests": 62})
    assert len(row["race"]) == 2 and row["evidence"]["pairs"] > 0, row["reason"]
    assert (row["state"], row["verdict"]) == ("rejected", "no_evidence"), "so few pairs show nothing"


async def test_a_leader_that_fails_validation_is_nobody_s_parent(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, asked = makes("fast", "fast too", "slow", "slow # 2", "slow # 3", "slow # 4")
    monkeypatch.setattr(offload, "call", call)
    fast_is_faulty(monkeypatch)
    row = await search(desk, 3, 2)
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert "+# fast too\n" in row["diff"] and len(row["race"]) == 1
    assert all("# fast\n" not in each[1] for each in asked[-1]["archive"])
    assert "score" not in row["generations"][0]


async def test_a_stop_ends_it_and_its_best_are_members_of_the_next(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", "slow", "gate")[0])
    begun = await desk.evolutions.evolve("recall", origin="operators", metric="latency", population=3, generations=2)
    await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
    ended = await desk.evolutions.reject(begun["evolution"], "enough", ANN)
    assert ended["state"] in ("failed", "rejected") and not any(instance.alive for instance in world.forked)
    world.gate.set()
    call, asked = makes("slow # 2")
    monkeypatch.setattr(offload, "call", call)
    await search(desk, 1, 1)
    assert any("# fast\n" in each[1] and each[2] > 0 for each in asked[0]["archive"])


@pytest.mark.parametrize(
    "asked",
    [
        {"population": 5, "candidates": 3},
        {"population": 5, "origin": "file", "source": source("fast")},
        {"population": -1},
        {"generations": True},
        {"population": 5_000, "generations": 3},
    ],
)
async def test_a_population_is_asked_for_in_one_way(desk: Desk, asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await desk.evolutions.evolve("recall", **({"origin": "operators"} | asked))


def test_the_usual_population_is_the_design_s() -> None:
    assert (size_of("operators", 0, 50, 0), size_of("auto", 0, 0, 10)) == (size_of("operators", 0, 50, 10),) * 2
    assert size_of("operators", 0, 50, 10).wanted == 500


# --- a guardian's death


async def test_a_search_goes_on_behind_the_last_look(desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", "crash", "slow", "fast too", "gate")[0])
    asked = {"metric": "latency", "population": 3, "generations": 2, "budget": {"requests": 5_000}}
    begun = await desk.evolutions.evolve("recall", origin="operators", **asked)
    await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
    before = await desk.evolutions.reports.show(begun["evolution"])
    await killed(desk, monkeypatch)
    world.working, world.served = None, type(world.served)()
    call, known = makes("slow # 2", "slow # 3", "slow # 4")
    monkeypatch.setattr(offload, "call", call)
    await desk.evolutions.recover()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert "+# fast\n" in row["diff"] and row["resumed"] == [4]
    first, second = row["generations"]
    assert first == before["generations"][0], "nothing of it was looked at again"
    assert (first["measured"], first["failed"], second["measured"]) == (3, 1, 3)
    assert world.served["crash"] == world.served["slow"] == 0
    assert row["budget"]["limit"] == before["budget"]["limit"]
    assert row["budget"]["spent"]["requests"] > before["budget"]["spent"]["requests"]
    assert [each[1] for each in known[0]["archive"]][1:] == [source(each) for each in ("fast", "slow", "fast too")]
    assert len(world.checkpoints) == 1 and not any(instance.alive for instance in world.forked[5:])
    assert (await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))["state"] == "promoted"


async def test_a_look_that_was_written_when_its_line_was_not_is_counted(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("slow", "fast", "gate")[0])
    begun = await desk.evolutions.evolve("recall", origin="operators", metric="latency", population=3, generations=1)
    await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
    await killed(desk, monkeypatch)
    rows = EvolutionRows(desk.database)
    row = await desk.evolutions.reports.show(begun["evolution"])
    line = {"number": 1, "of": 1, "size": 3, "measured": 1, "failed": 0}
    await rows.update(row["id"], {"generations": [line]})
    world.working = None
    monkeypatch.setattr(offload, "call", makes("slow # 2", "slow # 3")[0])
    await desk.evolutions.recover()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(row["id"]), PATIENCE_S)
    assert row["generations"][0]["measured"] == 3 and row["generations"][0]["score"] > 0
    assert "+# fast\n" in row["diff"]


async def test_a_search_that_ends_the_guardian_twice_at_the_same_place_is_not_taken_up_again(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", *["gate"] * 3)[0])
    begun = await desk.evolutions.evolve("recall", origin="operators", metric="latency", population=3, generations=2)
    for _ in range(2):
        await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
        await killed(desk, monkeypatch)
        world.working = None
        world.at_gate.clear()
        await desk.evolutions.recover()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert (row["state"], row["reason"]) == ("failed", "interrupted: the guardian ended twice at the same place")


async def test_who_failed_validation_before_the_death_is_no_member_after_it(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", "slow", "gate")[0])
    fast_is_faulty(monkeypatch)
    begun = await desk.evolutions.evolve("recall", origin="operators", metric="latency", population=2, generations=2)
    await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
    await killed(desk, monkeypatch)
    world.working = None
    call, known = makes("slow # 2", "slow # 3")
    monkeypatch.setattr(offload, "call", call)
    await desk.evolutions.recover()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert (row["state"], row["verdict"]) == ("rejected", "no_evidence")
    assert "score" not in row["generations"][0] or row["generations"][0]["score"] < 0
    assert all("# fast\n" not in each[1] for each in known[0]["archive"])


async def test_a_guardian_that_took_a_search_up_leaves_it_to_the_next_where_it_is_stopped(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("fast", "gate")[0])
    begun = await desk.evolutions.evolve("recall", origin="operators", metric="latency", population=3, generations=1)
    await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
    await killed(desk, monkeypatch)
    world.working = None
    for _ in range(2):
        world.at_gate.clear()
        monkeypatch.setattr(offload, "call", makes("gate")[0])
        await desk.evolutions.recover()
        await asyncio.wait_for(world.at_gate.wait(), PATIENCE_S)
        await desk.evolutions.close()
        world.working = None
        desk.evolutions = desk.restarted()
        assert (await desk.evolutions.reports.show(begun["evolution"]))["state"] in RUNNING
    monkeypatch.setattr(offload, "call", makes("slow", "slow # 2")[0])
    await desk.evolutions.recover()
    row = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert row["state"] == "pending" and "+# fast\n" in row["diff"], row["reason"]
