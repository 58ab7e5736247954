"""Chats with an OpenAI-compatible endpoint that does, on demand, all that a real one does on a bad day."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from o_tui.protocol import messages
from tests.support.broker_process import KEY, BrokerProcess
from tests.support.fake_llm import (
    HANG,
    HEAD,
    FakeServer,
    answer,
    call_piece,
    chunk,
    delta,
    event,
    stream,
    usage,
    whole,
)
from tests.support.patience import PATIENCE_S

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_answer_streams_and_is_counted(broker: BrokerProcess, fake: FakeServer) -> None:
    go = asyncio.Event()
    first, *rest = answer("Hel", "lo", " world")[1:]
    fake.say([HEAD, first, go, *rest])
    broker.chat("c", tools=[{"name": "t", "description": "d", "parameters": {"type": "object"}}], max_tokens=9)
    await broker.until(lambda: broker.deltas("c") == ["Hel"])  # before the endpoint has said more
    go.set()
    reply = await broker.end_of("c")
    assert reply.data == {
        "text": "Hello world",
        "tool_calls": [],
        "usage": {"input_tokens": 7, "output_tokens": 3},
        "model": "fake-1",
        "attempts": 1,
        "finish": "stop",
    }
    assert "".join(broker.deltas("c")) == "Hello world"
    request = fake.requests[0]
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    body = request.json()
    assert (body["model"], body["stream"], body["max_tokens"]) == ("fake-1", True, 9)
    assert body["stream_options"] == {"include_usage": True}
    assert body["tools"][0]["function"]["name"] == "t"


@pytest.mark.parametrize("count", [10**30, -5, 1e308, "many", None])
async def test_no_answer_is_lost_for_its_count_of_tokens(broker: BrokerProcess, fake: FakeServer, count: Any) -> None:
    counted = delta() | {"choices": [], "usage": {"prompt_tokens": count, "completion_tokens": count}}
    fake.say(stream(event(delta("words")), event(delta(finish="stop")), event(counted), event("[DONE]")))
    broker.chat("c")
    reply = await broker.end_of("c")
    assert (reply.state, reply.data["text"]) == ("done", "words")
    assert all(0 <= tokens <= 10**12 for tokens in reply.data["usage"].values())


async def test_a_whole_conversation_goes_out_as_it_was(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(answer("ok"))
    talk = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "name": "add", "arguments": {"a": 1}}]},
        {"role": "tool", "content": "2", "tool_call_id": "t1"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "thanks"},
    ]
    broker.call("c", "llm.chat", messages=talk)
    await broker.end_of("c")
    sent = fake.requests[0].json()["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert json.loads(sent[2]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert sent[3]["tool_call_id"] == "t1"


async def test_a_result_without_a_call_is_refused_before_anything_is_sent(
    broker: BrokerProcess, fake: FakeServer
) -> None:
    broker.call("c", "llm.chat", messages=[{"role": "tool", "content": "2", "tool_call_id": "t9"}])
    assert (await broker.end_of("c")).data["kind"] == "arguments"
    assert fake.requests == []


async def test_bytes_may_be_cut_anywhere(broker: BrokerProcess, fake: FakeServer) -> None:
    text = "Grüße 👋 an alle"
    content = event(delta(text)) + event(delta(finish="stop")) + event(usage(1, 2)) + event("[DONE]")
    fake.say([HEAD, *(chunk(content[i : i + 1]) for i in range(len(content))), b"0\r\n\r\n"])
    broker.chat("c")
    assert (await broker.end_of("c")).data["text"] == text


async def test_comments_other_line_ends_and_a_missing_last_line_are_fine(
    broker: BrokerProcess, fake: FakeServer
) -> None:
    lines = b": keep-alive\n\n" + event(delta("a")).replace(b"\n", b"\r\n") + b":\n\nid: 1\nretry: 10\n"
    fake.say(stream(lines, event(delta("b")), event(delta(finish="stop")), b"data: [DONE]"))
    broker.chat("c")
    assert (await broker.end_of("c")).data["text"] == "ab"


async def test_a_half_character_in_json_is_joined(broker: BrokerProcess, fake: FakeServer) -> None:
    halves = [b'"content":"\\ud83d"', b'"content":"\\ude00"', b'"content":"\\ude00!"']
    pieces = [event(delta("@")).replace(b'"content": "@"', half) for half in halves]
    fake.say(stream(*pieces, event(delta(finish="stop")), event("[DONE]")))
    broker.chat("c")
    assert (await broker.end_of("c")).data["text"] == "😀\ufffd!"


async def test_tool_calls_come_in_pieces_and_side_by_side(broker: BrokerProcess, fake: FakeServer) -> None:
    raw = json.dumps({"place": "Zürich", "days": [1, 2]}, ensure_ascii=False)
    pieces = [call_piece(0, "", id="t1", name="weather"), call_piece(1, "", id="t2", name="clock")]
    pieces += [call_piece(0, character) for character in raw]
    pieces += [call_piece(1, "{}")]
    fake.say(stream(event(delta("Let me see.")), *pieces, event(delta(finish="tool_calls")), event("[DONE]")))
    broker.chat("c", tools=[{"name": "weather"}, {"name": "clock"}])
    data = (await broker.end_of("c")).data
    assert data["text"] == "Let me see."
    assert data["finish"] == "tool_calls"
    assert data["tool_calls"] == [
        {"id": "t1", "name": "weather", "arguments": {"place": "Zürich", "days": [1, 2]}},
        {"id": "t2", "name": "clock", "arguments": {}},
    ]


async def test_arguments_that_are_no_json_are_marked(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(stream(call_piece(0, '{"a": ', id="t1", name="add"), event(delta(finish="tool_calls")), event("[DONE]")))
    broker.chat("c", tools=[{"name": "add"}])
    (call,) = (await broker.end_of("c")).data["tool_calls"]
    assert (call["name"], call["arguments"], call["invalid"]) == ("add", {}, "the arguments are not JSON")


async def test_an_answer_larger_than_a_frame_arrives(broker: BrokerProcess, fake: FakeServer) -> None:
    text = "päckchen " * 70_000
    fake.say(answer(text))
    broker.chat("c")
    assert (await broker.end_of("c")).data["text"] == text
    assert max(len(part.encode()) for part in broker.deltas("c")) <= 64 * 1024


# --- cancelling, many at once


async def test_cancelling_closes_the_stream_and_says_no_more(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, chunk(event(delta("one"))), HANG])
    broker.chat("c")
    await broker.until(lambda: broker.deltas("c") == ["one"])
    broker.send(messages.BrokerCancel(call_id="c"))
    async with asyncio.timeout(PATIENCE_S):
        await fake.requests[0].gone.wait()
    broker.send(messages.BrokerCancel(call_id="c"))  # twice, and one that never was: nothing happens
    broker.send(messages.BrokerCancel(call_id="x"))
    fake.say(answer("ok"))
    broker.chat("d")
    await broker.end_of("d")
    assert [reply.state for reply in broker.replies("c")] == ["delta"]


async def test_cancelling_during_a_pause_ends_the_attempts(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(429, {"error": {"message": "wait"}}, {"retry-after": "30"}))
    broker.chat("c")
    await broker.until(lambda: broker.all(messages.Log))
    broker.send(messages.BrokerCancel(call_id="c"))
    await broker.until(lambda: [beat for beat in broker.all(messages.Heartbeat)[-1:] if beat.busy == 0])
    assert broker.replies("c") == []


async def test_asking_again_under_the_same_id_replaces_the_call(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, HANG], answer("second"))
    broker.chat("c")
    await fake.wait(1)
    broker.chat("c")
    assert (await broker.end_of("c")).data["text"] == "second"
    async with asyncio.timeout(PATIENCE_S):
        await fake.requests[0].gone.wait()
    assert len(broker.replies("c")) == 2  # one delta, one done


async def test_many_at_once(broker: BrokerProcess, fake: FakeServer) -> None:
    go = asyncio.Event()
    first, *rest = answer("a", "b", "c")[1:]
    fake.say([HEAD, first, go, *rest])
    for number in range(40):
        broker.chat(f"c{number}")
    await broker.until(lambda: all(broker.deltas(f"c{number}") for number in range(40)))
    go.set()
    for number in range(40):
        assert (await broker.end_of(f"c{number}")).data["text"] == "abc"


async def test_a_guardian_that_reads_slowly_slows_the_endpoint_down(broker: BrokerProcess, fake: FakeServer) -> None:
    part = chunk(event(delta("x" * 30_000)))
    sent = 0
    written = asyncio.Event()

    class Counting(list):
        def __iter__(self):
            nonlocal sent
            yield HEAD
            for _ in range(60):
                sent += 1
                yield part
            written.set()
            yield from answer("")[1:]

    fake.say(Counting())
    broker._task.cancel()
    broker.chat("c")
    before = -1
    while before != sent:  # until it moves no more
        before = sent
        await asyncio.sleep(0.5)
    assert resident(broker.process.pid) < 160 << 20
    broker._task = asyncio.create_task(broker._receive())
    assert len((await broker.end_of("c")).data["text"]) == 60 * 30_000


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
