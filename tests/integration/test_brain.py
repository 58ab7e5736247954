"""The whole agent with a model behind the broker: an endpoint under the test's control speaks OpenAI's protocol."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from o_tui.config import BrainConfig, Config, EvolutionConfig, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.guardian.effects import ANSWER_BYTES
from o_tui.paths import Paths, shipped
from tests.support.broker_process import KEY
from tests.support.fake_llm import FakeServer, Step, answer, chunk, delta, event, fake_server, stream
from tests.support.guardians import Follower, running, until
from tests.support.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture
async def guardian(workspace: Paths, fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guardian]:
    monkeypatch.setenv("O_TUI_API_KEY", KEY)
    settings = Config(
        health=HealthConfig(max_restarts=1_000_000),
        brain=BrainConfig(provider="openai", model="fake-1", base_url=f"{fake.url}/v1", timeout_s=PATIENCE_S),
        evolution=EvolutionConfig(pairs=6),
    )
    async with running(workspace, settings) as started:
        await until(lambda: started.effects.row()["ok"])
        yield started


def calls_tool(name: str, arguments: dict[str, Any]) -> list[Step]:
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    return stream(event(delta(tool_calls=[call])), event(delta(finish="tool_calls")))


async def test_a_streamed_answer_reaches_the_operator_and_the_conversation(
    guardian: Guardian, fake: FakeServer
) -> None:
    view = Follower(guardian)
    fake.say(answer("Hash ", "chains ", "link entries."))
    ticket = await guardian.dispatch.ask("what is a hash chain?")
    assert ticket.ok and ticket.answer == "Hash chains link entries."
    assert "".join(view.said()) == ticket.answer
    assert fake.requests[0].headers["authorization"] == f"Bearer {KEY}"
    fake.say(answer("Yes."))
    await guardian.dispatch.ask("are you sure?")
    assert "Hash chains link entries." in fake.requests[-1].body.decode()


async def test_an_answer_that_is_too_long_ends_at_the_limit_and_what_came_is_kept(
    guardian: Guardian, fake: FakeServer
) -> None:
    line = "a line of a very long answer, ä€\n" * 300
    fake.say(answer(*[line] * 100))
    ticket = await guardian.dispatch.ask("write a megabyte")
    assert ticket.ok and not ticket.error
    kept, _, said = ticket.answer.rpartition("\n\n")
    assert kept == (line * 100)[: len(kept)] and len(kept.encode()) == ANSWER_BYTES
    assert said == "[Cut here after 160 KiB: more of an answer cannot be kept. Ask for the rest, or for less.]"
    fake.say(answer("Yes."))
    assert (await guardian.dispatch.ask("are you well?")).answer == "Yes."


async def test_rounds_with_tools_share_the_limit(guardian: Guardian, fake: FakeServer) -> None:
    part = chunk(event(delta("x" * 1024)))
    head, *call = calls_tool("calculator", {"expression": "1+1"})
    fake.say([head, *[part] * 120, *call], answer(*["y" * 1024] * 120))
    ticket = await guardian.dispatch.ask("write much, and calculate")
    assert ticket.ok and len(fake.requests) == 2
    assert ticket.answer.count("x") == 120 * 1024 and ticket.answer.count("y") == 40 * 1024
    assert "[Cut here after 40 KiB:" in ticket.answer


async def test_whoever_chooses_a_model_hears_whether_it_answers(workspace: Paths, fake: FakeServer) -> None:
    def chosen(provider: str, *more: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "o_tui", "brain", "set", provider, *more, "--json"]
        environment = os.environ | {"O_TUI_DATA_DIR": str(workspace.data), "O_TUI_API_KEY": KEY}
        row: dict[str, Any] = json.loads(subprocess.check_output(command, env=environment))
        return row

    row = await asyncio.to_thread(chosen, "openai", "--model", "fake-1", "--base-url", f"{fake.url}/v1")
    assert (row["provider"], row["model"], row["ok"]) == ("openai", "fake-1", True)
    row = await asyncio.to_thread(chosen, "openai", "--model", "fake-1", "--base-url", "http://127.0.0.1:9/v1")
    assert not row["ok"] and "cannot be reached" in row["detail"]
    assert (await asyncio.to_thread(chosen, "offline"))["ok"]


async def test_the_model_calls_a_tool_and_gets_its_result(guardian: Guardian, fake: FakeServer) -> None:
    fake.say(calls_tool("calculator", {"expression": "17*23"}), answer("It is 391."))
    ticket = await guardian.dispatch.ask("how much is 17 times 23?")
    assert ticket.ok and "391" in ticket.answer
    sent = fake.requests[-1].json()["messages"]
    assert any(message["role"] == "tool" and "391" in str(message["content"]) for message in sent)


async def test_what_the_model_was_told_is_remembered_memories(guardian: Guardian, fake: FakeServer) -> None:
    fake.say(answer("Noted."))
    await guardian.dispatch.ask('{"text": "the kettle is copper", "source": "test"}', "memory.add")
    await guardian.dispatch.ask("what is the kettle made of?")
    assert "the kettle is copper" in fake.requests[-1].body.decode()


async def test_main_killed_in_the_middle_of_an_answer(guardian: Guardian, fake: FakeServer) -> None:
    held = asyncio.Event()
    fake.say([*answer("first ")[:2], held], answer("whole answer"))
    asked = asyncio.create_task(guardian.dispatch.ask("tell me"))
    await until(lambda: len(fake.requests) == 1)
    main = guardian.fleet.main
    assert main is not None
    main.kill("drill: a test")
    ticket = await asked
    assert ticket.ok and ticket.recovered and ticket.answer == "whole answer"
    held.set()


async def test_an_endpoint_that_fails_is_one_clear_line_and_the_agent_goes_on(
    guardian: Guardian, fake: FakeServer
) -> None:
    fake.say([*answer("half an ")[:2], "cut"])
    ticket = await guardian.dispatch.ask("tell me")
    assert not ticket.ok or "half" in ticket.answer
    assert KEY not in ticket.answer + ticket.error and "\n" not in ticket.error
    fake.say(answer("back"))
    assert (await guardian.dispatch.ask("and now?")).answer == "back"


async def test_a_model_writes_a_candidate_that_waits_for_approval(
    guardian: Guardian, fake: FakeServer, workspace: Paths
) -> None:
    from o_tui.client import connect

    source = (shipped("data") / "genome" / "recall.py").read_text("utf-8") + "\n# by the model\n"
    fake.say(answer(f"Here it is:\n\n```python\n{source}```\n"))

    def evolve() -> dict[str, Any]:
        with connect(workspace) as client:
            begun = client.call("evolve", gene="recall", origin="llm", goal="say who wrote it")
            return dict(client.call("evolution.wait", id=begun["evolution"]))

    row = await asyncio.to_thread(evolve)
    assert row["state"] == "pending", row["reason"]
    assert "+# by the model" in row["diff"]
    assert row["evidence"]["answers"]["different"] == 0


async def test_no_key_is_in_the_memory_of_an_instance(guardian: Guardian) -> None:
    assert guardian.fleet.main and guardian.fleet.nursery
    for pid in (guardian.fleet.main.pid, guardian.fleet.nursery.watch.pid):
        assert not holds(pid, KEY.encode())
    assert holds(guardian.effects.broker.watch.pid, KEY.encode())  # type: ignore[union-attr]


def holds(pid: int, wanted: bytes) -> bool:
    """Whether a process has these bytes anywhere in its writable memory."""
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except PermissionError:
        pytest.skip("another process's memory can only be read by root here")
    with os.fdopen(descriptor, "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode, *_ = line.split()
            if "w" not in mode:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                if wanted in memory.read(end - start):
                    return True
            except (OSError, ValueError):
                continue
    return False
