"""The part of the public API that changes how things are set: settings, the model, its key."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from o_tui import config as settings
from o_tui.guardian.core import Guardian
from o_tui.guardian.evolving.evolutions import Evolutions
from o_tui.protocol.errors import PeerError


class Configuring:
    """Settings and the model of one guardian; the methods are the API's."""

    def __init__(self, guardian: Guardian, evolutions: Evolutions) -> None:
        self._guardian = guardian
        self._evolutions = evolutions
        self._changing = asyncio.Lock()

    async def config_get(self) -> dict[str, Any]:
        """All settings."""
        values: dict[str, Any] = msgspec.to_builtins(self._guardian.config)
        return values

    async def config_set(self, key: str, value: Any) -> dict[str, Any]:
        """Changes one."""
        return await self._configure({key: value})

    async def _configure(self, values: dict[str, Any]) -> dict[str, Any]:
        guardian = self._guardian
        async with self._changing:  # each reads the file and writes it again: two at once would lose one of them
            try:
                guardian.config = await asyncio.to_thread(settings.set_values, guardian.paths.config_file, values)
            except OSError as error:
                text = f"the settings could not be written: {error.strerror}; they are what they were"
                raise PeerError(text, hint="free space or mend the disk") from error
        self._evolutions.settings = guardian.config.evolution
        if any(key.startswith("brain.") for key in values):
            guardian.effects.configure()
        found = await self.config_get()
        guardian.publish("config", found)
        return found

    async def brain_detect(self) -> dict[str, Any]:
        """Keys and local models that are there."""
        return await self._guardian.effects.call("brain.detect", {}, 10.0)

    async def brain_models(self) -> dict[str, Any]:
        """The models that the provider offers."""
        return await self._guardian.effects.call("llm.models", {}, 20.0)

    async def brain_set(self, provider: str, model: str = "", base_url: str = "") -> dict[str, Any]:
        """Chooses the brain, for good; returns when it is known whether it answers, or after a while."""
        chosen = {"provider": provider, "model": model, "base_url": base_url, "onboarded": True}
        await self._configure({f"brain.{key}": value for key, value in chosen.items()})
        await self._guardian.effects.settled()
        return self._guardian.effects.row()

    async def brain_key(self, provider: str, key: str, base_url: str = "") -> dict[str, Any]:
        """Gives the broker a key to keep (0600), for a provider or an endpoint; it is not kept here."""
        arguments = {"provider": provider, "key": key, "base_url": base_url}
        return await self._guardian.effects.call("brain.key", arguments, 10.0)

    async def model_ask(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """What the model answers to a conversation that is not the agent's: {text, tokens}."""
        if self._guardian.config.brain.provider == "offline":
            raise PeerError("there is no model", hint="o-tui brain set PROVIDER MODEL")
        answer = await self._guardian.effects.call("llm.chat", {"messages": messages}, 600.0)
        used = answer.get("usage") or {}
        tokens = sum(int(used.get(name) or 0) for name in ("input_tokens", "output_tokens"))
        return {"text": str(answer.get("text", "")), "tokens": tokens}
