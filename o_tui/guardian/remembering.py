"""The part of the public API that is about the agent's memory: requests of their own kinds, done by the kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from o_tui.guardian import imports
from o_tui.guardian.dispatch import Dispatch
from o_tui.guardian.ticket import DISK
from o_tui.protocol.errors import OError, PeerError, UsageError

PREFIX = "memory."
"""Of those kinds."""


class Remembering:
    """The memory of one guardian's agent; the methods are the API's."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def add(self, text: str, source: str = "operator", kind: str = "semantic") -> dict[str, Any]:
        """Puts a text into the agent's memory; a long one part by part, so that no request takes long.

        Raises:
            OError: It, or the rest of it, could not be added.
        """
        ids: list[str] = []
        for part in imports.text_parts(text):
            try:
                ids += (await self._ask("add", {"text": part, "source": source, "kind": kind}))["ids"]
            except OError as error:
                if not ids:
                    raise
                raise type(error)(f"{error} ({len(ids)} pieces were added before)", hint=error.hint) from error
        return {"ids": ids}

    async def search(self, text: str, k: int = 5) -> dict[str, Any]:
        """What the agent recalls."""
        value: dict[str, Any] = await self._ask("search", {"text": text, "k": k}, journalled=False)
        return value

    async def list(self, kind: str = "", limit: int = 100, before: int = 0) -> dict[str, Any]:
        """The newest memories, older than `before` (time_ns; 0: all)."""
        arguments = {"kind": kind or None, "limit": limit, "before": before}
        value: dict[str, Any] = await self._ask("list", arguments, journalled=False)
        return value

    async def import_(self, path: str, format: str = "locomo") -> dict[str, Any]:
        """Puts the turns of conversations into memory.

        Those that are there from an earlier import are `known`; one that has been forgotten since comes again.
        `reason` is why turns could not be added, which are among the skipped; empty: none.

        Raises:
            NotFoundError, RefusedError, UsageError: The file cannot be read, or is of another format.
            PeerError: The disk takes nothing; it says what was imported before.
        """
        if format != "locomo":
            raise UsageError(f"unknown format {format!r}", hint="known: locomo")
        items, skipped = await asyncio.to_thread(imports.read_locomo, Path(path))
        blocks, known, reason = 0, 0, ""
        # one after the other: turns are neighbours in the order in which they come
        for part in imports.parts(items):
            fresh: Sequence[dict[str, Any]] = part
            try:
                fresh = await self._unknown(part)
                known += len(part) - len(fresh)
                blocks += len((await self._ask("add", {"items": fresh}))["ids"]) if fresh else 0
            except PeerError as error:
                raise PeerError(f"{error} ({blocks} blocks were imported before)", hint=error.hint) from error
            except OError as error:
                skipped, reason = skipped + len(fresh), str(error)
        return {"blocks": blocks, "known": known, "skipped": skipped, "reason": reason}

    async def _unknown(self, items: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Those that are not in memory yet, each once, with an id by which they are known the next time."""
        # asked for beforehand: a request that is delivered again must do the same again, whatever it did before
        named = {imports.identity(item): item for item in items}
        first = {f"{identity}.0": identity for identity in named}
        there = set((await self._ask("known", {"ids": list(first)}, journalled=False))["ids"])
        return [named[name] | {"id": name} for piece, name in first.items() if piece not in there]

    async def _ask(self, verb: str, arguments: dict[str, Any], *, journalled: bool = True) -> Any:
        text = msgspec.json.encode(arguments).decode()
        ticket = await self._dispatch.ask(text, PREFIX + verb, "memory", journalled=journalled)
        if not ticket.ok:
            raise (PeerError if ticket.error_kind == DISK else OError)(ticket.error)
        return msgspec.json.decode(ticket.answer)
