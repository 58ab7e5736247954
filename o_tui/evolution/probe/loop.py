"""An event loop without the world: no sockets, and time that jumps to the next thing to do."""

from __future__ import annotations

import heapq
import importlib
from typing import Any

from o_tui.evolution.probe.world import HangError

LIMIT = 20_000
"""Rounds after which nothing will come any more."""


def run(coroutine: Any) -> Any:
    """Runs a coroutine to its end; HangError where it waits for what never comes."""
    asyncio: Any = importlib.import_module("asyncio")
    base: Any = importlib.import_module("asyncio.base_events").BaseEventLoop

    class Loop(base):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._jumped = 0.0

        def time(self) -> float:
            return self._jumped

        def _run_once(self) -> None:
            if not self._ready:
                if not self._scheduled:
                    raise HangError("a coroutine waits for what never comes")
                self._jumped = max(self._jumped, self._scheduled[0]._when)
            while self._scheduled and self._scheduled[0]._when <= self._jumped:
                self._ready.append(heapq.heappop(self._scheduled))
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle._cancelled:
                    handle._run()

        def _write_to_self(self) -> None:
            pass

        def _process_events(self, events: Any) -> None:
            pass

    loop: Any = Loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(coroutine)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def both(one: Any, other: Any) -> list[Any]:
    """What two coroutines give that run at once."""
    asyncio: Any = importlib.import_module("asyncio")
    return list(await asyncio.gather(one, other))
