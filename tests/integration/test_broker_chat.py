"""Chats with an OpenAI-compatible endpoint that does, on demand, all that a real one does on a bad day."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from o_tui.protocol import messages
from tests.support.broker_process import BrokerProcess, broker_process
from tests.support.fake_llm import (
    CUT,
    END,
    HANG,
    HEAD,
    FakeServer,
    answer,
    chunk,
    delta,
    event,
    fake_server,
    stream,
    usage,
    whole,
)

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
KEY = "sk-test-0123456789abcdefghijklmnop"


# One process for all tests here (its library takes a second to import), with an endpoint of its own for each.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def process() -> AsyncIterator[BrokerProcess]:
    with tempfile.TemporaryDirectory() as folder:
        async with broker_process(Path(folder) / "w", Path(folder) / "err", O_TUI_API_KEY=KEY) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def broker(process: BrokerProcess, fake: FakeServer) -> AsyncIterator[BrokerProcess]:
    process.frames.clear()
    process.configure(base_url=f"{fake.url}/v1")
    await process.state(provider="openai", ok=True)
    yield process
    await never_shown(process, process.stderr.parent)


async def never_shown(broker: BrokerProcess, folder: Path) -> None:
    """After every test: the key is in nothing that left the process."""
    everything = repr([frame.data for frame in broker.frames]) + (folder / "err").read_text()
    assert KEY not in everything
    assert KEY[:16] not in everything


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


def call_piece(index: int, arguments: str, **first: str) -> bytes:
    function = {"arguments": arguments} | ({"name": first["name"]} if "name" in first else {})
    call = {"index": index, "function": function} | ({"id": first["id"], "type": "function"} if "id" in first else {})
    return event(delta(tool_calls=[call]))


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


# --- retries


async def test_429_is_tried_again_no_sooner_than_asked(broker: BrokerProcess, fake: FakeServer) -> None:
    slow = whole(429, {"error": {"message": "slow down", "type": "rate_limit_exceeded"}}, {"retry-after": "1"})
    fake.say(slow, answer("now"))
    broker.chat("c")
    await fake.wait(1)
    started = time.monotonic()
    await fake.wait(2)
    assert time.monotonic() - started >= 0.99
    data = (await broker.end_of("c")).data
    assert (data["text"], data["attempts"]) == ("now", 2)
    assert any("slow down" in log.text.raw for log in broker.all(messages.Log))


async def test_a_wait_that_is_too_long_is_left_to_the_operator(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(429, {"error": {"message": "tomorrow"}}, {"retry-after": "86400"}))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["status"], data["retryable"], data["attempts"]) == ("http", 429, True, 1)


async def test_an_exhausted_quota_is_not_tried_again(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(429, {"error": {"message": "no credit", "code": "insufficient_quota"}}))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["retryable"], len(fake.requests)) == ("http", False, 1)


async def test_a_server_error_is_tried_again_and_then_told(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(503, {"error": {"message": "overloaded"}}))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["status"], data["attempts"], data["retryable"]) == ("http", 503, 4, True)
    assert "overloaded" in data["error"]
    assert len(fake.requests) == 4


async def test_a_cut_before_the_first_word_is_tried_again(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([CUT], [HEAD, CUT], answer("ok"))
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["text"], data["attempts"]) == ("ok", 3)


# --- failures after something was said: told with what was kept, never tried again

BROKEN = {
    "reset": (stream(event(delta("one ")), event(delta("two")), end=[0.05, CUT]), "cut"),
    "closed": (stream(event(delta("one ")), event(delta("two")), end=[END]), "cut"),
    "ended without a reason": (stream(event(delta("one ")), event(delta("two"))), "cut"),
    "error event": (
        stream(event(delta("one ")), event(delta("two")), event({"error": {"message": "boom", "code": 500}})),
        "cut",
    ),
    "not json": (stream(event(delta("one ")), event(delta("two")), b"data: {not json\n\n"), "garbage"),
    "another shape": (stream(event(delta("one ")), event(delta("two")), event([1, 2])), "garbage"),
    "odd choices": (stream(event(delta("one ")), event(delta("two")), event({"choices": [3]})), "garbage"),
    "not utf-8": (stream(event(delta("one ")), event(delta("two")), b"data: \xff\xfe\n\n"), "garbage"),
    "bad chunk": (stream(event(delta("one ")), event(delta("two")), end=[b"zz\r\n"]), "garbage"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_stream_keeps_what_was_said(broker: BrokerProcess, fake: FakeServer, case: str) -> None:
    steps, kind = BROKEN[case]
    fake.say(steps)
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["text"], data["attempts"]) == (kind, "one two", 1)
    assert data["retryable"] == (kind == "cut")
    assert "".join(broker.deltas("c")) == "one two"
    assert len(fake.requests) == 1
    fake.say(answer("next"))
    broker.chat("d")
    assert (await broker.end_of("d")).data["text"] == "next"


async def test_done_without_a_reason_is_done(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(stream(event(delta("one")), event("[DONE]")))
    broker.chat("c")
    assert (await broker.end_of("c")).data["text"] == "one"


GARBAGE = {
    "html": whole(200, b"<html>hi</html>", {"content-type": "text/html"}),
    "whole json": whole(200, {"choices": []}),
    "no http": [b"\x00\x01\x02garbage\r\n\r\n", END],
    "compressed": whole(200, b"xx", {"content-encoding": "gzip"}),
    "empty": whole(200, b"", {"content-type": "text/event-stream"}),
}


@pytest.mark.parametrize("case", GARBAGE)
async def test_what_is_no_answer_at_all_is_garbage(broker: BrokerProcess, fake: FakeServer, case: str) -> None:
    fake.say(GARBAGE[case])
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["retryable"], "text" in data) == ("garbage", False, False)


async def test_a_flood_is_stopped(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, *([chunk(b"x" * 65536)] * 600), HANG])
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert data["kind"] == "garbage"
    assert "32 MiB" in data["error"]


STATUSES = {
    "401": (whole(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "auth"),
    "403": (whole(403, {"error": {"message": "not you"}}), "auth"),
    "404": (whole(404, {"error": {"message": "no such model"}}), "http"),
    "redirect": (whole(302, b"", {"location": "http://127.0.0.1:9/"}), "http"),
    "llama.cpp": (
        whole(400, {"error": {"message": "the request exceeds the available context size", "type": "x"}}),
        "overflow",
    ),
    "openai": (
        whole(
            400, {"error": {"message": "This model's maximum context length is 8", "code": "context_length_exceeded"}}
        ),
        "overflow",
    ),
    "error in the stream": (
        stream(event({"error": {"message": "prompt is too long", "code": 400, "type": "exceed_context_size_error"}})),
        "overflow",
    ),
}


@pytest.mark.parametrize("case", STATUSES)
async def test_refusals_have_their_kind_and_are_not_tried_again(
    broker: BrokerProcess, fake: FakeServer, case: str
) -> None:
    steps, kind = STATUSES[case]
    fake.say(steps)
    broker.chat("c")
    data = (await broker.end_of("c")).data
    assert (data["kind"], data["retryable"], data["attempts"]) == (kind, False, 1)
    assert len(fake.requests) == 1


ECHOES = {
    "body": whole(401, {"error": {"message": f"bad key {KEY}"}}),
    "plain text": whole(400, f"bad key {KEY}".encode(), {"content-type": "text/plain"}),
    "cut off": whole(400, {"error": {"message": f"bad key {KEY[:24]}"}}),
    "far behind": whole(400, {"error": {"message": "x" * 380 + KEY}}),
    "header": whole(500, {"error": {"message": f"Authorization: Bearer {KEY}"}}, {"retry-after": "999"}),
    "error event": stream(event(delta("a")), event({"error": {"message": f"bad key {KEY}"}})),
    "not json": stream(event(delta("a")), f"data: {{{KEY}\n\n".encode()),
    "status line": [f"HTTP/1.1 abc {KEY}\r\n\r\n".encode(), END],
    "answer": answer("your key is ", KEY[:9], KEY[9:], "!"),
    "arguments": stream(call_piece(0, json.dumps({KEY: KEY}), id="t", name="x"), event(delta(finish="tool_calls"))),
    "model": stream(event(delta("a") | {"model": KEY}), event(delta(finish="stop") | {"model": KEY})),
}


@pytest.mark.parametrize("case", ECHOES)
async def test_an_endpoint_that_echoes_the_key_does_not_give_it_away(
    broker: BrokerProcess, fake: FakeServer, case: str
) -> None:
    fake.say(ECHOES[case])
    broker.chat("c")
    await broker.end_of("c")  # the fixture looks through all that left the process
    assert "mnop" not in repr([reply.data for reply in broker.replies("c")]).replace("sk-…mnop", "")


# --- silence, absence, cancelling


async def test_silence_ends_with_a_timeout(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        broker.configure(base_url=f"{fake.url}/v1", timeout_s=0.5)
        fake.say([HANG])
        broker.chat("before")
        data = (await broker.end_of("before")).data
        assert (data["kind"], data["retryable"], data["attempts"]) == ("timeout", True, 1)
        fake.say([HEAD, chunk(event(delta("one"))), HANG])
        broker.chat("amid")
        data = (await broker.end_of("amid")).data
        assert (data["kind"], data["text"]) == ("timeout", "one")
        # every byte counts as a sign of life, even a comment
        fake.say([HEAD, *([0.2, chunk(b":\n\n")] * 5), *answer("at last")[1:]])
        broker.chat("slow")
        assert (await broker.end_of("slow")).data["text"] == "at last"


async def test_nobody_there_is_refused_and_found_again(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        broker.configure(base_url="http://127.0.0.1:9/v1")
        state = await broker.state(ok=False, model="fake-1")
        broker.chat("c")
        data = (await broker.end_of("c")).data
        assert (data["kind"], data["retryable"], data["attempts"]) == ("refused", True, 2)
        assert "127.0.0.1:9" in data["error"]
        state = broker.all(messages.BrainState)[-1]
        assert not state.ok
        fake.say(answer("here"))
        broker.configure(base_url=f"{fake.url}/v1")
        await broker.state(ok=True, detail="ready")


async def test_cancelling_closes_the_stream_and_says_no_more(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, chunk(event(delta("one"))), HANG])
    broker.chat("c")
    await broker.until(lambda: broker.deltas("c") == ["one"])
    broker.send(messages.BrokerCancel(call_id="c"))
    async with asyncio.timeout(5):
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
    async with asyncio.timeout(5):
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


# --- the brain's state, models


async def test_the_state_names_the_model_and_masks_the_key(broker: BrokerProcess, fake: FakeServer) -> None:
    state = broker.all(messages.BrainState)[-1]
    assert (state.provider, state.model, state.ok, state.key) == ("openai", "fake-1", True, "sk-…mnop")
    broker.configure(model="other", base_url=f"{fake.url}/v1")
    assert "does not list this model" in (await broker.state(model="other", ok=True)).detail
    broker.configure("offline", model="")
    assert (await broker.state(provider="offline")).ok


async def test_a_refused_key_shows_in_the_state(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say(whole(401, {"error": {"message": f"bad {KEY}"}}))
    broker.chat("c")
    await broker.end_of("c")
    await broker.until(lambda: [s for s in broker.all(messages.BrainState) if not s.ok and "key" in s.detail])


async def test_models_are_listed(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.listing = whole(200, {"data": [{"id": "b"}, {"id": "a"}, {"no": 1}, 3]})
    broker.call("m", "llm.models")
    assert (await broker.end_of("m")).data == {"models": ["a", "b"]}
    fake.listing = whole(401, {"error": {"message": f"bad {KEY}"}})
    broker.call("n", "llm.models")
    assert (await broker.end_of("n")).data["kind"] == "auth"


async def test_a_call_during_a_change_of_model_gets_the_new_one(broker: BrokerProcess, fake: FakeServer) -> None:
    fake.say([HEAD, chunk(event(delta("old"))), HANG], answer("new"))
    broker.chat("a")
    await broker.until(lambda: broker.deltas("a"))
    broker.configure(model="second", base_url=f"{fake.url}/v1")
    broker.chat("b")
    assert (await broker.end_of("b")).data["text"] == "new"
    assert [request.json()["model"] for request in fake.requests] == ["fake-1", "second"]
    broker.send(messages.BrokerCancel(call_id="a"))  # it still ran, with the old one
    async with asyncio.timeout(5):
        await fake.requests[0].gone.wait()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"provider": "openai", "base_url": ""}, "OPENAI_API_KEY"),
        ({"provider": "anthropic", "base_url": ""}, "ANTHROPIC_API_KEY"),
        ({"provider": "openai", "base_url": "nonsense"}, "is not an address"),
        ({"provider": "openai", "base_url": "http://127.0.0.1:9/v1", "model": ""}, "no model is chosen"),
        ({"provider": "telepathy", "base_url": ""}, "unknown provider"),
    ],
)
async def test_what_is_missing_is_said_in_the_state_and_to_the_caller(folder: Path, settings: dict, says: str) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        broker.configure(**settings)
        await broker.until(lambda: [s for s in broker.all(messages.BrainState) if not s.ok and says in s.detail])
        for call_id in ("a", "b"):
            broker.chat(call_id)
            data = (await broker.end_of(call_id)).data
            assert (data["kind"], says in data["error"]) == ("setup", True)


async def test_ollama_needs_no_key_and_gets_none(folder: Path, fake: FakeServer) -> None:
    variables = {"OLLAMA_HOST": f"127.0.0.1:{fake.port}", "OPENAI_API_KEY": KEY}
    async with broker_process(folder / "w", folder / "err", **variables) as broker:
        broker.configure("ollama", model="fake-1")
        state = await broker.state(model="fake-1", ok=True)
        assert state.key == ""
        fake.say(answer("hi"))
        broker.chat("c")
        assert (await broker.end_of("c")).data["text"] == "hi"
        assert "authorization" not in fake.requests[0].headers
        await never_shown(broker, folder)


async def test_the_openai_key_is_not_sent_to_another_endpoint(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err", OPENAI_API_KEY=KEY) as broker:
        broker.configure(base_url=f"{fake.url}/v1")
        await broker.state(model="fake-1", ok=True)
        fake.say(answer("hi"))
        broker.chat("c")
        await broker.end_of("c")
        assert KEY not in repr([request.headers for request in fake.requests])


async def test_a_library_that_is_asked_to_log_everything_does_not(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err", O_TUI_API_KEY=KEY, OPENAI_LOG="debug") as broker:
        broker.configure(base_url=f"{fake.url}/v1")
        fake.say(answer("hi"))
        broker.chat("c")
        await broker.end_of("c")
        await never_shown(broker, folder)
        assert (folder / "err").read_text() == ""


async def test_heartbeats_go_on_while_the_library_is_imported(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        await broker.state(provider="offline")
        broker.configure(base_url=f"{fake.url}/v1")
        sent = time.monotonic()
        broker.call("c", "tool.clock")
        await broker.end_of("c")
        assert time.monotonic() - sent < 1.0
        await broker.state(model="fake-1", ok=True)


async def test_without_the_library_the_install_command_is_named(folder: Path) -> None:
    hidden = folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\nreal = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'pydantic_ai' else real(name, package)\n"
    )
    async with broker_process(folder / "w", folder / "err", PYTHONPATH=str(hidden)) as broker:
        broker.configure(base_url="http://127.0.0.1:9/v1")
        await broker.until(lambda: [s for s in broker.all(messages.BrainState) if "pip install" in s.detail])
        broker.chat("c")
        data = (await broker.end_of("c")).data
        assert data["kind"] == "setup"
        assert "pip install 'o-tui[llm]'" in data["error"]
