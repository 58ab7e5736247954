"""`llm.embed`: what texts mean, as vectors, from the embedding model that is configured."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from o_tui.broker.calls import Call, CallError, convert
from o_tui.broker.llm import retry
from o_tui.broker.llm.types import Embeddings, EmbedRequest


async def run(call: Call) -> dict[str, Any]:
    """Answers {vectors: [float32 bytes, …], usage, model, attempts}, a vector a text."""
    texts = convert(call.arguments, EmbedRequest).texts
    name = call.brain.embedding_model
    if not name:
        raise CallError("no embedding model is chosen (setting brain.embedding_model)", "setup")
    attempt = 0
    async with call.brain.model() as model:
        while True:
            attempt += 1
            try:
                return _done(await model.embed(name, texts), attempt, call)
            except CallError as error:
                error.attempts = attempt
                pause = retry.pause_s(error, attempt, random.random())
                if pause is None:
                    raise
                call.log("warning", f"attempt {attempt} failed: {error}; the next one in {pause:.1f} s")
                await asyncio.sleep(pause)


def _done(found: Embeddings, attempts: int, call: Call) -> dict[str, Any]:
    return {
        "vectors": found.vectors,
        "usage": {"input_tokens": found.input_tokens, "output_tokens": 0},
        "model": call.brain.redactor.line(found.model),
        "attempts": attempts,
    }
