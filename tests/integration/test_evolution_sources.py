"""Sources, races, budgets, policies, holds and parts: a real repository and database, instances that stand in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from o_tui.evolution.history import read_trailers
from o_tui.evolution.samples import Outcome
from o_tui.guardian.evolving import offload
from o_tui.guardian.evolving.holding import Holding
from o_tui.guardian.evolving.seams import Operator
from o_tui.guardian.storage.evolution_rows import EvolutionRows
from o_tui.guardian.storage.learning_rows import LearningRows
from o_tui.protocol.errors import OError, RefusedError, UsageError
from tests.support import desk as desks
from tests.support.desk import ANN, RECALL, Desk, World, source
from tests.support.patience import PATIENCE_S

database, seed, world, desk, read_only = desks.database, desks.seed, desks.world, desks.desk, desks.read_only
EVE = Operator("eve", 1001, viewer=True)


def makes(*behaviours: str) -> Callable[..., Any]:
    """A process apart that proposes these, one batch after the other, and remembers what it is told."""
    left = [source(name) for name in behaviours]

    async def call(job: str, asked: dict[str, Any]) -> Any:
        assert job == "propose"
        made, left[: asked["count"]] = left[: asked["count"]], []
        known = (asked["state"] or {}).get("told", []) + [each["score"] for each in asked["learned"]]
        plain = [{"source": each, "operator": "literals", "parents": ["0" * 40], "detail": "3 -> 4"} for each in made]
        return {"proposals": plain, "state": {"told": known}}

    return call


@pytest.fixture
def learning(desk: Desk) -> LearningRows:
    return LearningRows(desk.database)


# --- operators: a race, and a fresh measurement of the winner


async def test_the_best_of_several_is_measured_again_and_waits(
    desk: Desk, world: World, learning: LearningRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("slow", "crash", "fast", "raise"))
    row = await desk.run("", origin="operators", candidates=4)
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert "+# fast" in row["diff"] and row["evidence"]["pairs"] >= 20
    scores = [each["score"] for each in row["race"]]
    assert scores[2] > 0.5 and all(score is None or score < 0 for score in (scores[0], scores[1], scores[3]))
    assert row["source"]["origin"] == "operators" and row["source"]["operator"] == "literals"
    assert row["budget"]["spent"]["requests"] > 2 * 20
    assert desk.genome.resolve(f"evolution/{row['id']}") == row["revision"]
    assert len({each["revision"] for each in row["race"]}) == 4, "each is a commit"
    await asyncio.gather(*desk.evolutions._tasks.values())
    told = await learning.portfolio("recall")
    assert (
        told is not None and len(told["told"]) == 4 and None in told["told"] and max(filter(None, told["told"])) > 0.5
    )
    approved = await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN)
    assert approved["state"] == "promoted"


async def test_the_winners_of_several_races_are_confirmed_together(
    desk: Desk, world: World, learning: LearningRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("o_tui.guardian.evolving.cycle.ROUND", 2)
    monkeypatch.setattr(offload, "call", makes("slow", "fast too", "fast", "raise", "slow # 2", "other"))
    row = await desk.run("", origin="operators", candidates=6)
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert "+# fast" in row["diff"]
    confirmed = row["evidence"]["confirmed"]
    assert [each["shown"] for each in confirmed["winners"]] == [True, True]
    assert all(each["e_value"] >= 1 / confirmed["alpha"] for each in confirmed["winners"])
    assert row["revision"] in [each["revision"] for each in confirmed["winners"]]
    assert "e-BH: 2 of 2 winners measured again are shown better at 1%" in row["evidence"]["reasons"][-1]
    assert desk.genome.resolve(f"evolution/{row['id']}") == row["revision"]
    assert (await desk.evolutions.approve(row["id"], row["diff_sha256"], ANN))["state"] == "promoted"


async def test_a_race_of_a_hundred_leaves_the_best_and_no_process(
    desk: Desk, world: World, learning: LearningRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [f"slow # {number}" for number in range(97)]
    monkeypatch.setattr(offload, "call", makes(*slow[:50], "fast", *slow[50:], "crash", "raise"))
    row = await desk.run("", origin="operators", candidates=100)
    assert (row["state"], row["verdict"]) == ("pending", "promote"), row["reason"]
    assert len(row["race"]) == 100 and "+# fast" in row["diff"]
    assert world.forked and not any(instance.alive for instance in world.forked)


async def test_each_of_a_race_has_rows_of_its_own_with_what_it_has_shown_by_now(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("slow", "fast", "slow # 2"))
    row = await desk.run("", origin="operators", candidates=3)
    assert row["state"] == "pending", row["reason"]
    rows = [data for topic, data in world.notices if topic == "shadow"]
    names = {each["id"].removeprefix(row["id"]) for each in rows}
    assert names == {"-t1", "-s1", "-t2", "-s2", "-t3", "-s3", "-twin", "-shadow"}
    last = {each["id"].removeprefix(row["id"]): each for each in rows}
    proven = last["-shadow"]["evidence"]
    assert proven["pairs"] == row["evidence"]["pairs"] >= proven["least"]
    assert proven["e_value"] == row["evidence"]["e_values"]["goal"] >= proven["wanted"] == 100
    assert last["-twin"]["evidence"] == {} and last["-s1"]["evidence"]["pairs"] < last["-s2"]["evidence"]["pairs"]
    assert {each["state"] for each in last.values()} == {"ended"}
    assert "waiting" in {each["state"] for each in rows}


async def test_where_nothing_is_better_nobody_is_bothered(
    desk: Desk, world: World, learning: LearningRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes("slow", "slow # 2", "crash"))
    row = await desk.run("", origin="operators", candidates=3)
    assert (row["state"], row["verdict"]) == ("rejected", "no_evidence")
    assert row["reason"].startswith("none of 3 candidates did better than main's code")
    assert [each["outcome"] for each in await learning.outcomes()] == ["no_evidence"]


async def test_real_operators_make_candidates_of_a_real_gene(desk: Desk, world: World) -> None:
    text = "# base\nLIMIT = 7\n\n\ndef recall(query, search, k, now_ns):\n    return search.find(query, LIMIT)[:k]\n"
    await desk.promote("fast")
    with pytest.raises(OError, match="failed"):
        await offload.call("propose", {"nonsense": 1})
    asked = {"seed": 1, "state": None, "learned": [], "archive": [["b", text, 0.0, "", ""]], "count": 3}
    made = await offload.call("propose", asked | {"several": False})
    assert len(made["proposals"]) == 3 and all("LIMIT" in each["source"] for each in made["proposals"])
    again = await offload.call("propose", asked | {"several": False})
    assert again["proposals"] == made["proposals"]


async def test_what_a_model_made_is_told_to_the_operators_as_a_model_s(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.answers = [f"```python\n{source('other')}```"]
    await desk.run("", origin="llm", goal="faster")
    seen: list[list[Any]] = []
    real = makes("slow")

    async def call(job: str, asked: dict[str, Any]) -> Any:
        seen.extend(asked["archive"])
        return await real(job, asked)

    monkeypatch.setattr(offload, "call", call)
    await desk.run("", origin="operators", candidates=1)
    assert [row[4] for row in seen[:2]] == ["", "llm scripted"] and seen[1][1] == source("other")


# --- a model: everything that it can get wrong is said to it, and in the row


async def test_a_model_hears_what_was_wrong_and_every_answer_is_paid_for(desk: Desk, world: World) -> None:
    world.answers = [
        "I would make it faster.",
        "<<<<<<< SEARCH\nno such line\n=======\nx\n>>>>>>> REPLACE",
        "<<<<<<< SEARCH\n# base\n=======\n# fast\n>>>>>>> REPLACE",
    ]
    row = await desk.run("", origin="llm", goal="faster")
    assert row["state"] == "pending", row["reason"]
    assert row["budget"]["spent"]["tokens"] == 300 and row["source"]["cost"]["tokens"] == 100
    assert "only words" in world.asked[1][1]["content"]
    assert "does not apply: the module has no such lines" in world.asked[2][1]["content"]
    message = desk.genome._repo[row["revision"]].message
    assert f"Prompt-SHA256: {row['source']['prompt_sha256']}\n" in message
    assert "Source: llm\n" in message and "Operator: scripted\n" in message and "Cost: tokens=100\n" in message
    assert read_trailers(message)["Evolution"] == row["id"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("Nothing to do.", "only words"),
        ("Nothing to do. " * 1_000, "only words"),
        ("<<<<<<< SEARCH\n# base\n", "half a block"),
        ("@@ -1 +1 @@\n-# bass\n+# fast\n", "does not apply"),
        ("@@ -1 +1 @@\n # base\n", "an empty diff"),
        (f"```python\n{source('base')}```", "nothing would change"),
    ],
)
async def test_a_model_that_makes_no_candidate_ends_in_one_clear_line(
    desk: Desk, world: World, answer: str, why: str
) -> None:
    world.answers = [answer] * 3
    row = await desk.run("", origin="llm", goal="faster")
    assert row["state"] == "rejected" and "\n" not in row["reason"]
    assert row["reason"].startswith("3 tries were no candidates; the last: ") and why in row["reason"]


async def test_why_earlier_candidates_failed_is_told_to_the_next_one(desk: Desk, world: World) -> None:
    await desk.evolve("slow")
    begun = await desk.evolve("fast")
    await desk.evolutions.reject(begun["id"], "it forgets names", ANN)
    world.answers = [f"```python\n{source('other')}```"]
    await desk.run("", origin="llm", goal="faster")
    asked = world.asked[0][1]["content"]
    assert "- slower: latency +100.0 %" in asked and "- it forgets names" in asked


# --- budgets


async def test_a_budget_ends_an_evolution_with_a_clear_line(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offload, "call", makes(*["slow", "fast"] * 10))
    row = await desk.run("", origin="operators", candidates=20, budget={"requests": 30})
    assert row["state"] == "failed"
    assert re.fullmatch(r"the budget is spent: \d+ of 30 requests", row["reason"])
    world.answers = ["words"] * 3
    row = await desk.run("", origin="llm", goal="x", budget={"tokens": 150})
    assert row["reason"] == "the budget is spent: 200 of 150 tokens of the model"
    with pytest.raises(UsageError, match="a budget has no 'hours'"):
        await desk.evolutions.evolve("recall", source("fast"), budget={"hours": 3})


# --- policies


async def test_auto_deploys_what_is_shown_better_in_the_operator_s_name(desk: Desk) -> None:
    await desk.evolutions.policies.set("recall", "auto", ANN)
    row = await desk.evolve("fast")
    while row["state"] not in ("promoted", "rolled_back"):
        row = await desk.evolutions.reports.show(row["id"])
        await asyncio.sleep(0)
    assert (row["state"], row["by"], row["risk"]) == ("promoted", "policy auto (operator ann)", "low")
    (audited,) = await desk.audit.page()
    assert (audited["who"], audited["verdict"]) == ("policy auto (operator ann)", "approved")
    assert "auto up to low risk" in audited["how"] and audited["diff_sha256"] == row["diff_sha256"]


async def test_auto_leaves_what_is_riskier_or_not_shown_better_to_the_operator(desk: Desk) -> None:
    await desk.evolutions.policies.set("recall", "auto", ANN)
    risky = await desk.run("# fast\nimport re\n" + RECALL)
    other = await desk.evolve("other")
    await desk.evolutions.close()
    assert risky["risk"] == "high" and other["verdict"] == "no_evidence"
    assert {row["id"] for row in await desk.evolutions.reports.pending()} == {risky["id"], other["id"]}
    assert await desk.verdicts() == []


async def test_a_frozen_gene_is_left_alone_and_a_viewer_sets_nothing(desk: Desk) -> None:
    policies = desk.evolutions.policies
    await policies.set("recall", "never", ANN)
    with pytest.raises(RefusedError, match="recall is frozen by ann"):
        await desk.evolve("fast")
    await desk.restarted().policies.set("recall", "always", ANN)
    assert (await desk.evolve("fast"))["state"] == "pending"
    with pytest.raises(RefusedError, match="forbidden: eve"):
        await policies.set("recall", "auto", EVE)
    for gene, policy, risk in (("kernel", "auto", "low"), ("recall", "perhaps", "low"), ("recall", "auto", "none")):
        with pytest.raises(UsageError):
            await policies.set(gene, policy, ANN, risk)
    assert [(row["gene"], row["policy"], row["who"]) for row in await policies.list()] == [("recall", "always", "ann")]


# --- holds


async def test_a_hold_outlives_the_guardian_and_what_runs_waits_at_its_next_stage(
    desk: Desk, world: World, learning: LearningRows
) -> None:
    holding = Holding(learning, lambda text, _row: world.events.append(("hold", text)))
    begun = await desk.evolutions.evolve("recall", source("gate"))
    await world.at_gate.wait()
    await holding.hold("a demo", ANN)
    world.hold = holding.why()
    world.gate.set()
    await asyncio.wait_for(world.held_back.wait(), PATIENCE_S)
    assert (await desk.evolutions.reports.show(begun["evolution"]))["state"] == "shadow"
    assert any("waits before pending: held by ann: a demo" in text for _level, text in world.events)
    after = Holding(learning, lambda _text, _row: None)
    await after.load()
    assert after.why() == "held by ann: a demo" and after.row()["held"]
    with pytest.raises(RefusedError, match="nothing is evolved just now: held by ann: a demo"):
        await desk.evolve("fast")
    for act in (after.hold("no", EVE), after.release(EVE)):
        with pytest.raises(RefusedError, match="forbidden"):
            await act
    assert not (await after.release(ANN))["held"] and after.why() == ""
    with pytest.raises(RefusedError, match="nothing is held"):
        await after.release(ANN)
    world.release()
    assert (await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S))["state"] == "pending"


# --- a part of a candidate


TWO = f"# fast\n{RECALL}\n\ndef more():\n    return 1\n"


async def test_a_part_is_tried_anew_and_the_whole_is_superseded(desk: Desk) -> None:
    whole = await desk.run(TWO)
    keep = ["recall.py:-1", "recall.py:+1"]
    begun = await desk.evolutions.accept_part(whole["id"], whole["diff_sha256"], keep, ANN, "the rest is noise")
    part = await asyncio.wait_for(desk.evolutions.reports.wait(begun["evolution"]), PATIENCE_S)
    assert part["state"] == "pending", part["reason"]
    assert desk.genome.source(part["revision"], "recall") == source("fast")
    assert part["evidence"]["pairs"] >= 20 and part["source"]["origin"] == "part"
    assert part["source"]["parents"] == [whole["revision"][:12]]
    old = await desk.evolutions.reports.show(whole["id"])
    assert (old["state"], old["by"]) == ("rejected", "ann")
    assert old["reason"] == f"superseded by {part['id']}, a part of it: the rest is noise"


async def test_a_part_of_what_has_changed_is_refused_and_nothing_is_lost(desk: Desk) -> None:
    whole = await desk.run(TWO)
    accept, digest = desk.evolutions.accept_part, whole["diff_sha256"]
    for arguments, error, text in (
        ((whole["id"], "0" * 64, ["+1"], ANN), RefusedError, "the candidate's diff is"),
        ((whole["id"], digest, ["+1"], EVE), RefusedError, "forbidden"),
        ((whole["id"], digest, ["+99"], ANN), UsageError, "no changed line"),
        ((whole["id"], digest, [], ANN), UsageError, "nothing of it"),
        ((whole["id"], digest, ["@1"], ANN), UsageError, "that is all of it"),
    ):
        with pytest.raises(error, match=text):
            await accept(*arguments)
    assert (await desk.evolutions.reports.show(whole["id"]))["state"] == "pending"
    late = await desk.run(TWO)
    await desk.evolutions.approve(whole["id"], digest, ANN)
    with pytest.raises(RefusedError, match="stale base"):
        await accept(late["id"], late["diff_sha256"], ["-1", "+1"], ANN)
    with pytest.raises(RefusedError, match="already approved by ann"):
        await accept(whole["id"], digest, ["-1", "+1"], ANN)


# --- learning


async def test_outcomes_are_kept_and_the_strategy_s_failure_is_no_obstacle(
    desk: Desk, world: World, learning: LearningRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await desk.promote("fast")
    await desk.evolutions.rollback("", ANN)
    await desk.evolve("crash")
    assert [(each["source"], each["outcome"]) for each in await learning.outcomes()] == [
        ("file", "rolled_back"),
        ("file", "rejected"),
    ]
    monkeypatch.setattr(offload, "call", makes())
    world.answers = [f"```python\n{source('fast')}```"]
    auto = await desk.run("", origin="auto", goal="faster")
    assert auto["state"] == "pending", auto["reason"]
    shown = (await desk.evolutions.reports.history(10))[0]
    assert shown["id"] == auto["id"] and shown["source"]["origin"] == "llm"
    found = await desk.evolutions.reports.statistics()
    assert found["count"] == 3 and found["states"] == {"pending": 1, "rejected": 1, "rolled_back": 1}
    assert found["sources"]["file"] == {"count": 2, "promoted": 0, "decided": 2, "rate": 0.0}
    assert found["decision_s"]["median"] > 0 and found["credit"]["sources"]["llm"]["tries"] == 1
    assert row["id"] in [each["id"] for each in await desk.evolutions.reports.history(source="file", gene="recall")]
    assert await desk.evolutions.reports.history(source="operators") == []
    assert [each["id"] for each in await desk.evolutions.reports.history(state="pending")] == [auto["id"]]
    assert await desk.evolutions.reports.history(since_ns=auto["time_ns"] + 1) == []


class Strategist:
    """Answers as the gene `strategy` would."""

    pid = 1

    def __init__(self, said: str, ok: bool = True) -> None:
        self.said, self.ok, self.killed = said, ok, False

    async def request(self, request: Any) -> Outcome:
        if self.said == "hang":
            await asyncio.Event().wait()
        return Outcome(self.ok, self.said, error="" if self.ok else "ValueError: no (strategy.py:3)")

    async def kill(self, exceeded: Any = None) -> None:
        self.killed = True


@pytest.mark.parametrize(
    ("said", "ok", "by"),
    [
        ('"llm"', True, "strategy"),
        ('"rm -rf"', True, "built in (the gene strategy chose what was not to choose from)"),
        ("{", True, "built in (the gene strategy chose what was not to choose from)"),
        ("", False, "built in (the gene strategy failed: ValueError: no (strategy.py:3))"),
        ("hang", True, "built in (the gene strategy did not choose within 0.1 s)"),
    ],
)
async def test_the_gene_chooses_and_where_it_fails_the_built_in_strategy_does(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, said: str, ok: bool, by: str
) -> None:
    monkeypatch.setattr("o_tui.guardian.evolving.source_choice.CHOOSE_S", 0.1)
    (desk.genome.path / "strategy.py").write_text("x")
    files = {"strategy.py": "", "recall.py": source("base")}
    monkeypatch.setattr(desk.genome, "files", lambda _revision: files)
    gene = Strategist(said, ok)

    async def fork(*_arguments: Any) -> Any:
        return gene

    monkeypatch.setattr(world, "fork_shadow", fork)
    names, who = await desk.evolutions._sourcing._choice.order(["operators", "llm"])
    assert sorted(names) == ["llm", "operators"] and who == by and gene.killed
    assert by != "strategy" or names[0] == "llm"


async def test_an_evolution_that_was_interrupted_teaches_nothing(desk: Desk, learning: LearningRows) -> None:
    row = await desk.evolve("fast")
    rows = EvolutionRows(desk.database)
    await rows.update(row["id"], {"state": "shadow", "resumed": [0]})
    await desk.restarted().recover()
    assert (await desk.evolutions.reports.show(row["id"]))["state"] == "failed"
    assert [each["outcome"] for each in await learning.outcomes()] == ["pending"]
