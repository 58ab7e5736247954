"""`llm.chat`: one answer of a model, streamed; tried again only as long as nothing of it has been passed on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from o_tui.broker.calls import Call, CallError, convert
from o_tui.broker.llm import retry
from o_tui.broker.llm.sink import ANSWER_BYTES, OverlongError, Sink
from o_tui.broker.llm.types import Answer, ChatRequest, Model

_CUT = "\n\n[Cut here after {} KiB: more of an answer cannot be kept. Ask for the rest, or for less.]"


async def run(call: Call) -> dict[str, Any]:
    """Sends deltas {text}; answers {text, tool_calls, usage, model, attempts, finish}."""
    request = convert(call.arguments, ChatRequest)
    async with call.brain.model() as model:
        return await _attempts(call, model, request)


async def _attempts(call: Call, model: Model, request: ChatRequest) -> dict[str, Any]:
    attempt = 0
    while True:
        attempt += 1
        sink = _sink(call, request)
        try:
            answer = await model.chat(request, sink.feed)
            await sink.finish()
        except CallError as error:
            if isinstance(error, OverlongError) and request.answer_bytes is not None:
                await sink.finish(_CUT.format(request.answer_bytes >> 10))
                return _done(Answer(finish="length"), sink.text, attempt, call)
            await sink.finish()
            error.attempts = attempt
            error.text = sink.text
            pause = retry.pause_s(error, attempt, random.random())
            if pause is None:
                raise
            call.log("warning", f"attempt {attempt} failed: {error}; the next one in {pause:.1f} s")
            await asyncio.sleep(pause)
            continue
        return _done(answer, sink.text, attempt, call)


def _sink(call: Call, request: ChatRequest) -> Sink:
    limit = ANSWER_BYTES if request.answer_bytes is None else min(ANSWER_BYTES, request.answer_bytes)
    return Sink(lambda text: call.delta({"text": text}), call.brain.redactor.stream(), limit)


def _done(answer: Answer, text: str, attempts: int, call: Call) -> dict[str, Any]:
    return {
        "text": text,
        "tool_calls": [_without_keys(tool_call, call) for tool_call in answer.tool_calls],
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
        "model": call.brain.redactor.line(answer.model),
        "attempts": attempts,
        "finish": answer.finish,
    }


def _without_keys(value: Any, call: Call) -> Any:
    if isinstance(value, str):
        stream = call.brain.redactor.stream()
        return stream.feed(value) + stream.finish()
    if isinstance(value, list):
        return [_without_keys(item, call) for item in value]
    if isinstance(value, dict):
        return {_without_keys(key, call): _without_keys(item, call) for key, item in value.items()}
    return value
