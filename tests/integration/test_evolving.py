"""What an operator lets the agent change, with a real guardian: feedback, hold, policy, operators, strategy."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from o_tui import client
from o_tui.config import Config, EvolutionConfig
from o_tui.guardian.evolving import initiative
from o_tui.paths import Paths, shipped
from o_tui.protocol.errors import NotFoundError, RefusedError, UsageError
from tests.support.guardians import running
from tests.support.patience import PATIENCE_S

SETTINGS = Config(evolution=EvolutionConfig(pairs=12, canary_pairs=0))
RECALL = (shipped("data") / "genome" / "recall.py").read_text("utf-8")


async def call(place: Paths, method: str, **params: Any) -> Any:
    def work() -> Any:
        with client.connect(place) as connection:
            return connection.call(method, wait_s=PATIENCE_S, **params)

    return await asyncio.to_thread(work)


async def evolve(place: Paths, **params: Any) -> dict[str, Any]:
    begun = await call(place, "evolve", **params)
    row: dict[str, Any] = await call(place, "evolution.wait", id=begun["evolution"])
    return row


async def test_feedback_is_of_an_answer_and_is_kept(workspace: Paths) -> None:
    async with running(workspace, SETTINGS):
        with pytest.raises(NotFoundError, match="there is no answer yet"):
            await call(workspace, "feedback", verdict="good")
        first = (await call(workspace, "say", text="what is 6*7"))["request_id"]
        last = (await call(workspace, "say", text="remember the kettle is copper"))["request_id"]
        assert (await call(workspace, "feedback", verdict="good"))["request_id"] == last
        said = await call(workspace, "feedback", verdict="bad", text="wrong", request_id=first)
        assert (said["request_id"], said["text"]) == (first, "wrong")
        with pytest.raises(UsageError, match="good or bad"):
            await call(workspace, "feedback", verdict="splendid")
        with pytest.raises(NotFoundError, match="no answer 'nobody'"):
            await call(workspace, "feedback", verdict="bad", request_id="nobody")
    async with running(workspace, SETTINGS):
        rows = await call(workspace, "feedback.list")
        assert [(row["verdict"], row["request_id"]) for row in rows] == [("bad", first), ("good", last)]


async def test_a_hold_is_shown_outlives_the_guardian_and_lets_rollback_through(workspace: Paths) -> None:
    async with running(workspace, SETTINGS):
        await call(workspace, "say", text="what is 6*7")
        row = await evolve(workspace, gene="recall", source=RECALL + "\n# one\n")
        await call(workspace, "approve", id=row["id"], digest=row["diff_sha256"])
        waits = await evolve(workspace, gene="recall", source=RECALL + "\n# two\n")
        await call(workspace, "hold", reason="a demo")
    async with running(workspace, SETTINGS):
        hold = (await call(workspace, "status"))["hold"]
        assert hold["held"] and hold["reason"] == "a demo"
        with pytest.raises(RefusedError, match=r"held by .*: a demo"):
            await call(workspace, "evolve", gene="recall", source=RECALL + "\n# three\n")
        with pytest.raises(RefusedError, match=r"held by .*: a demo"):
            await call(workspace, "approve", id=waits["id"], digest=waits["diff_sha256"])
        assert (await call(workspace, "rollback"))["version"] == "0.2.1"
        assert not (await call(workspace, "release"))["held"]
        assert (await evolve(workspace, gene="recall", source=RECALL + "\n# three\n"))["state"] == "pending"


async def test_real_operators_change_a_real_gene_chosen_by_the_gene_strategy(workspace: Paths) -> None:
    async with running(workspace, SETTINGS):
        row = await evolve(workspace, gene="recall", origin="auto", candidates=2)
        assert row["source"]["origin"] == "operators"
        assert row["state"] in ("pending", "rejected") and row["race"], row["reason"]
        assert await call(workspace, "intents.list") == [], "nothing was tried that nobody asked for"


async def test_the_strategy_is_a_gene_and_can_be_changed(workspace: Paths) -> None:
    text = (shipped("data") / "genome" / "strategy.py").read_text("utf-8").replace("DECAY = 0.9", "DECAY = 0.8")
    async with running(workspace, SETTINGS):
        row = await evolve(workspace, gene="strategy", source=text)
        assert row["state"] == "pending", row["reason"]
        assert row["risk"] == "low" and row["evidence"]["requests_from"]["recorded"] == 0
        done = await call(workspace, "approve", id=row["id"], digest=row["diff_sha256"])
        assert done["state"] == "promoted"


async def test_the_gene_strategy_chooses_in_an_instance(workspace: Paths) -> None:
    from o_tui.evolution.genome import Genome
    from o_tui.guardian.evolution_adapters import FleetInstances
    from o_tui.guardian.evolving.source_choice import SourceChoice

    async with running(workspace, SETTINGS) as guardian:
        genome = Genome.open(workspace.genome, shipped("data") / "genome")
        choice = SourceChoice(genome, FleetInstances(guardian), guardian.stores.learning)
        names, by = await choice.order(["operators", "others"])
        assert by == "strategy" and sorted(names) == ["operators", "others"]
        assert all(row["role"] in ("main", "standby") for row in guardian.instance_rows())


async def test_what_an_instance_asks_for_is_tried_when_it_is_quiet(
    workspace: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initiative, "QUIET_S", 0.2)
    async with running(workspace, SETTINGS) as guardian:
        assert guardian.initiative is not None
        guardian.initiative.asked("recall", "I find too little", "wider search")
        rows: list[dict[str, Any]] = []
        async with asyncio.timeout(PATIENCE_S):
            while not rows:
                await asyncio.sleep(0.05)
                rows = await call(workspace, "intents.list")
        assert rows[0]["gene"] == "recall" and rows[0]["figures"] == {}
        row = await call(workspace, "reject", id=rows[0]["evolution"], reason="not now")
        assert row["why"]["text"] == "the agent would like recall changed: I find too little"
        events = await call(workspace, "events.list", filter="kind:intent")
        assert events[0]["text"].endswith(f"tried as {row['id']}")


def test_the_commands(workspace: Paths) -> None:
    def run(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "o_tui", *words, "--data-dir", str(workspace.data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    client.start_guardian(workspace)
    try:
        assert "nothing is evolved or deployed" in run("hold", "--reason", "a demo")
        assert "a demo" in run("status")
        assert run("release") == "released\n"
        assert "medium risk" in run("policy", "recall", "auto", "--risk", "medium")
        assert "recall" in run("policy") and "nothing was seen" in run("history", "--intents")
        assert "until decided" in run("history", "--statistics")
        run("evolve", "recall", "--source", "others", code=1)
        assert "no_evidence" in run("history", "--state", "no_evidence", "--since", "1d")
        assert "nothing like that" in run("history", "--since", "9999-12-31")
        run("say", "hello")
        assert "was bad" in run("feedback", "bad", "too", "short")
    finally:
        with client.connect(workspace) as connection:
            client.stop_guardian(connection)
