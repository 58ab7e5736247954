"""`llm.models`: what a provider offers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from o_tui.broker import endpoints
from o_tui.broker.calls import Call, CallError, convert

_TIMEOUT_S = 10.0


class _Arguments(msgspec.Struct, kw_only=True):
    """`provider` empty: the one that is configured. Never an address: the keys go where the operator said."""

    provider: Literal["", "openai", "anthropic", "ollama"] = ""


async def run(call: Call) -> dict[str, Any]:
    """Answers {models: [name, …]}."""
    provider = convert(call.arguments, _Arguments).provider
    try:
        if not provider:
            async with call.brain.model() as model:
                return {"models": await model.models()}
        base_url = endpoints.own(provider, call.brain.keys.environment)
        model, _ = await call.brain.open_model(provider, "", base_url, _TIMEOUT_S)
        try:
            return {"models": await model.models()}
        finally:
            await model.close()
    except ValueError as error:
        raise CallError(str(error), "setup") from error
