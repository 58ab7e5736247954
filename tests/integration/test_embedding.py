"""Memory with an embedding model behind the broker: found by what is meant, kept in the log, lost by nobody's death."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from o_tui.config import BrainConfig, Config, HealthConfig
from o_tui.guardian.core import Guardian
from o_tui.paths import Paths
from tests.support.fake_llm import FakeServer, Step, fake_server, whole
from tests.support.guardians import running, until

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture
async def guardian(workspace: Paths, fake: FakeServer) -> AsyncIterator[Guardian]:
    brain = BrainConfig(provider="openai", model="fake-1", base_url=f"{fake.url}/v1", embedding_model="small")
    settings = Config(health=HealthConfig(max_restarts=1_000_000), brain=brain)
    async with running(workspace, settings) as started:
        await until(lambda: started.effects.row()["ok"])
        yield started


def vector(*numbers: float) -> list[Step]:
    return whole(200, {"data": [{"index": 0, "embedding": list(numbers)}], "model": "small", "usage": {}})


async def add(guardian: Guardian, text: str) -> None:
    ticket = await guardian.dispatch.ask(json.dumps({"text": text, "source": "test"}), "memory.add")
    assert ticket.ok, ticket.error


async def search(guardian: Guardian, text: str) -> list[Any]:
    ticket = await guardian.dispatch.ask(json.dumps({"text": text}), "memory.search")
    assert ticket.ok, ticket.error
    return [hit["text"] for hit in json.loads(ticket.answer)]


async def test_what_is_meant_is_found_although_no_word_is_the_same(guardian: Guardian, fake: FakeServer) -> None:
    fake.say(vector(1.0, 0.0, 0.1), vector(0.0, 1.0, 0.1), vector(0.9, 0.1, 0.0))
    await add(guardian, "the feline sleeps on the sofa")
    await add(guardian, "taxes are due in May")
    assert (await search(guardian, "where is my cat?"))[0] == "the feline sleeps on the sofa"
    assert [request.path for request in fake.requests] == ["/v1/embeddings"] * 3
    # the vectors came from the log: who takes over has them without asking again
    fake.say(vector(0.0, 0.9, 0.1))
    main = guardian.fleet.main
    assert main is not None
    main.kill("drill: a test")
    assert (await search(guardian, "money for the state"))[0] == "taxes are due in May"
    assert len(fake.requests) == 4


async def test_without_an_answer_words_find_and_nothing_is_lost(guardian: Guardian, fake: FakeServer) -> None:
    fake.say(whole(400, {"error": {"message": "no such model"}}))
    await add(guardian, "the feline sleeps on the sofa")
    assert await search(guardian, "sofa") == ["the feline sleeps on the sofa"]
    told = await guardian.stores.events.page(0, 50, text="no embedding")
    assert [row["level"] for row in told] == ["warning"]
