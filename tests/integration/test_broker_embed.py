"""Embeddings from an OpenAI-compatible endpoint, good and bad."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from o_tui.protocol import messages
from tests.support.broker_process import KEY, BrokerProcess
from tests.support.fake_llm import FakeServer, fake_server, whole
from tests.support.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def fake(process: BrokerProcess) -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        process.frames.clear()
        process.send(
            messages.Configure(
                provider="openai",
                model="fake-1",
                base_url=f"{server.url}/v1",
                timeout_s=PATIENCE_S,
                embedding_model="small",
            )
        )
        await process.state(provider="openai", ok=True)
        yield server


def response(*vectors: Any, order: tuple[int, ...] = ()) -> dict[str, Any]:
    places = order or tuple(range(len(vectors)))
    pairs = zip(places, vectors, strict=True)
    rows = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in pairs]
    return {"object": "list", "data": rows, "model": "small-1", "usage": {"prompt_tokens": 3, "total_tokens": 3}}


async def test_texts_become_vectors_in_their_order(process: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(200, response([0.0, 1.0], [0.5, -2.0], order=(1, 0))))
    process.call("e", "llm.embed", texts=["a", "b"])
    reply = await process.end_of("e")
    assert reply.data["vectors"] == [struct.pack("<2f", 0.5, -2.0), struct.pack("<2f", 0.0, 1.0)]
    assert reply.data["usage"] == {"input_tokens": 3, "output_tokens": 0}
    asked = fake.requests[0]
    assert asked.path == "/v1/embeddings" and asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json()["input"] == ["a", "b"] and asked.json()["model"] == "small"


async def test_an_endpoint_that_is_busy_is_asked_again(process: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(429, {"error": "slow down"}, {"retry-after": "0"}), whole(200, response([1.0])))
    process.call("again", "llm.embed", texts=["a"])
    assert (await process.end_of("again")).data["attempts"] == 2


@pytest.mark.parametrize(
    "body",
    [
        response(),
        response([1.0], [1.0]),
        response([]),
        response(["x"]),
        response([1e300]),
        {"data": None},
        b"not json",
        b'{"data": [{"index": 0, "embedding": [NaN]}]}',
    ],
)
async def test_what_is_no_embedding_is_an_error(process: BrokerProcess, fake: FakeServer, body: Any) -> None:
    fake.say(whole(200, body))
    name = f"bad {body!r}"[:60]
    process.call(name, "llm.embed", texts=["a"])
    reply = await process.end_of(name)
    assert reply.state == "error" and reply.data["kind"] == "garbage"
    assert KEY not in repr(reply.data)


async def test_without_a_model_for_it_nothing_is_asked(process: BrokerProcess, fake: FakeServer) -> None:
    process.configure(base_url=f"{fake.url}/v1")
    process.call("none", "llm.embed", texts=["a"])
    reply = await process.end_of("none")
    assert reply.data["kind"] == "setup" and "brain.embedding_model" in reply.data["error"]
    assert fake.requests == []
