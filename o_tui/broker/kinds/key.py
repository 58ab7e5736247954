"""`brain.key`: keeps a key in `keys.toml` (0600). The guardian asks for it, for an operator; an instance may not."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from o_tui.broker.calls import Call, CallError, convert
from o_tui.broker.keys import KeysFileError
from o_tui.broker.redact import mask


class _Arguments(msgspec.Struct, forbid_unknown_fields=True):
    provider: Literal["openai", "anthropic", "ollama"]
    key: str
    base_url: str = ""


async def run(call: Call) -> dict[str, Any]:
    """Answers {kept, key}: where the key is now, and the key masked."""
    asked = convert(call.arguments, _Arguments)
    key = asked.key.strip()
    if not key or any(character.isspace() or not character.isprintable() for character in key):
        raise CallError("a key is one word of visible characters", "arguments")
    try:
        await asyncio.to_thread(call.brain.keys.keep, asked.provider, asked.base_url.rstrip("/"), key)
    except (KeysFileError, OSError) as error:
        raise CallError(f"the key was not kept: {error}", "setup") from error
    return {"kept": "keys.toml", "key": mask(key)}
