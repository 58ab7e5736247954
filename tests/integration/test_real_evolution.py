"""Evolutions with a real language model (mark `model`): every answer ends in a candidate, or in a line that says why.

The model is a small one and writes much that is of no use; that is the point. See test_real_llm.py for what it needs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from o_tui.config import BrainConfig, Config, EvolutionConfig
from o_tui.guardian.evolving import red_team
from o_tui.paths import Paths, locate
from tests.integration.test_real_llm import KEY, model, port
from tests.support.guardians import ECHO, running, until
from tests.support.operating import Operator
from tests.support.user_programs import files

__all__ = ["model", "port"]
pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="module")]
WAIT_S = 600.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def operator(port: int, model: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Operator]:
    """Somebody with a guardian whose model is the real one, and an agent that says what it is told."""
    place = locate(str(tmp_path_factory.mktemp("o") / "w"))
    place.prepare()
    brain = BrainConfig(provider="openai", model=model, base_url=f"http://127.0.0.1:{port}/v1", timeout_s=300.0)
    evolution = EvolutionConfig(pairs=12, request_s=1.0, canary_pairs=0, intents_per_day=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("O_TUI_API_KEY", KEY)
        patch.setattr(red_team, "QUIET_S", 1e9)
        async with running(place, Config(brain=brain, evolution=evolution), ECHO) as guardian:
            await until(lambda: guardian.effects.row()["ok"], 120)
            someone = Operator(guardian, place)
            for number in range(3):
                assert await someone.say(f"hello {number}") == f"hello {number}"
            yield someone


async def evolved(operator: Operator, goal: str, gene: str = "respond", **more: Any) -> dict[str, Any]:
    begun = await operator.call("evolve", gene=gene, origin="llm", goal=goal, **more)
    guardian = operator.guardian
    before = guardian.effects.usage.row()
    async with asyncio.timeout(WAIT_S):
        while (row := await operator.call("evolution.show", id=begun["evolution"]))["state"] not in (
            "pending", "rejected", "failed",
        ):  # fmt: skip
            await asyncio.sleep(0.5)
    after = guardian.effects.usage.row()
    assert after["calls"] > before["calls"] or row["state"] == "failed"
    return dict(row)


async def test_every_answer_is_a_candidate_or_a_line_that_says_why(operator: Operator) -> None:
    row = await evolved(operator, "Say the text in upper case: Say(request.text.upper())")
    print(row["state"], row["reason"], row["source"], row["budget"])  # for whoever runs this by hand
    assert row["reason"] and "\n" not in row["reason"] and "defect" not in row["reason"]
    assert row["budget"]["spent"]["tokens"] > 100, "what the model said it took"
    assert operator.guardian.effects.usage.row()["output_tokens"] > 0
    if row["revision"]:
        source = row["source"]
        assert (source["origin"], len(source["prompt_sha256"])) == ("llm", 64) and source["cost"]["tokens"] > 0
        shown = await operator.call("genome.show", revision=row["revision"], path="respond.py")
        assert shown["text"] and row["diff_sha256"] and row["stages"]
    assert (await operator.call("history", gene="respond"))[0]["id"] == row["id"]
    assert await operator.say("as before") == "as before", "nothing is deployed"
    if row["state"] == "pending":
        await operator.call("reject", id=row["id"], reason="it shouts")


async def test_what_was_wrong_before_is_told_to_it(operator: Operator) -> None:
    told: list[str] = []
    ask = operator.guardian.effects.call

    async def listening(kind: str, arguments: dict[str, Any], timeout_s: float = 120.0) -> dict[str, Any]:
        told.append(arguments["messages"][-1]["content"])
        return await ask(kind, arguments, timeout_s)

    operator.guardian.effects.call = listening  # type: ignore[method-assign]
    try:
        rows = [await evolved(operator, "Change nothing at all", budget={"tokens": 3_000}) for _ in range(2)]
    finally:
        operator.guardian.effects.call = ask  # type: ignore[method-assign]
    assert rows[0]["state"] in ("rejected", "pending", "failed") and rows[0]["reason"]
    assert any("Earlier tries failed" in text for text in told[1:]), told


async def test_who_stops_it_has_his_model_back(operator: Operator) -> None:
    begun = await operator.call("evolve", gene="recall", origin="llm", goal="Write a very long module")
    broker = operator.guardian.effects.broker
    assert broker is not None
    await until(lambda: broker._calls, 60)
    await operator.call("reject", id=begun["evolution"], reason="changed my mind")
    assert not broker._calls, "the model is not left writing"
    answer = await asyncio.wait_for(operator.call("model.ask", messages=[{"role": "user", "content": "Say yes."}]), 240)
    assert answer["text"]


async def test_a_program_is_evolved_with_it(operator: Operator, model: str, tmp_path: Path) -> None:
    program, evaluator = map(str, files(tmp_path))
    place: Paths = operator._place
    before = operator.guardian.effects.usage.row()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "o_tui.cli.main", "evolve", program, evaluator, "--budget", "40",
        "--llm", f"openai:{model}", "--data-dir", str(place.data), "--json", stdout=-1, stderr=-1,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
    events = [json.loads(line) for line in out.splitlines()]
    said = err.decode()
    print([e for e in events if "llm" in str(e.get("operator"))], said)
    assert process.returncode in (0, 1) and "Traceback" not in said, said
    assert events[-1]["evaluations"] == 40, "N of N, whatever the model writes"
    by_model = [event for event in events if str(event.get("operator", "")).startswith("llm")]
    assert all(" tokens, prompt " in event["detail"] for event in by_model)
    assert by_model or "the model's answer was no candidate: " in said or "the model writes nothing more: " in said
    assert operator.guardian.effects.usage.row()["output_tokens"] > before["output_tokens"], "counted"


async def test_it_writes_attacks_and_what_it_writes_is_counted(operator: Operator) -> None:
    red = operator.guardian.red_team
    assert red is not None
    source = (await operator.call("genome.show", path="recall.py"))["text"]
    found = await asyncio.wait_for(red._writer.write("recall", source, []), WAIT_S)
    print(found)
    assert found is not None and red._writer.used.total(red._writer._clock()) > 100
    events = await operator.call("events.list", limit=20, filter="kind:attack")
    assert any(f"{len(found)} inputs for recall" in event["text"] for event in events)
