"""Background tasks of the guardian: single ones, and rounds that come again and again, until it stops.

No failure goes unseen, and a round that fails is not the last one: a full disk or a locked database passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from o_tui.guardian.storage.eventlog import Level
from o_tui.protocol.errors import OError

END_S = 2.0
"""How long what is cancelled may take to clean up."""


class Tell(Protocol):
    """A row of the event log, and a notice of it."""

    def __call__(self, source: str, kind: str, level: Level, text: str, data: dict[str, Any] | None = None) -> None:
        """Tells."""


class Background:
    """The tasks of one guardian."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs a coroutine; its failure is an event."""
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def every(self, period_s: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does it again and again, `period_s` after the last time has ended; the same failure is told once in a row."""
        self.spawn(self._rounds(period_s, what, work))

    async def stop(self) -> None:
        """Ends everything; returns when it has cleaned up, or has had its time for that."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)

    async def _rounds(self, period_s: float, what: str, work: Callable[[], Awaitable[None]]) -> None:
        told = ""
        while True:
            await asyncio.sleep(period_s)
            try:
                await work()
                told = ""
            except Exception as error:  # noqa: BLE001 - the border of a round: the next one may go well
                if told != (told := str(error)):
                    self._failed(f"{what}: it is tried again", error)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed("a task ended", error)

    def _failed(self, what: str, error: BaseException) -> None:
        if isinstance(error, OError):
            self._tell("guardian", "failed", "warning", f"{what}: {error}")
        else:
            self._tell("guardian", "defect", "error", f"{what}: {type(error).__name__}: {error}")
