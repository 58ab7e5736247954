"""Chats with an endpoint that fails: what is tried again, what was said is kept, and no failure gives a key away."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from o_tui.protocol import messages
from tests.support.broker_process import KEY, BrokerProcess, broker_process
from tests.support.fake_llm import (
    CUT,
    END,
    HANG,
    HEAD,
    FakeServer,
    answer,
    call_piece,
    chunk,
    delta,
    event,
    stream,
    whole,
)

pytest.importorskip("pydantic_ai", reason="the optional extra llm is not installed")
pytestmark = pytest.mark.asyncio(loop_scope="module")


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


async def test_silence_ends_with_a_timeout(folder: Path, fake: FakeServer) -> None:
    async with broker_process(folder / "w", folder / "err") as broker:
        broker.configure(base_url=f"{fake.url}/v1", timeout_s=2.0)
        fake.say([HANG])
        broker.chat("before")
        data = (await broker.end_of("before")).data
        assert (data["kind"], data["retryable"], data["attempts"]) == ("timeout", True, 1)
        fake.say([HEAD, chunk(event(delta("one"))), HANG])
        broker.chat("amid")
        data = (await broker.end_of("amid")).data
        assert (data["kind"], data["text"]) == ("timeout", "one")
        # every byte counts as a sign of life, even a comment
        fake.say([HEAD, *([0.5, chunk(b":\n\n")] * 5), *answer("at last")[1:]])
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
