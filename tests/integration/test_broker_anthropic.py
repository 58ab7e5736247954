"""Chats with Anthropic's protocol, spoken by a server of the test's own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from o_tui.protocol import messages
from tests.support.broker_process import BrokerProcess, broker_process
from tests.support.fake_llm import CUT, HANG, HEAD, FakeServer, anthropic, chunk, event, fake_server, stream, whole
from tests.support.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
KEY = "sk-ant-0123456789abcdefghijklmnop"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as made:
        made.listing = whole(200, {"data": [{"id": "claude-fake", "type": "model"}], "has_more": False})
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def process(server: FakeServer) -> AsyncIterator[BrokerProcess]:
    variables = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url}
    with tempfile.TemporaryDirectory() as folder:
        async with broker_process(Path(folder) / "w", Path(folder) / "err", **variables) as running:
            running.configure("anthropic", model="claude-fake")
            await running.state(provider="anthropic", ok=True)
            yield running


@pytest.fixture
def fake(server: FakeServer) -> FakeServer:
    server.requests.clear()
    return server


@pytest.fixture
def broker(process: BrokerProcess) -> Iterator[BrokerProcess]:
    process.frames.clear()
    yield process
    shown = repr([frame.data for frame in process.frames]) + process.stderr.read_text()
    assert KEY[:16] not in shown


async def test_text_and_tool_calls_stream(broker: BrokerProcess, fake: FakeServer) -> None:
    tool = {"tool": "weather", "id": "t1", "json": ["", '{"pla', 'ce": "B', 'onn"}']}
    fake.say(stream(*anthropic({"text": ["Let ", "me see"]}, tool, reason="tool_use")))
    broker.call(
        "c",
        "llm.chat",
        messages=[{"role": "system", "content": "be kind"}, {"role": "user", "content": "weather?"}],
        tools=[{"name": "weather", "description": "d", "parameters": {"type": "object"}}],
        max_tokens=50,
    )
    data = (await broker.end_of("c")).data
    assert data["text"] == "Let me see"
    assert broker.deltas("c") == ["Let ", "me see"]
    assert data["tool_calls"] == [{"id": "t1", "name": "weather", "arguments": {"place": "Bonn"}}]
    assert data["usage"] == {"input_tokens": 11, "output_tokens": 5}
    assert (data["model"], data["finish"]) == ("claude-fake", "tool_calls")
    request = fake.requests[0]
    assert request.path.startswith("/v1/messages")
    assert KEY in (request.headers.get("x-api-key", ""), request.headers.get("authorization", "").partition(" ")[2])
    body = request.json()
    assert body["max_tokens"] == 50
    assert "be kind" in str(body["system"])
    assert body["tools"][0]["name"] == "weather"


async def test_a_result_goes_back_as_anthropic_wants_it(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(stream(*anthropic({"text": ["ok"]})))
    calls = [{"id": "t1", "name": "add", "arguments": {"a": 1}}]
    talk = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "2", "tool_call_id": "t1"},
    ]
    broker.call("c", "llm.chat", messages=talk)
    assert (await broker.end_of("c")).data["text"] == "ok"
    sent = fake.requests[0].json()["messages"]
    assert sent[1]["content"][0]["input"] == {"a": 1}
    assert sent[2]["content"][0]["tool_use_id"] == "t1"


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ([CUT], "cut"),
        ([b"0\r\n\r\n"], "cut"),
        ([chunk(event(OVERLOADED, "error")), b"0\r\n\r\n"], "cut"),
        ([chunk(b"event: content_block_delta\ndata: {nope\n\n"), b"0\r\n\r\n"], "garbage"),
    ],
)
async def test_a_broken_stream_keeps_what_was_said(
    broker: BrokerProcess, fake: FakeServer, end: list, kind: str
) -> None:
    begun = anthropic({"text": ["one ", "two"]}, stop=False)[:-1]
    fake.say(stream(*begun, end=[0.05, *end]))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["text"]) == (kind, "one two")


async def test_an_overload_is_tried_again(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(529, OVERLOADED), stream(*anthropic({"text": ["ok"]})))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["text"], data["attempts"]) == ("ok", 2)


@pytest.mark.parametrize(
    ("status", "type_", "message", "kind"),
    [
        (401, "authentication_error", f"invalid x-api-key {KEY}", "auth"),
        (403, "permission_error", "no", "auth"),
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", "overflow"),
        (404, "not_found_error", "model: claude-fake", "http"),
    ],
)
async def test_refusals(
    broker: BrokerProcess, fake: FakeServer, status: int, type_: str, message: str, kind: str
) -> None:
    fake.say(whole(status, {"type": "error", "error": {"type": type_, "message": message}}))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["retryable"], data["status"]) == (kind, False, status)


async def test_cancelling_closes_the_stream(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, *(chunk(piece) for piece in anthropic({"text": ["one"]}, stop=False)), HANG])
    broker.chat("c")
    await broker.until(lambda: broker.deltas("c") == ["one"])
    broker.send(messages.BrokerCancel(call_id="c"))
    async with asyncio.timeout(PATIENCE_S):
        await fake.requests[0].gone.wait()


async def test_models_are_listed_with_the_key(broker: BrokerProcess) -> None:
    broker.call("m", "llm.models")
    assert (await broker.end_of("m")).data == {"models": ["claude-fake"]}
    broker.call("n", "llm.models", provider="anthropic")
    assert (await broker.end_of("n")).data == {"models": ["claude-fake"]}
