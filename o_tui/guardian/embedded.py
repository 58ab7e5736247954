"""The guardian inside the app's own process: the same `run`, on a loop and a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from o_tui.config import Config
from o_tui.guardian.core import Guardian
from o_tui.guardian.main import run
from o_tui.paths import Paths
from o_tui.protocol.errors import PeerError


class Embedded:
    """A guardian in a thread. Views reach it over the same socket as any other."""

    def __init__(self, place: Paths, settings: Config) -> None:
        self._place = place
        self._settings = settings
        self._ready: Future[Guardian] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._work, name="guardian", daemon=False)

    def start(self, timeout_s: float = 30.0) -> None:
        """Returns when it serves.

        Raises:
            OError: It could not be started, or not in time.
        """
        self._thread.start()
        try:
            self._ready.result(timeout_s)
        except TimeoutError as error:
            self._in_loop(lambda: self._task.cancel() if self._task is not None else None)
            raise PeerError(f"the guardian did not serve within {timeout_s:g} s") from error

    def stop(self, reason: str = "the screen was closed", timeout_s: float = 15.0) -> None:
        """Ends it and waits; harmless if it has ended already."""
        if self._ready.done() and self._ready.exception() is None:
            self._in_loop(lambda: self._ready.result().request_stop(reason))
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _in_loop(self, function: Callable[[], object]) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            pass  # its loop is closed: it has ended by itself

    def _work(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - the thread's border: the error is the starter's to see
            if not self._ready.done():
                self._ready.set_exception(error)

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        await run(self._place, self._settings, "embedded", self._ready.set_result)
